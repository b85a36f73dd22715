//! Late usage of months that have their invoices: what came behind the seal is re-rated in its own month, with that
//! month's tiers, prices and terms; the difference goes onto the next invoice, or onto a note when somebody asks for one.
//!
//! Each part goes onto one document: a document says from which position of the log to which it bills a month's late
//! usage, and only one that begins where the last one ended is issued (I9, I12). It must not know how lines are drawn.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tallyman_common::money::{Money, MoneyError};
use tallyman_common::time::Hour;

use super::command::{MoneyCommand, NoteLine, NoteTax};
use super::document::{Adjusted, Kind};
use super::draft::{DraftError, Past, due_day, rated};
use super::past::final_seal;
use super::reads::{document, invoice_of};
use super::tables::{AccountsError, get, keys};
use crate::bills::late::{LateHour, back_dated, late_hours};
use crate::bills::{BillError, Books};
use crate::ports::{Read, Table};
use crate::rating::statement::{Statement, StatementLine, difference};
use crate::rating::{BillingZone, Month};
use crate::registry::Account;

/// How far back late usage is billed: longer than batches are kept for a resend, shorter than books are closed.
const BACK_HOURS: u32 = 400 * 24;

/// Accounts with usage that came behind the seal of its hour, and the months of it.
#[derive(Debug, Clone)]
pub struct LateMonths {
    months: BTreeMap<String, BTreeSet<Month>>,
    /// Nobody looked before this hour.
    oldest: Hour,
}

/// Lines for late usage, and which part of it they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Late {
    /// Lines, by month.
    pub lines: Vec<StatementLine>,
    /// Months, with the positions between which it came.
    pub adjusted: Vec<Adjusted>,
}

/// Position up to which a month's usage is billed: by its invoice, or by what billed late usage behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounted {
    /// Up to here.
    Upto(u64),
    /// It has no invoice, and nothing behind one.
    Nothing,
    /// Its invoice is void: late usage waits until the month is billed again.
    Void,
}

/// How far an account's month is billed.
pub fn accounted(read: &dyn Read, account: &str, month: &str) -> Result<Accounted, AccountsError> {
    let behind: Option<u64> = get(read, Table::MoneyIndex, &keys::adjusted(account, month))?;
    let invoice = invoice_of(read, account, month)?;
    Ok(match (invoice, behind) {
        (Some((_, record)), _) if record.voided.is_some() => Accounted::Void,
        (_, Some(upto)) => Accounted::Upto(upto),
        (Some((invoice, _)), None) => Accounted::Upto(invoice.position),
        (None, None) => Accounted::Nothing,
    })
}

impl LateMonths {
    /// Reads which accounts have late parts, or tenants whose terms were set for sealed hours. Some of them may be billed by
    /// now, and some come to no difference.
    pub fn read(books: Books<'_>) -> Result<Self, BillError> {
        let Some(newest) = books.registry.seals.newest() else {
            return Ok(Self {
                months: BTreeMap::new(),
                oldest: Hour(0),
            });
        };
        let oldest = newest.0.checked_sub(BACK_HOURS).map_or(Hour(0), Hour);
        let mut found: BTreeMap<String, BTreeSet<Month>> = BTreeMap::new();
        let late = late_hours(books, oldest..newest.next())?;
        for LateHour { account, zone, hour } in late.into_iter().chain(back_dated(books, oldest)?) {
            let zone = BillingZone::parse(&zone).map_err(|e| BillError::Rating(e.to_string()))?;
            let month = zone
                .month_of(hour)
                .map_err(|e| BillError::Rating(e.to_string()))?;
            found.entry(account).or_default().insert(month);
        }
        Ok(Self {
            months: found,
            oldest,
        })
    }

    /// Whether a month of an account may be another one now than when it was sealed.
    pub fn may_have_changed(&self, account: &str, (month, hours): (Month, &Range<Hour>)) -> bool {
        let known = self.months.get(account);
        hours.start < self.oldest || known.is_some_and(|it| it.contains(&month))
    }

