//! The endpoint that agents reach: one UDP port, two protocols. It admits connections, tells them apart by protocol,
//! ends those of revoked nodes, and says in words why a handshake failed. It knows no batches.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, TransportConfig, VarInt};
use quinn_proto::RandomConnectionIdGenerator;
use tallyman_common::message::{ALPN_ENROL, DATAGRAM_BYTES_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::door::{Answer, Door, Visit};
use super::faults;
use super::keys::{Authority, KeysError};
use super::links::Links;
use super::voices::Voices;
use super::warner::Warner;
use super::{enrol, ingest};
use crate::handle::Handle;
use crate::limits::{
    CONNECTION_WINDOW, ENROLS_MAX, HANDSHAKE_MAX, INCOMING_BYTES_ALL_MAX, INCOMING_BYTES_MAX,
    LIVE_STREAMS_MAX, RECEIVING_BYTES_MAX, SOCKET_BUFFER_BYTES, STRANGER_WINDOW, STRANGERS_MAX, STREAMS_MAX,
    WAITING_BYTES_MAX,
};

/// Closed by us: refused with words.
pub const CLOSE_REFUSED: VarInt = VarInt::from_u32(1);
/// Closed by us: the node was retired or revoked.
pub const CLOSE_ENDED: VarInt = VarInt::from_u32(2);
/// Closed by us: the same process connected anew.
pub const CLOSE_REPLACED: VarInt = VarInt::from_u32(3);
/// Closed by us: the aggregator stops; come back later.
pub const CLOSE_STOPPING: VarInt = VarInt::from_u32(4);
/// Closed by us: what came makes no sense.
pub const CLOSE_PROTOCOL: VarInt = VarInt::from_u32(5);
/// Closed by us: the certificate's life is over; come back with a renewed one.
pub const CLOSE_EXPIRED: VarInt = VarInt::from_u32(6);
/// Closed by us: all is said.
pub const CLOSE_DONE: VarInt = VarInt::from_u32(0);

/// A connection without a word from the other side ends after this.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Below the life of a mapping in a home router or firewall (RFC 9308 §3.2).
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How often the aggregator's own certificate is made anew; it lives thirty times as long.
pub const CERTIFICATE_AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Bytes of a connection's identifier.
const CONNECTION_ID_BYTES: usize = 8;
/// Granularity of memory budgets.
const PERMIT_BYTES: usize = 1_024;

/// Why agents can't be served.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// Somebody has the port.
    #[error("UDP port {0} is in use by another program (another aggregator?); set `listen` under [quic]")]
    InUse(SocketAddr),
    /// The system does not allow it.
    #[error("no permission to listen on UDP {0}; ports below 1024 need CAP_NET_BIND_SERVICE")]
    Permission(SocketAddr),
    /// No such address here.
    #[error("{0} is not an address of this machine; set `listen` under [quic]")]
    NoSuchAddress(SocketAddr),
    /// Anything else.
    #[error("UDP {address}: {reason}")]
    Socket {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// No certificate for ourselves.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// What every connection needs.
#[derive(Debug)]
pub struct Context {
    /// The aggregator.
    pub handle: Handle,
    /// Signs certificates.
    pub authority: Arc<Authority>,
    /// Who is connected.
    pub links: Links,
    /// Memory for frames that arrive.
    pub receiving: Budget,
    /// Memory for batches that wait for the writer.
    pub waiting: Budget,
    /// Places for enrolments.
    pub enrols: Semaphore,
    /// Places for connections.
    pub door: Door,
    /// Which processes speak as which node.
    pub voices: Voices,
    /// What is said about strangers.
    pub warner: Warner,
}

impl Context {
    /// Counts a connection that failed or was refused, and says so if that was not said just now.
    pub fn failed(&self, peer: SocketAddr, cause: &'static str, words: &str) {
        self.handle.metrics().failed(cause);
        if let Some(unsaid) = self.warner.may_say(cause, Instant::now()) {
            tracing::warn!(%peer, cause, more_like_it = unsaid, "connection failed or refused: {words}");
        }
    }
}

/// Bytes that may be in use at a time.
#[derive(Debug)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PERMIT_BYTES)))
    }

    /// Waits until `bytes` are free; they are again when the permit is dropped.
    pub async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).expect("messages are bounded");
        let taken = self.0.clone().acquire_many_owned(permits).await;
        taken.expect("never closed")
    }
}

/// The endpoint, bound.
#[derive(Debug)]
pub struct QuicServer {
    endpoint: Endpoint,
    context: Arc<Context>,
    names: Vec<String>,
    /// Also holds the key of the proofs of address: whoever was asked for one before a renewal answers after it.
    config: quinn::ServerConfig,
}

impl QuicServer {
    /// Binds the port. `names` are what agents call this machine: host names and addresses.
    pub fn bind(
        handle: Handle,
        authority: Arc<Authority>,
        listen: SocketAddr,
        names: Vec<String>,
    ) -> Result<Self, QuicError> {
        let config = server_config(tls_of(&authority, &names, &handle)?);
        let socket = bind_socket(listen)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(endpoint_config(), Some(config.clone()), socket, runtime);
        let endpoint = endpoint.map_err(|reason| QuicError::Socket {
            address: listen,
            reason,
        })?;
        let context = Arc::new(Context {
            handle,
            authority,
            links: Links::default(),
            receiving: Budget::new(RECEIVING_BYTES_MAX),
            waiting: Budget::new(WAITING_BYTES_MAX),
            enrols: Semaphore::new(ENROLS_MAX),
            door: Door::default(),
            voices: Voices::default(),
            warner: Warner::default(),
        });
        Ok(Self {
            endpoint,
            context,
            names,
            config,
        })
    }

