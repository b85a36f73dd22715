//! The API over HTTP: it answers from snapshots and hands changes to the writer. Knows no prices and no disk.

// In reading order: what a request meets, then what it can ask.
/// Who pays, and what was agreed.
mod accounts;
/// What a request asks, read strictly.
mod ask;
/// Who asks, and what they may see.
mod auth;
/// Bills.
mod bills;
/// What operators change.
mod changes;
/// Nodes that two hosts speak for.
mod clones;
/// Holes and seals.
mod closing;
/// Connections to requests.
mod connections;
/// Invoices and notes as files.
mod download;
/// Cost so far with the minute that runs.
mod estimate;
/// What is the same for every answer.
mod frame;
/// The only way from a request to the books.
mod gate;
/// Life, readiness, metrics.
mod health;
/// Invoices, notes, the ledger.
mod invoices;
/// Every maximum.
mod limits;
/// Nodes, tenants, held batches, price books.
mod lists;
/// What is counted of requests.
mod observe;
/// Errors as problem documents.
mod problem;
/// Results of the daily comparisons.
mod reconciliations;
/// Monthly runs.
mod runs;
/// Usage of a tenant.
mod usage;
/// Why an amount, what if, the closing sheet.
mod why;

#[cfg(test)]
mod tests;

use std::future::Future;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use crate::handle::Handle;
use crate::io::tcp::HttpListener;
use gate::Api;
use limits::BODY_BYTES_MAX;
use tallyman_aggregator_core::rating::book::BOOK_BYTES_MAX;

/// Serves until `shutdown`; open requests are answered before it returns, or took too long.
pub async fn serve(
    handle: Handle,
    listener: HttpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    connections::serve(router(handle), listener, shutdown).await
}

/// All routes. The peer's address is expected as `ConnectInfo<PeerAddr>` in each request's extensions.
pub fn router(handle: Handle) -> Router {
    let api = Api::new(handle);
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/usage/current", get(usage::current))
        .route("/api/v1/usage/history", get(usage::history))
        .route("/api/v1/usage/summary/{period}", get(usage::summary))
        .route("/api/v1/bills/hourly/{hour}", get(bills::hourly))
        .route("/api/v1/bills/daily/{day}", get(bills::daily))
        .route("/api/v1/bills/monthly/{month}", get(bills::monthly))
        .route("/api/v1/billing/invoices", get(invoices::list))
        .route("/api/v1/billing/invoices/{id}", get(invoices::one))
        .route(
            "/api/v1/billing/invoices/{id}/adjustment",
            get(invoices::adjustment),
        )
        .route("/api/v1/billing/invoices/{id}/download", get(download::download))
        .route("/api/v1/billing/invoices/{id}/explain", get(why::explain))
        .route(
            "/api/v1/admin/what-if",
            post(why::what_if).layer(DefaultBodyLimit::max(BOOK_BYTES_MAX)),
        )
        .route("/api/v1/admin/closing-sheet/{month}", get(why::closing_sheet))
        .route("/api/v1/admin/accounts", get(accounts::list))
        .route("/api/v1/admin/accounts/{account}/draft", get(accounts::drafted))
        .route("/api/v1/admin/accounts/{account}/terms", get(accounts::terms))
        .route("/api/v1/admin/ledger/trial-balance", get(invoices::balances))
        .route("/api/v1/admin/ledger/journal", get(invoices::postings))
        .route(
            "/api/v1/admin/ledger/statements/{account}",
            get(invoices::movements),
        )
        .route("/api/v1/admin/ledger/receivables", get(invoices::due))
        .route("/api/v1/admin/ledger/commands", post(invoices::book))
        .route("/api/v1/admin/generate-invoices", post(runs::begin))
        .route("/api/v1/admin/usage-report", get(download::usage_report))
        .route("/api/v1/admin/invoice-runs", get(runs::list))
        .route("/api/v1/admin/invoice-runs/{run}", get(runs::one))
        .route("/api/v1/nodes", get(lists::nodes))
        .route("/api/v1/tenants", get(lists::tenants))
        .route("/api/v1/tenants/{key}", put(changes::set_tenant))
        .route("/api/v1/quarantine", get(lists::quarantine))
        .route("/api/v1/quarantine/{position}/release", post(changes::release))
        .route("/api/v1/quarantine/{position}/discard", post(changes::discard))
        .route("/api/v1/admin/clones", get(clones::list))
        .route("/api/v1/admin/clones/{node}/resolve", post(clones::resolve))
        .route("/api/v1/holes", get(closing::holes))
        .route("/api/v1/holes/give-up", post(closing::give_up))
        .route("/api/v1/seals", get(closing::seals))
        .route("/api/v1/price-books", get(lists::price_books))
        .route("/api/v1/admin/reconciliations", get(reconciliations::all))
        .route("/api/v1/admin/reconciliations/{day}", get(reconciliations::one))
        .method_not_allowed_fallback(frame::wrong_method)
        .fallback(frame::no_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(api.clone(), frame::frame))
        .with_state(api)
}
