//! Results of the daily comparisons, for operators.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tallyman_aggregator_core::reconcile::{Day, Fates, Reconciliation};

use super::ask::{Params, Segment};
use super::auth::OperatorScope;
use super::gate::Api;
use super::problem::{Kind, Problem};

/// All results, newest first.
#[derive(Debug, Serialize)]
pub struct Results {
    reconciliations: Vec<Short>,
}

/// A result without its particulars.
#[derive(Debug, Serialize)]
struct Short {
    day: String,
    ok: bool,
    position: u64,
    made: String,
    batches: Fates,
    /// How much does not agree.
    differences: u64,
}

impl From<Reconciliation> for Short {
    fn from(result: Reconciliation) -> Self {
        let differences = result.count();
        Self {
            day: result.day,
            ok: result.ok,
            position: result.position,
            made: result.made,
            batches: result.batches,
            differences,
        }
    }
}

/// `GET /api/v1/admin/reconciliations`
pub async fn all(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Results>, Problem> {
    params.only(&[])?;
    let results = api.reconciliations(&scope);
    let read = move || -> std::io::Result<Vec<Short>> {
        let mut found = Vec::new();
        for day in results.days()?.into_iter().rev() {
            found.extend(results.read(day)?.map(Short::from));
        }
        Ok(found)
    };
    let reconciliations = blocking(read).await?;
    Ok(Json(Results { reconciliations }))
}

/// `GET /api/v1/admin/reconciliations/{day}`
pub async fn one(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(day): Segment,
    params: Params,
) -> Result<Json<Reconciliation>, Problem> {
    params.only(&[])?;
    let day = Day::parse(&day).map_err(|why| Problem::new(Kind::Parameter, why))?;
    let results = api.reconciliations(&scope);
    let found = blocking(move || results.read(day)).await?;
    let missing = || Problem::new(Kind::NotFound, format!("{} was not reconciled", day.text()));
    found.map(Json).ok_or_else(missing)
}

/// Reads files on a thread for blocking work.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let read = tokio::task::spawn_blocking(read).await;
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a result of a daily comparison can't be read");
        Problem::new(Kind::Internal, "the result can't be read")
    };
    read.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
}