    /// The address in use.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves until `shutdown`, then closes all connections with words and waits until these are sent.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let mut registry = self.context.handle.registry_changes();
        let mut renewal = tokio::time::interval(CERTIFICATE_AGE_MAX);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming),
                    None => break,
                },
                Ok(()) = registry.changed() => {
                    let newest = registry.borrow_and_update().clone();
                    for node in self.context.links.close_ended(&newest) {
                        self.context.handle.live().remove(node);
                        tracing::info!(%node, "connections of an ended node closed");
                    }
                }
                _ = renewal.tick() => self.renew_certificate(),
                () = &mut shutdown => break,
            }
        }
        self.endpoint.close(CLOSE_STOPPING, b"the aggregator stops");
        self.endpoint.wait_idle().await;
    }

    fn admit(&self, incoming: Incoming) {
        let peer = incoming.remote_address();
        let context = self.context.clone();
        let is_proven = incoming.remote_address_validated() || !incoming.may_retry();
        let visit = match context.door.knock(peer.ip(), is_proven) {
            Answer::Enter(visit) => visit,
            Answer::Prove => {
                context.handle.metrics().retries.inc();
                // Asked only where it is allowed: there is nothing to handle.
                return drop(incoming.retry());
            }
            Answer::Full(full) => {
                let words = format!("{} (limit {})", full.words(), full.limit());
                context.failed(peer, full.cause(), &words);
                return incoming.refuse();
            }
        };
        tokio::spawn(async move {
            match shake_hands(incoming).await {
                Ok(connection) => serve_protocol(context, connection, visit).await,
                Err((cause, words)) => context.failed(peer, cause, &words),
            }
        });
    }

    fn renew_certificate(&self) {
        let Context {
            handle, authority, ..
        } = &*self.context;
        match tls_of(authority, &self.names, handle) {
            Ok(tls) => {
                let mut config = self.config.clone();
                config.crypto = tls;
                self.endpoint.set_server_config(Some(config));
            }
            Err(error) => tracing::error!(%error, "the aggregator's own certificate was not renewed"),
        }
    }
}

async fn shake_hands(incoming: Incoming) -> Result<Connection, (&'static str, String)> {
    let connecting = incoming.accept().map_err(|e| faults::words(&e))?;
    match tokio::time::timeout(HANDSHAKE_MAX, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(faults::words(&error)),
        Err(_) => Err(("timeout", "the handshake took too long".to_owned())),
    }
}

async fn serve_protocol(context: Arc<Context>, connection: Connection, visit: Visit) {
    let data = connection
        .handshake_data()
        .and_then(|d| d.downcast::<HandshakeData>().ok());
    if data.and_then(|d| d.protocol).as_deref() == Some(ALPN_ENROL) {
        // Whoever wants a certificate stays a stranger.
        enrol::serve(&context, &connection).await;
        drop(visit);
    } else {
        ingest::serve(&context, &connection, visit).await;
    }
}

fn tls_of(
    authority: &Authority,
    names: &[String],
    handle: &Handle,
) -> Result<Arc<QuicServerConfig>, KeysError> {
    let tls = authority.agent_tls(names, handle.now())?;
    let tls = QuicServerConfig::try_from(tls).map_err(|e| KeysError::Certificate(e.to_string()))?;
    Ok(Arc::new(tls))
}

fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(DATAGRAM_BYTES_MAX)
        .expect("far above the least that is allowed");
    config.cid_generator(|| Box::new(connection_ids()));
    config
}

/// All bytes are chance. The default has 24 bits of it, and a retry's identifier is not looked up: a proof of address
/// under one that an open connection has reaches that connection, and its sender waits for nothing.
fn connection_ids() -> RandomConnectionIdGenerator {
    RandomConnectionIdGenerator::new(CONNECTION_ID_BYTES)
}

fn server_config(tls: Arc<QuicServerConfig>) -> quinn::ServerConfig {
    let mut config = quinn::ServerConfig::with_crypto(tls);
    config.transport_config(Arc::new(transport()));
    config
        .max_incoming(STRANGERS_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_ALL_MAX);
    config
}

/// Narrow, for strangers; [`open_wide`] widens it.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_MAX).expect("a minute is a valid idle time");
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .stream_receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .datagram_receive_buffer_size(None);
    transport
}

/// Gives a node that was welcomed its full room.
pub fn open_wide(connection: &Connection) {
    connection.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    // The first stream stays open beside them.
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(STREAMS_MAX + 1));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(LIVE_STREAMS_MAX));
}

fn bind_socket(listen: SocketAddr) -> Result<UdpSocket, QuicError> {
    let socket = UdpSocket::bind(listen).map_err(|reason| match reason.kind() {
        io::ErrorKind::AddrInUse => QuicError::InUse(listen),
        io::ErrorKind::PermissionDenied => QuicError::Permission(listen),
        io::ErrorKind::AddrNotAvailable => QuicError::NoSuchAddress(listen),
        _ => QuicError::Socket {
            address: listen,
            reason,
        },
    })?;
    use rustix::net::sockopt;
    let asked = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let given = sockopt::socket_recv_buffer_size(&socket);
    // Linux counts its own book-keeping and answers twice what it gives.
    if asked.is_err() || given.is_ok_and(|bytes| bytes / 2 < SOCKET_BUFFER_BYTES) {
        tracing::warn!(
            asked_bytes = SOCKET_BUFFER_BYTES,
            given_bytes = given.map_or(0, |bytes| bytes / 2),
            "the kernel gives a small receive buffer: packets may be lost under load; \
             raise it with `sysctl -w net.core.rmem_max={SOCKET_BUFFER_BYTES}`"
        );
    }
    Ok(socket)
}

#[cfg(test)]
mod retry_tests;
