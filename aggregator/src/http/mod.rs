//! The API over HTTP: it answers from snapshots and hands changes to the writer. Knows no prices and no disk.

use std::future::Future;

use axum::Router;
use axum::routing::get;

use crate::handle::Handle;
use crate::io::tcp::HttpListener;

/// Serves until `shutdown`; open requests are answered before it returns.
pub async fn serve(
    _handle: Handle,
    listener: HttpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new().route("/health", get(async || "ok\n"));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
}
