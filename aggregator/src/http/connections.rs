//! Connections to requests: bounded in number, in the time of a head, and in the time of an orderly stop (I11).
//! Knows no routes.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::limits::{CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_MAX};
use crate::io::tcp::{HttpListener, HttpStream, PeerAddr};
use crate::limits::STOP_REQUESTS_MAX;

/// Serves until `shutdown` has resolved and the open requests are answered, or took too long.
pub async fn serve(
    router: Router,
    mut listener: HttpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopping) = watch::channel(());
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.expect("never closed");
            (listener.accept().await, place)
        };
        let ((stream, peer), place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = next => accepted,
        };
        let (router, stopping) = (router.clone(), stopping.clone());
        open.spawn(async move {
            converse(router, stream, PeerAddr(peer), stopping).await;
            drop(place);
        });
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    drop(stop);
    let answered = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_REQUESTS_MAX, answered).await.is_err() {
        tracing::warn!("requests that took too long were cut off by the stop");
    }
    Ok(())
}

async fn converse(router: Router, stream: HttpStream, peer: PeerAddr, mut stopping: watch::Receiver<()>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // The sender is dropped when the stop begins.
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.0, %error, "a connection ended in disorder");
    }
}
