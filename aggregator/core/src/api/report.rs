//! Reports for spreadsheets and finance: the usage of a month, every tenant's items, one row each; and the lines of an
//! invoice. Each tenant's month is that of its own zone. Nothing is added up here.

use serde::Serialize;

use crate::accounts::Document;
use crate::accounts::document::{Line, Section};
use crate::bills::{Bill, BillError, Books, Viewer, draft};
use crate::csv;
use crate::rating::{BillingZone, Month};

/// The names of the columns.
pub const COLUMNS: [&str; 17] = [
    "month",
    "tenant",
    "tenant_name",
    "account",
    "zone",
    "item",
    "title",
    "unit",
    "quantity",
    "amount_exact",
    "amount",
    "currency",
    "status",
    "expected_node_minutes",
    "received_node_minutes",
    "complete",
    "fault",
];

/// A row: an item of a tenant's month, or what could not be rated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportRow([String; 17]);

impl ReportRow {
    /// As a line of comma-separated values.
    pub fn csv(&self) -> String {
        csv::line(self.0.iter().cloned())
    }
}

/// All rows of a month, by tenant, items in the order of its bill. A tenant that can't be billed has a row with the reason.
pub fn usage_report(books: Books<'_>, month: Month) -> Vec<ReportRow> {
    let mut keys: Vec<&str> = books
        .registry
        .tenants
        .iter()
        .map(|it| it.tenant.as_str())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .flat_map(|tenant| match bill(books, tenant, month) {
            Ok(bill) => rows(month, &bill),
            Err(error) => vec![fault(month, tenant, error.to_string())],
        })
        .collect()
}

fn bill(books: Books<'_>, tenant: &str, month: Month) -> Result<Bill, BillError> {
    let terms = books.registry.tenants.latest(tenant);
    let terms = terms.ok_or_else(|| BillError::NoTenant(tenant.to_owned()))?;
    let calendar = |e: crate::rating::calendar::CalendarError| BillError::Rating(e.to_string());
    let zone = BillingZone::parse(&terms.zone).map_err(calendar)?;
    draft(
        books,
        tenant,
        zone.month_hours(month).map_err(calendar)?,
        Viewer::Operator,
    )
}

fn rows(month: Month, bill: &Bill) -> Vec<ReportRow> {
    let complete = &bill.completeness;
    let row = |item: [String; 6], fault: String| {
        let [key, title, unit, quantity, exact, amount] = item;
        ReportRow([
            month.to_string(),
            bill.tenant.clone(),
            bill.tenant_name.clone(),
            bill.account.clone(),
            bill.zone.clone(),
            key,
            title,
            unit,
            quantity,
            exact,
            amount,
            bill.currency.clone(),
            bill.status.to_owned(),
            complete.expected_node_minutes.to_string(),
            complete.received_node_minutes.to_string(),
            complete.complete.to_string(),
            fault,
        ])
    };
    let lines = bill.lines.iter().map(|it| {
        let item = [
            it.item.clone(),
            it.title.clone(),
            it.unit.to_string(),
            it.quantity.clone(),
            it.amount_exact.clone(),
            it.amount.clone(),
        ];
        row(item, String::new())
    });
    let faults = bill
        .faults
        .iter()
        .map(|text| row(Default::default(), text.clone()));
    lines.chain(faults).collect()
}

fn fault(month: Month, tenant: &str, text: String) -> ReportRow {
    let mut cells: [String; 17] = Default::default();
    cells[0] = month.to_string();
    cells[1] = tenant.to_owned();
    cells[16] = text;
    ReportRow(cells)
}

const LINE_COLUMNS: [&str; 16] = [
    "number",
    "account",
    "month",
    "kind",
    "tenant",
    "corrected_month",
    "line",
    "item",
    "title",
    "unit",
    "quantity",
    "unit_price",
    "amount_exact",
    "amount",
    "currency",
    "tax_class",
];

/// A document as comma-separated values: its lines, then what is taken off, taxes and the total as lines without an item.
pub fn document_csv(document: &Document) -> String {
    let mut text = csv::line(LINE_COLUMNS.iter().map(|it| (*it).to_owned()));
    for section in &document.sections {
        for line in &section.lines {
            text.push_str(&line_csv(document, section, line));
        }
    }
    let rest = |kind: &str, title: &str, amount: &str| rest_csv(document, [kind, title, amount]);
    for it in &document.discounts {
        text.push_str(&rest("discount", &it.title, &it.amount));
    }
    for it in &document.credits {
        text.push_str(&rest("credit", &it.title, &it.amount));
    }
    for it in &document.taxes {
        let kind = if it.included { "tax_included" } else { "tax" };
        text.push_str(&rest(kind, &it.title, &it.amount));
    }
    text + &rest("total", "", &document.total)
}

/// Number, account and month, which begin each row.
fn heading(document: &Document) -> [String; 3] {
    [
        document.number.as_deref().map_or("", |it| it).to_owned(),
        document.account.key.clone(),
        document.period.month.clone(),
    ]
}

fn line_csv(document: &Document, section: &Section, line: &Line) -> String {
    let own = |text: &Option<String>| text.as_deref().map_or("", |it| it).to_owned();
    let cells = [
        section.kind.name().to_owned(),
        own(&section.tenant),
        own(&section.month),
        line.number.to_string(),
        line.item.clone(),
        line.title.clone(),
        own(&line.unit),
        own(&line.quantity),
        own(&line.unit_price),
        line.amount_exact.clone(),
        line.amount.clone(),
        document.currency.clone(),
        line.tax_class.clone(),
    ];
    csv::line(heading(document).into_iter().chain(cells))
}

fn rest_csv(document: &Document, [kind, title, amount]: [&str; 3]) -> String {
    let mut cells: [String; 13] = Default::default();
    for (place, text) in [(0, kind), (5, title), (10, amount), (11, &document.currency)] {
        text.clone_into(&mut cells[place]);
    }
    csv::line(heading(document).into_iter().chain(cells))
}

/// The report with a first line of names.
pub fn usage_csv(books: Books<'_>, month: Month) -> String {
    let mut text = csv::line(COLUMNS.iter().map(|it| (*it).to_owned()));
    for row in usage_report(books, month) {
        text.push_str(&row.csv());
    }
    text
}
