//! Usage of one tenant: now, by time, by period.

use std::ops::Range;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tallyman_aggregator_core::api::text::{parse_instant, parse_period};
use tallyman_aggregator_core::api::usage::{Granularity, HOURS_MAX, History, MINUTE_HOURS_MAX, Summary};
use tallyman_aggregator_core::bills::{Bill, BillError, BookRef, Line};
use tallyman_aggregator_core::rating::BillingZone;
use tallyman_aggregator_core::rating::calendar::CalendarError;
use tallyman_common::time::{HOUR_MS, Hour, WallMs};

use super::ask::{Params, Segment, TENANT, short};
use super::auth::TenantScope;
use super::estimate::Estimate;
use super::gate::{Api, TenantBooks};
use super::problem::Problem;

/// Usage and cost of the month so far.
#[derive(Debug, Serialize)]
pub struct Current {
    /// The month in the tenant's zone.
    month: String,
    /// Zone of the month.
    zone: String,
    /// What signed batches say.
    #[serde(flatten)]
    summary: Summary,
    /// Its price so far; nothing when no price book is active.
    cost: Option<Cost>,
    /// Why there is no cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_unavailable: Option<String>,
    /// With the minute that runs.
    estimate: Estimate,
}

/// A bill's amounts, without what the answer says already.
#[derive(Debug, Serialize)]
pub struct Cost {
    status: &'static str,
    currency: String,
    subtotal_exact: String,
    total: String,
    rounding: String,
    lines: Vec<Line>,
    price_books: Vec<BookRef>,
    faults: Vec<String>,
}

impl From<Bill> for Cost {
    fn from(bill: Bill) -> Self {
        Self {
            status: bill.status,
            currency: bill.currency,
            subtotal_exact: bill.subtotal_exact,
            total: bill.total,
            rounding: bill.rounding,
            lines: bill.lines,
            price_books: bill.price_books,
            faults: bill.faults,
        }
    }
}

/// `GET /api/v1/usage/current`
pub async fn current(
    State(api): State<Api>,
    scope: TenantScope,
    params: Params,
) -> Result<Json<Current>, Problem> {
    params.only(&[TENANT])?;
    api.read_tenant(scope, month_so_far).await.map(Json)
}

fn month_so_far(books: TenantBooks<'_>) -> Result<Current, Problem> {
    let zone = books.zone()?;
    let outside = |e: CalendarError| Problem::internal(&e);
    let month = zone.month_of(books.now().hour()).map_err(outside)?;
    let period = zone.month_hours(month).map_err(outside)?;
    let (cost, cost_unavailable) = match books.bill(period.clone()) {
        Ok(bill) => (Some(Cost::from(bill)), None),
        Err(reason @ BillError::NoBook(_)) => (None, Some(reason.to_string())),
        Err(reason) => return Err(reason.into()),
    };
    Ok(Current {
        month: month.to_string(),
        zone: zone.name().to_owned(),
        summary: books.summary(period.clone())?,
        cost,
        cost_unavailable,
        estimate: books.estimate(period)?,
    })
}

/// `GET /api/v1/usage/summary/{period}`
pub async fn summary(
    State(api): State<Api>,
    scope: TenantScope,
    Segment(period): Segment,
    params: Params,
) -> Result<Json<Summary>, Problem> {
    params.only(&[TENANT])?;
    let ask = move |books: TenantBooks<'_>| {
        let wrong = |e: String| Problem::parameter("period", e, "a month, a day or an hour");
        let hours = parse_period(&short(&period), &books.zone()?).map_err(wrong)?;
        books.summary(hours)
    };
    api.read_tenant(scope, ask).await.map(Json)
}

/// What a question for a history says.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    from: WallMs,
    /// Now, when it says nothing.
    to: Option<WallMs>,
    granularity: Granularity,
}

/// `GET /api/v1/usage/history`
pub async fn history(
    State(api): State<Api>,
    scope: TenantScope,
    params: Params,
) -> Result<Json<History>, Problem> {
    let wanted = wanted(params.only(&["from", "to", "granularity", TENANT])?)?;
    let ask = move |books: TenantBooks<'_>| {
        let span = span(wanted, books.now(), &books.zone()?)?;
        books.history(span, wanted.granularity)
    };
    api.read_tenant(scope, ask).await.map(Json)
}

const INSTANT: &str = "an instant such as 2026-01-31T23:15:00Z";

fn wanted(params: Params) -> Result<Wanted, Problem> {
    let instant = |text: &str| parse_instant(text).ok();
    let from = params
        .read("from", INSTANT, instant)?
        .ok_or_else(|| Problem::parameter("from", format!("`from` is missing: {INSTANT}"), INSTANT))?;
    let granularity = params.read("granularity", "minute, hour, day or month", |text| {
        Some(match text {
            "minute" => Granularity::Minute,
            "hour" => Granularity::Hour,
            "day" => Granularity::Day,
            "month" => Granularity::Month,
            _ => return None,
        })
    })?;
    Ok(Wanted {
        from,
        to: params.read("to", INSTANT, instant)?,
        granularity: granularity.map_or(Granularity::Hour, |g| g),
    })
}

/// The span asked, widened to whole points, so that each point's sums are those of its own start and end.
fn span(wanted: Wanted, now: WallMs, zone: &BillingZone) -> Result<Range<WallMs>, Problem> {
    let (from, to) = (wanted.from, wanted.to.map_or(now, |to| to));
    if from >= to {
        return Err(Problem::parameter(
            "to",
            "`to` is not after `from`",
            "an instant after `from`",
        ));
    }
    let hours_max = match wanted.granularity {
        Granularity::Minute => MINUTE_HOURS_MAX,
        _ => HOURS_MAX,
    };
    if to.0 - from.0 > u64::from(hours_max) * HOUR_MS {
        let expected = format!("at most {hours_max} hours after `from` with this granularity");
        return Err(Problem::parameter(
            "to",
            format!("`to` is too late: {expected}"),
            expected,
        ));
    }
    let last = WallMs(to.0 - 1).hour();
    let outside = |e: CalendarError| Problem::parameter("from", e.to_string(), INSTANT);
    let around = |hour: Hour| -> Result<Range<Hour>, CalendarError> {
        match wanted.granularity {
            Granularity::Day => zone.day_of(hour).and_then(|day| zone.day_hours(day)),
            Granularity::Month => zone.month_of(hour).and_then(|month| zone.month_hours(month)),
            Granularity::Minute | Granularity::Hour => Ok(hour..hour.next()),
        }
    };
    match wanted.granularity {
        Granularity::Minute => Ok(from..to),
        _ => {
            let first = around(from.hour()).map_err(outside)?.start;
            let end = around(last).map_err(outside)?.end;
            Ok(first.start()..end.start())
        }
    }
}
