//! Monthly runs: beginning one, and how far each is. A run goes on without whoever asked for it.

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use tallyman_aggregator_core::accounts::run::{Due, NotBilled, accounts};
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::rating::Month;

use super::ask::{Params, Segment};
use super::auth::OperatorScope;
use super::gate::{AllBooks, Api};
use super::problem::{Kind, Problem};
use crate::biller::Progress;

/// A run.
#[derive(Debug, Serialize)]
pub struct RunView {
    run: u64,
    month: Month,
    actor: String,
    started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// `running`, `ended` or `failed`.
    status: &'static str,
    accounts: usize,
    done: usize,
    issued: usize,
    existing: usize,
    void: usize,
    nothing_to_bill: usize,
    not_billed: usize,
    /// Which, and why; up to a limit.
    reasons: Vec<NotBilled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl From<Progress> for RunView {
    fn from(it: Progress) -> Self {
        let status = match (&it.ended, &it.fault) {
            (_, Some(_)) => "failed",
            (Some(_), None) => "ended",
            (None, None) => "running",
        };
        Self {
            run: it.run,
            month: it.month,
            actor: it.actor,
            started: instant_text(it.started),
            ended: it.ended.map(instant_text),
            status,
            accounts: it.accounts,
            done: it.done,
            issued: it.issued,
            existing: it.existing,
            void: it.void,
            nothing_to_bill: it.nothing,
            not_billed: it.not_billed,
            reasons: it.reasons,
            fault: it.fault,
        }
    }
}

/// `POST /api/v1/admin/generate-invoices`
pub async fn begin(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<(StatusCode, HeaderMap, Json<RunView>), Problem> {
    const EXPECTED: &str = "a month such as 2026-01";
    const AGAIN: &str = "true, with account_id";
    let params = params.only(&["period", "account_id", "again"])?;
    let month = params.read("period", EXPECTED, |text| Month::parse(text).ok())?;
    let month =
        month.ok_or_else(|| Problem::parameter("period", format!("say which: {EXPECTED}"), EXPECTED))?;
    let wanted = params.get("account_id").map(str::to_owned);
    let is_named = wanted.is_some();
    let again = params.read("again", AGAIN, |text| match text {
        "true" => is_named.then_some(true),
        "false" => Some(false),
        _ => None,
    })?;
    let again = again == Some(true);
    let ask = move |all: AllBooks<'_>| {
        let known = accounts(all.books.registry);
        match wanted {
            None => Ok(known.into_iter().collect::<Vec<String>>()),
            Some(one) if known.contains(&one) => Ok(vec![one]),
            Some(one) => {
                let one = super::ask::short(&one);
                Err(Problem::new(
                    Kind::NotFound,
                    format!("there is no account `{one}`"),
                ))
            }
        }
    };
    let accounts = api.read_all(scope.clone(), ask).await?;
    let run = api
        .begin_run(
            &scope,
            Due {
                month,
                accounts,
                again,
            },
        )
        .map_err(|under_way| Problem::new(Kind::Conflict, under_way.to_string()))?;
    let begun = api.runs(&scope).get(run);
    let begun = begun.ok_or_else(|| Problem::internal(&"the run that was begun is not known"))?;
    let mut headers = HeaderMap::new();
    let place = HeaderValue::from_str(&format!("/api/v1/admin/invoice-runs/{run}"));
    headers.insert(LOCATION, place.map_err(|e| Problem::internal(&e))?);
    Ok((StatusCode::ACCEPTED, headers, Json(begun.into())))
}

/// `GET /api/v1/admin/invoice-runs`
pub async fn list(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Vec<RunView>>, Problem> {
    params.only(&[])?;
    let runs = api.runs(&scope).list().into_iter().rev();
    Ok(Json(runs.map(RunView::from).collect()))
}

/// `GET /api/v1/admin/invoice-runs/{run}`
pub async fn one(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(run): Segment,
    params: Params,
) -> Result<Json<RunView>, Problem> {
    params.only(&[])?;
    let known = run.parse().ok().and_then(|run| api.runs(&scope).get(run));
    let missing = || {
        let run = super::ask::short(&run);
        let text = format!(
            "there is no run `{run}` of this process; invoices of earlier ones are in the list of invoices"
        );
        Problem::new(Kind::NotFound, text)
    };
    known.map(|it| Json(it.into())).ok_or_else(missing)
}