    /// Months of an account before one, oldest first.
    fn before(&self, account: &str, month: Month) -> impl Iterator<Item = Month> {
        let known = self.months.get(account).into_iter().flatten();
        known.copied().filter(move |it| *it < month)
    }

    /// Positions from which on months before one are to be billed again, of all accounts.
    pub(super) fn positions(&self, books: Books<'_>, month: Month) -> Result<BTreeSet<u64>, DraftError> {
        let mut found = BTreeSet::new();
        for key in self.months.keys() {
            let Some(account) = books.registry.payers.accounts.get(key) else {
                continue;
            };
            let zone = BillingZone::parse(&account.zone).map_err(unrated)?;
            for earlier in self.before(key, month) {
                let known = accounted(books.store, key, &earlier.to_string())?;
                found.extend(since(books, &zone, earlier, known)?);
            }
        }
        Ok(found)
    }
}

/// What late usage of an account's earlier months costs, as of the books: what no document has yet.
pub(super) fn late(
    past: &Past<'_>,
    books: Books<'_>,
    (account, zone): (&Account, &BillingZone),
    (months, before): (&LateMonths, Month),
) -> Result<Late, DraftError> {
    let mut found = Late::default();
    for month in months.before(&account.account, before) {
        let (lines, adjusted) = match of_month(past, books, (account, zone), month)? {
            Some(one) => one,
            None => continue,
        };
        found.lines.extend(lines);
        found.adjusted.push(adjusted);
    }
    Ok(found)
}

/// The same of one month; `None` when nothing is to be billed.
fn of_month(
    past: &Past<'_>,
    books: Books<'_>,
    (account, zone): (&Account, &BillingZone),
    month: Month,
) -> Result<Option<(Vec<StatementLine>, Adjusted)>, DraftError> {
    let Some(change) = change(past, books, (account, zone), month)? else {
        return Ok(None);
    };
    let lines = difference(month, &change.before, &change.after).map_err(unrated)?;
    Ok((!lines.is_empty()).then_some((lines, change.adjusted)))
}

/// A month as it was billed, and as it is now.
struct Change {
    before: Statement,
    after: Statement,
    adjusted: Adjusted,
}

/// From which position on a month is to be billed again; `None` when there is nothing behind what is billed.
fn since(
    books: Books<'_>,
    zone: &BillingZone,
    month: Month,
    known: Accounted,
) -> Result<Option<u64>, DraftError> {
    let since = match known {
        Accounted::Upto(since) => Some(since),
        Accounted::Nothing => {
            let hours = zone.month_hours(month).map_err(unrated)?;
            final_seal(books, &hours).map(|it| it.position)
        }
        Accounted::Void => None,
    };
    Ok(since.filter(|since| *since < books.position))
}

fn change(
    past: &Past<'_>,
    books: Books<'_>,
    (account, zone): (&Account, &BillingZone),
    month: Month,
) -> Result<Option<Change>, DraftError> {
    let known = accounted(books.store, &account.account, &month.to_string())?;
    let Some(since) = since(books, zone, month, known)? else {
        return Ok(None);
    };
    let registry = past.registry(since)?;
    let then = Books {
        registry: &registry,
        position: since,
        ..books
    };
    let before = rated(then, (account, zone), month, (&[], &[]))?.statement;
    if known == Accounted::Nothing && !before.lines.is_empty() {
        // It still waits for an invoice of its own.
        return Ok(None);
    }
    Ok(Some(Change {
        before,
        after: rated(books, (account, zone), month, (&[], &[]))?.statement,
        adjusted: Adjusted {
            month: month.to_string(),
            since,
            upto: books.position,
        },
    }))
}

