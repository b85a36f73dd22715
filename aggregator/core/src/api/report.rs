//! Reports for spreadsheets and finance: the usage of a month, every tenant's items, one row each; and the lines of an
//! invoice. Each tenant's month is that of its own zone. Nothing is added up here.

use std::collections::BTreeMap;
use std::slice;

use serde::Serialize;
use tallyman_common::money::round_minor;

use crate::accounts::Document;
use crate::accounts::document::{Line, Section};
use crate::accounts::draft::{DraftError, Past};
use crate::accounts::month::{AccountMonth, Payer, View, at_month, payer};
use crate::bills::account::Payee;
use crate::bills::month::rate_month;
use crate::bills::standing::{FINAL, status};
use crate::bills::{BillError, Books, Completeness, Viewer, last_priced};
use crate::csv;
use crate::rating::sums::ItemSum;
use crate::rating::{Item, ItemKey, Month};

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

/// Rows of a month of some accounts, by tenant, items in the order of the price book. Tenants that can't be rated have a row
/// with the reason. `past` keeps what is read of earlier positions for the next accounts.
pub fn part((books, past): (Books<'_>, &Past<'_>), month: Month, accounts: &[String]) -> Vec<TenantRows> {
    let payers = accounts.iter().filter_map(|it| payer(books.registry, it));
    let rows = payers.flat_map(|payer| match of_account((books, past), &payer, month) {
        Ok(rows) => rows,
        Err(error) => {
            let tenants = books.registry.tenants.ever_of(&payer.account);
            let row = |tenant: &str| (tenant.to_owned(), vec![fault(month, tenant, error.to_string())]);
            tenants.map(row).collect()
        }
    });
    rows.collect()
}

/// Rows of a tenant.
pub type TenantRows = (String, Vec<ReportRow>);

fn of_account(
    (books, past): (Books<'_>, &Past<'_>),
    payer: &Payer,
    month: Month,
) -> Result<Vec<TenantRows>, DraftError> {
    at_month(books, (payer, month), (View::Billed, past), |it| {
        let rate = |payees: &[Payee], pools| {
            rate_month(
                it.books,
                (payees, &it.versions),
                &it.zone,
                it.hours.clone(),
                pools,
            )
        };
        // Who pools climbs the tiers of all; which minutes came is told of each alone.
        let pooled = (it.terms.pools && it.payees.len() > 1).then(|| rate(&it.payees, true));
        let pooled = pooled.transpose()?;
        let of_payee = |payee: &Payee| {
            let own = rate(slice::from_ref(payee), false)?;
            let sums = &pooled.as_ref().unwrap_or(&own).sums;
            let common = past.common(it.books)?;
            let complete = common.completeness(it.books, &own, &it.hours, Viewer::Operator);
            let of = Of {
                month: &it,
                payee,
                complete: complete.map_err(BillError::from)?,
            };
            let items = sums.tenants.get(&payee.tenant);
            let faults = own
                .faults
                .iter()
                .map(|text| of.row(Default::default(), text.clone()));
            let rows: Vec<ReportRow> = of.items(items)?.into_iter().chain(faults).collect();
            Ok((payee.tenant.clone(), rows))
        };
        it.payees.iter().map(of_payee).collect()
    })
}

/// A tenant's month.
struct Of<'a> {
    month: &'a AccountMonth<'a>,
    payee: &'a Payee,
    complete: Completeness,
}

impl Of<'_> {
    /// Items in the order of the newest price book; those that only earlier ones had come last, by key.
    fn items(&self, sums: Option<&BTreeMap<ItemKey, ItemSum>>) -> Result<Vec<ReportRow>, BillError> {
        let Some(sums) = sums else {
            return Ok(Vec::new());
        };
        let (versions, AccountMonth { books, hours, .. }) = (&self.payee.books, self.month);
        let last = last_priced(versions, hours, books.now);
        let order = versions.at(last).map_or(&[][..], |book| book.items());
        let listed = order.iter().map(Item::key);
        let gone = sums.keys().filter(|key| !order.iter().any(|it| it.key() == *key));
        let mut rows = Vec::new();
        for key in listed.chain(gone) {
            let (Some(sum), Some(item)) = (sums.get(key), versions.newest_with(key, last)) else {
                continue;
            };
            let book = versions
                .at(last)
                .ok_or_else(|| BillError::NoBook(self.month.payer.currency.clone()))?;
            let amount = round_minor(sum.amount, book.currency(), book.rounding());
            let amount = amount.map_err(|e| BillError::Rating(format!("item `{key}`: {e}")))?;
            let cells = [
                key.as_str().to_owned(),
                item.title_in(&self.month.payer.language).to_owned(),
                item.unit_name().to_owned(),
                sum.quantity.to_string(),
                sum.amount.to_string(),
                amount.number(),
            ];
            rows.push(self.row(cells, String::new()));
        }
        Ok(rows)
    }

    fn row(&self, [key, title, unit, quantity, exact, amount]: [String; 6], fault: String) -> ReportRow {
        let AccountMonth {
            books,
            payer,
            hours,
            is_final,
            ..
        } = self.month;
        let tenant = books.registry.tenants.at_end(&self.payee.tenant, hours);
        ReportRow([
            self.month.month.to_string(),
            self.payee.tenant.clone(),
            tenant.map_or_else(String::new, |it| it.name.clone()),
            payer.account.clone(),
            payer.zone.clone(),
            key,
            title,
            unit,
            quantity,
            exact,
            amount,
            payer.currency.clone(),
            if *is_final { FINAL } else { status(*books, hours) }.to_owned(),
            self.complete.expected_node_minutes.to_string(),
            self.complete.received_node_minutes.to_string(),
            self.complete.complete.to_string(),
            fault,
        ])
    }
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

/// The report as text: a first line of names, then all rows by tenant.
pub fn usage_csv(mut parts: Vec<TenantRows>) -> String {
    parts.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = csv::line(COLUMNS.iter().map(|it| (*it).to_owned()));
    for row in parts.iter().flat_map(|(_, rows)| rows) {
        text.push_str(&row.csv());
    }
    text
}
