//! Files: invoices and notes on paper, as a page, as data; the usage of a month for spreadsheets. Made when they are asked
//! for; the same document always gives the same bytes.

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use tallyman_aggregator_core::accounts::Document;
use tallyman_aggregator_core::accounts::reads;
use tallyman_aggregator_core::accounts::standing::Receivable;
use tallyman_aggregator_core::api::report::{document_csv, usage_csv};
use tallyman_aggregator_core::rating::Month;
use tallyman_paper::Extra;

use super::ask::{Params, Segment, TENANT_ID};
use super::auth::{AnyScope, OperatorScope};
use super::gate::{AllBooks, Api, TenantBooks};
use super::invoices::{failed, missing};
use super::problem::Problem;

/// Comma-separated values, as a content type.
const CSV: &str = "text/csv; charset=utf-8";

/// What a file is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Pdf,
    Html,
    Json,
    Csv,
}

impl Format {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "pdf" => Some(Self::Pdf),
            "html" => Some(Self::Html),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Pdf => ("application/pdf", "pdf"),
            Self::Html => ("text/html; charset=utf-8", "html"),
            Self::Json => ("application/json", "json"),
            Self::Csv => (CSV, "csv"),
        }
    }
}

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
    match format {
        Format::Pdf => tallyman_paper::pdf(document, &extra).map_err(|e| Problem::internal(&e)),
        Format::Html => Ok(tallyman_paper::html(document, &extra).into_bytes()),
        Format::Csv => Ok(document_csv(document).into_bytes()),
        Format::Json => serde_json::to_vec(document).map_err(|e| Problem::internal(&e)),
    }
}

/// What it is, and what a browser calls the file: its number has nothing that would need quoting.
fn headers(document: &Document, format: Format) -> Result<HeaderMap, Problem> {
    let (kind, ending) = format.kind();
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
    let ask = move |all: AllBooks<'_>| Ok(usage_csv(all.books, month));
    let text = api.read_all(scope, ask).await?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CSV));
    let place = format!("attachment; filename=\"usage-{month}.csv\"");
    let place = HeaderValue::from_str(&place).map_err(|e| Problem::internal(&e))?;
    headers.insert(CONTENT_DISPOSITION, place);
    Ok((headers, text))
}