/// A note over what came late for an invoice's month, to be issued now instead of with the next invoice; `None` when
/// nothing came that costs anything. Tax is in it as it is in the invoice.
pub fn note(books: Books<'_>, number: &str, reason: &str) -> Result<Option<MoneyCommand>, DraftError> {
    let missing = || DraftError::NoInvoice(number.to_owned());
    let (document, record) = document(books.store, number)?
        .filter(|(document, _)| document.kind == Kind::Invoice)
        .ok_or_else(missing)?;
    let accounts = &books.registry.payers.accounts;
    let account = accounts.get(&document.account.key).ok_or_else(missing)?;
    let zone = BillingZone::parse(&account.zone).map_err(unrated)?;
    let month = Month::parse(&document.period.month).map_err(unrated)?;
    // As of the newest seal: what came since can still be billed behind it.
    let newest = books
        .registry
        .seals
        .newest()
        .and_then(|hour| books.registry.seals.of(hour));
    let Some(seal) = newest else { return Ok(None) };
    let past = Past::new(books.store);
    let now = Books {
        registry: &*past.registry(seal.position)?,
        position: seal.position,
        ..books
    };
    let Some(change) = change(&past, now, (account, &zone), month)? else {
        return Ok(None);
    };
    let total = change
        .after
        .total
        .checked_sub(change.before.total)
        .map_err(unrated)?;
    let zero = Money::zero(total.currency());
    let (kind, amount) = match total.minor_units().cmp(&0) {
        Ordering::Equal => return Ok(None),
        Ordering::Greater => (Kind::DebitNote, total),
        Ordering::Less => (Kind::CreditNote, zero.checked_sub(total).map_err(unrated)?),
    };
    let title = match account.language.as_str() {
        "zh" => format!("{month} 补报用量"),
        _ => format!("Late usage of {month}"),
    };
    let taxes = taxes(&change, &account.language, kind).map_err(unrated)?;
    Ok(Some(MoneyCommand::IssueNote {
        trace: trace(number, &change.adjusted, record.notes.len()),
        kind,
        corrects: number.to_owned(),
        lines: vec![NoteLine {
            title,
            amount,
            line: None,
        }],
        reason: reason.to_owned(),
        due: match kind {
            Kind::DebitNote => Some(due_day(books, account, &zone)?.to_string()),
            _ => None,
        },
        adjusted: Some(change.adjusted),
        taxes,
    }))
}

/// A note that was made void is issued again under another name.
fn trace(number: &str, Adjusted { since, upto, .. }: &Adjusted, notes: usize) -> String {
    match notes {
        0 => format!("adjust/{number}/{since}-{upto}"),
        _ => format!("adjust/{number}/{since}-{upto}/{notes}"),
    }
}

/// By rate the tax that the month has now less what it had, as a note of a kind says it.
fn taxes(change: &Change, language: &str, kind: Kind) -> Result<Vec<NoteTax>, MoneyError> {
    let mut rates: BTreeMap<(&str, String), (NoteTax, usize)> = BTreeMap::new();
    let zero = Money::zero(change.after.currency);
    let (before, after) = (&change.before.taxes, &change.after.taxes);
    for (tax, is_after) in after
        .iter()
        .map(|it| (it, true))
        .chain(before.iter().map(|it| (it, false)))
    {
        let place = rates.len();
        let key = (tax.class.as_str(), tax.percent.to_string());
        let (sum, _) = rates.entry(key).or_insert_with_key(|(_, percent)| {
            let title = tax.titles.in_language(language).to_owned();
            let (percent, basis, amount) = (percent.clone(), zero, zero);
            let none = NoteTax {
                title,
                percent,
                basis,
                amount,
            };
            (none, place)
        });
        let gross = if tax.is_included {
            tax.basis
        } else {
            tax.basis.checked_add(tax.amount)?
        };
        // What a debit note adds a credit note takes back.
        let add = |to: Money, it: Money| match is_after == (kind == Kind::DebitNote) {
            true => to.checked_add(it),
            false => to.checked_sub(it),
        };
        (sum.basis, sum.amount) = (add(sum.basis, gross)?, add(sum.amount, tax.amount)?);
    }
    let mut found: Vec<(NoteTax, usize)> = rates.into_values().collect();
    found.sort_by_key(|(_, place)| *place);
    let taxes = found.into_iter().map(|(tax, _)| tax);
    Ok(taxes.filter(|it| it.basis != zero || it.amount != zero).collect())
}

fn unrated(e: impl ToString) -> DraftError {
    DraftError::Bill(BillError::Rating(e.to_string()))
}
