//! A receiver that does nothing but receive: what quinn costs for the same bytes, on one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TransportConfig, VarInt};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tallyman_aggregator::io::frames::{read_message, say};
use tallyman_aggregator::limits::{CONNECTION_WINDOW, SOCKET_BUFFER_BYTES, STREAMS_MAX};
use tallyman_common::ids::SpoolId;
use tallyman_common::message::{ALPN_INGEST, Ack, DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX, Message};
use tokio::sync::{mpsc as questions, oneshot};

use super::fleet::SERVER_NAME;
use crate::benches::cost::cpu_of_this_thread;

/// The receiver on its thread.
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whom its clients trust.
    pub ca: CertificateDer<'static>,
    ask: questions::Sender<oneshot::Sender<Duration>>,
    thread: JoinHandle<()>,
}

impl Sink {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let (ca, config) = server()?;
        let (ask, mut asked) = questions::channel::<oneshot::Sender<Duration>>(1);
        let (ready, bound) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let endpoint = bind(config);
                let address = endpoint
                    .as_ref()
                    .map_err(ToString::to_string)
                    .map(Endpoint::local_addr);
                let _ = ready.send(address);
                let Ok(endpoint) = endpoint else { return };
                tokio::spawn(accept(endpoint));
                while let Some(reply) = asked.recv().await {
                    let _ = reply.send(cpu_of_this_thread());
                }
            });
        });
        let address = bound.recv()?.map_err(anyhow::Error::msg)??;
        Ok(Self {
            address,
            ca,
            ask,
            thread,
        })
    }

    /// CPU time of its thread so far.
    pub async fn cpu(&self) -> Result<Duration> {
        let (reply, answer) = oneshot::channel();
        self.ask.send(reply).await?;
        Ok(answer.await?)
    }

    /// Ends it.
    pub fn stop(self) -> Result<()> {
        drop(self.ask);
        self.thread.join().ok().context("the sink's thread panicked")
    }
}

fn server() -> Result<(CertificateDer<'static>, quinn::ServerConfig)> {
    let ca_key = KeyPair::generate()?;
    let mut ca_params = CertificateParams::default();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = ca_params.self_signed(&ca_key)?;
    let own_key = KeyPair::generate()?;
    let issuer = Issuer::from_params(&ca_params, &ca_key);
    let own = CertificateParams::new(vec![SERVER_NAME.to_owned()])?.signed_by(&own_key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)?;
    tls.alpn_protocols = vec![ALPN_INGEST.to_vec()];
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .stream_receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    config.transport_config(Arc::new(transport));
    Ok((ca.der().clone(), config))
}

fn bind(config: quinn::ServerConfig) -> Result<Endpoint> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let mut receiving = EndpointConfig::default();
    receiving.max_udp_payload_size(DATAGRAM_BYTES_MAX)?;
    Ok(Endpoint::new(
        receiving,
        Some(config),
        socket,
        Arc::new(quinn::TokioRuntime),
    )?)
}

async fn accept(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                serve(connection).await;
            }
        });
    }
}

async fn serve(connection: Connection) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        tokio::spawn(receive(send, recv));
    }
}

/// Takes a stream's batches as the aggregator does and answers each with as many bytes.
async fn receive(mut send: SendStream, mut recv: RecvStream) {
    while let Ok(message) = read_message(&mut recv, MESSAGE_BYTES_MAX).await {
        let seq = if let Message::Batch(frame) = message {
            frame.len() as u64
        } else {
            0
        };
        let ack = Message::Ack(Ack {
            spool: SpoolId::default(),
            seq,
            upto: seq,
            known: false,
        });
        if !say(&mut send, &ack).await {
            return;
        }
    }
    let _ = send.finish();
}
