//! Bills of an hour, a day or a month.

use std::ops::Range;

use axum::Json;
use axum::extract::State;
use tallyman_aggregator_core::bills::Bill;
use tallyman_aggregator_core::rating::calendar::CalendarError;
use tallyman_aggregator_core::rating::{BillingZone, Day, Month, parse_hour};
use tallyman_common::time::Hour;

use super::ask::{Params, Segment, TENANT};
use super::auth::TenantScope;
use super::gate::{Api, TenantBooks};
use super::problem::Problem;

/// How a part of a path names hours.
type Hours = fn(&str, &BillingZone) -> Result<Range<Hour>, CalendarError>;

/// `GET /api/v1/bills/hourly/{hour}`
pub async fn hourly(
    state: State<Api>,
    scope: TenantScope,
    segment: Segment,
    params: Params,
) -> Result<Json<Bill>, Problem> {
    let hours: Hours = |text, _| parse_hour(text).map(|hour| hour..hour.next());
    bill(state, scope, segment, params, ("hour", hours)).await
}

/// `GET /api/v1/bills/daily/{day}`
pub async fn daily(
    state: State<Api>,
    scope: TenantScope,
    segment: Segment,
    params: Params,
) -> Result<Json<Bill>, Problem> {
    let hours: Hours = |text, zone| Day::parse(text).and_then(|day| zone.day_hours(day));
    bill(state, scope, segment, params, ("day", hours)).await
}

/// `GET /api/v1/bills/monthly/{month}`
pub async fn monthly(
    state: State<Api>,
    scope: TenantScope,
    segment: Segment,
    params: Params,
) -> Result<Json<Bill>, Problem> {
    let hours: Hours = |text, zone| Month::parse(text).and_then(|month| zone.month_hours(month));
    bill(state, scope, segment, params, ("month", hours)).await
}

async fn bill(
    State(api): State<Api>,
    scope: TenantScope,
    Segment(text): Segment,
    params: Params,
    (name, hours): (&'static str, Hours),
) -> Result<Json<Bill>, Problem> {
    params.only(&[TENANT])?;
    let ask = move |books: TenantBooks<'_>| {
        let wrong = |e: CalendarError| Problem::parameter(name, e.to_string(), expected(name));
        let hours = hours(&text, &books.zone()?).map_err(wrong)?;
        Ok(books.bill(hours)?)
    };
    api.read_tenant(scope, ask).await.map(Json)
}

fn expected(name: &str) -> &'static str {
    match name {
        "hour" => "the start of an hour in UTC such as 2026-01-31T23:00:00Z",
        "day" => "a day such as 2026-01-31",
        _ => "a month such as 2026-01",
    }
}
