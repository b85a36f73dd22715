//! Files: invoices and notes on paper, as a page, as data; the usage of a month for spreadsheets. Made when they are asked
//! for; the same document always gives the same bytes.

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use tallyman_aggregator_core::accounts::Document;
use tallyman_aggregator_core::accounts::reads;
use tallyman_aggregator_core::accounts::standing::Receivable;
use tallyman_aggregator_core::rating::Month;
use tallyman_paper::Extra;

use super::ask::{Params, Segment, TENANT_ID};
use super::auth::{AnyScope, OperatorScope};
use super::gate::{AllBooks, Api, TenantBooks};
use super::invoices::{failed, missing};
use super::problem::Problem;
use crate::document_file::{CSV_TYPE, Format, document_file};
use crate::whole;

/// `GET /api/v1/billing/invoices/{id}/download`
pub async fn download(
    State(api): State<Api>,
    scope: AnyScope,
    Segment(name): Segment,
    params: Params,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let params = params.only(&[TENANT_ID, "format"])?;
    let format = params.read("format", "pdf, html, json or csv", Format::parse)?;
    let format = format.map_or(Format::Pdf, |format| format);
    let of = move |found: Option<(Document, Receivable)>, name: &str| {
        let (document, record) = found.ok_or_else(|| missing(name))?;
        Ok::<_, Problem>((file(&document, record, format)?, headers(&document, format)?))
    };
    let (bytes, headers) = match scope {
        AnyScope::Tenant(scope) => {
            let ask = move |books: TenantBooks<'_>| of(books.invoice(&name)?, &name);
            api.read_tenant(scope, ask).await?
        }
        AnyScope::Operator(scope) => {
            let ask = move |all: AllBooks<'_>| {
                let found = reads::document(all.books.store, &name).map_err(failed)?;
                of(found, &name)
            };
            api.read_all(scope, ask).await?
        }
    };
    Ok((headers, bytes))
}

fn file(document: &Document, record: Receivable, format: Format) -> Result<Vec<u8>, Problem> {
    let extra = Extra {
        external_tax_number: record.external_tax_number,
    };
    document_file(document, &extra, format).map_err(|e| Problem::internal(&e))
}

/// What it is, and what a browser calls the file: its number has nothing that would need quoting.
fn headers(document: &Document, format: Format) -> Result<HeaderMap, Problem> {
    let (kind, ending) = (format.content_type(), format.name());
    let name = document.number.as_ref().map_or(&document.id, |number| number);
    let place = format!("attachment; filename=\"{name}.{ending}\"");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let place = HeaderValue::from_str(&place).map_err(|e| Problem::internal(&e))?;
    headers.insert(CONTENT_DISPOSITION, place);
    Ok(headers)
}

/// `GET /api/v1/admin/usage-report`
pub async fn usage_report(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<(HeaderMap, String), Problem> {
    const EXPECTED: &str = "a month such as 2026-01";
    let params = params.only(&["month"])?;
    let month = params.read("month", EXPECTED, |text| Month::parse(text).ok())?;
    let month =
        month.ok_or_else(|| Problem::parameter("month", format!("say which: {EXPECTED}"), EXPECTED))?;
    let ask = move |all: AllBooks<'_>| whole::usage_report(all.books, month).map_err(Problem::from);
    let text = api.read_all(scope, ask).await?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CSV_TYPE));
    let place = format!("attachment; filename=\"usage-{month}.csv\"");
    let place = HeaderValue::from_str(&place).map_err(|e| Problem::internal(&e))?;
    headers.insert(CONTENT_DISPOSITION, place);
    Ok((headers, text))
}
