//! Connections over TCP: plain on loopback, TLS elsewhere. Handshakes run beside each other, so that a slow client
//! holds nobody up. Knows no HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits::HANDSHAKE_MAX;

/// Handshakes under way at most.
const HANDSHAKES_MAX: usize = 256;
/// Pause after the system gave no connection, such as without free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection.
#[derive(Debug)]
pub enum HttpStream {
    /// Plain.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Where connections come from.
#[derive(Debug)]
pub struct HttpListener {
    local: SocketAddr,
    ready: mpsc::Receiver<(HttpStream, SocketAddr)>,
}

/// The other end's address; for `ConnectInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The newest TLS settings; `None` for plain connections. They are replaced while the program runs.
pub type Tls = Option<watch::Receiver<Arc<rustls::ServerConfig>>>;

impl HttpListener {
    /// Takes connections of a bound listener; with `tls` they are encrypted.
    pub fn new(listener: TcpListener, tls: Tls) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
        tokio::spawn(accept(listener, tls, sender));
        Ok(Self { local, ready })
    }
}

async fn accept(listener: TcpListener, tls: Tls, ready: mpsc::Sender<(HttpStream, SocketAddr)>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while !ready.is_closed() {
        let place = places.clone().acquire_owned().await.expect("never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection could be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let tls = tls
            .as_ref()
            .map(|newest| TlsAcceptor::from(newest.borrow().clone()));
        let ready = ready.clone();
        tokio::spawn(async move {
            if let Some(stream) = shake_hands(stream, peer, tls).await {
                drop(ready.send((stream, peer)).await);
            }
            drop(place);
        });
    }
}

async fn shake_hands(stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) -> Option<HttpStream> {
    // Answers are small: waiting for more of them only delays.
    drop(stream.set_nodelay(true));
    let Some(tls) = tls else {
        return Some(HttpStream::Plain(stream));
    };
    match tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(HttpStream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::info!(%peer, %error, "TLS handshake of an HTTP client failed");
            None
        }
        Err(_) => {
            tracing::info!(%peer, "TLS handshake of an HTTP client took too long");
            None
        }
    }
}

impl Listener for HttpListener {
    type Io = HttpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The accepting task lives as long as this does; only a dying runtime gets here.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.local)
    }
}

impl Connected<IncomingStream<'_, HttpListener>> for PeerAddr {
    fn connect_info(stream: IncomingStream<'_, HttpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
        }
    }
}
