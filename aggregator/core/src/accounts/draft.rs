//! From an account's month to a draft of its invoice: usage, terms, statement, document.
//!
//! Invariants: I6 (the same inputs at the same position give the same bytes), I7. Of a month that is final, usage, prices
//! and terms are what stood when it was sealed (I9); names and addresses are those of now, for a draft is not issued
//! yet. It must not know numbers, clocks or paper.

use std::ops::Range;

use tallyman_common::ids::Digest;
use tallyman_common::time::{Hour, WallMs};

use super::adjust::{self, LateMonths};
use super::ahead::billed_ahead;
use super::command::Draft;
use super::document::{Document, Kind, Party, Period};
pub use super::past::Past;
use super::past::final_seal;
use super::reads::grants_of;
use super::sections::{coverage, deduction, fees, price_books, sections, tax};
use super::tables::AccountsError;
use crate::bills::account::payees;
use crate::bills::month::{MonthUsage, rate_month};
use crate::bills::{BillError, Books, Viewer, last_priced};
use crate::rating::policy::{ORDER, Titles};
use crate::rating::statement::{Grant, Input, Statement, StatementLine, statement};
use crate::rating::{BillingZone, BookVersions, Day, ItemKey, Month, Terms, hour_text};
use crate::registry::{Account, Seller};

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// Nobody registered the account.
    #[error("account `{0}` is not registered: register it with `tallyman-aggregator account set`")]
    NoAccount(String),
    /// There is no such invoice.
    #[error("there is no invoice `{0}` of an account that is registered")]
    NoInvoice(String),
    /// The month has not ended, or is not final yet.
    #[error("month {month} of account `{account}` is not final: {why}")]
    NotFinal {
        /// Whose.
        account: String,
        /// Which.
        month: Month,
        /// What it waits for.
        why: &'static str,
    },
    /// Usage can't be rated.
    #[error(transparent)]
    Bill(#[from] BillError),
    /// The tables of money can't be read.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Something in the month could not be rated; an invoice would leave it out.
    #[error("{} of account `{account}` could not be rated, the first: {first}", count)]
    Faults {
        /// Whose.
        account: String,
        /// How many.
        count: usize,
        /// The first.
        first: String,
    },
}

/// What a draft is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To look at: any month, as it stands now.
    Preview,
    /// To be issued: a final month without faults.
    Issue,
}

/// Drafts the invoice of an account's month; its day of issue is today in the account's zone.
pub fn draft(books: Books<'_>, account: &str, month: Month, purpose: Purpose) -> Result<Draft, DraftError> {
    let late = LateMonths::read(books)?;
    draft_beside((books, &Past::new(books.store), &late), account, month, purpose)
}

/// [`draft`], with what drafts of many accounts share.
pub(crate) fn draft_beside(
    (books, past, late): (Books<'_>, &Past<'_>, &LateMonths),
    account: &str,
    month: Month,
    purpose: Purpose,
) -> Result<Draft, DraftError> {
    let payers = &books.registry.payers;
    let account = payers
        .accounts
        .get(account)
        .ok_or_else(|| DraftError::NoAccount(account.to_owned()))?;
    let seller = payers
        .sellers
        .get(&account.seller)
        .expect("an account's seller is registered");
    let zone = BillingZone::parse(&account.zone).map_err(rating)?;
    let hours = zone.month_hours(month).map_err(rating)?;
    let made = match (final_seal(books, &hours), purpose) {
        (Some(seal), _) => {
            let then = Books {
                registry: &*past.registry(seal.position)?,
                position: seal.position,
                now: seal.at,
                ..books
            };
            make((then, past, late), (account, seller), &zone, month)?
        }
        (None, Purpose::Preview) => make((books, past, late), (account, seller), &zone, month)?,
        (None, Purpose::Issue) => {
            let why = if books.now < hours.end.start() {
                "it has not ended"
            } else {
                "its last hours are not sealed"
            };
            return Err(DraftError::NotFinal {
                account: account.account.clone(),
                month,
                why,
            });
        }
    };
    if let (Purpose::Issue, Some(first)) = (purpose, made.faults.first()) {
        let (count, first) = (made.faults.len(), first.clone());
        return Err(DraftError::Faults {
            account: account.account.clone(),
            count,
            first,
        });
    }
    dated(made, seller, account, &zone, books)
}

fn dated(
    document: Document,
    seller: &Seller,
    account: &Account,
    zone: &BillingZone,
    books: Books<'_>,
) -> Result<Draft, DraftError> {
    Ok(Draft {
        prefix: seller.prefix.clone(),
        issued: zone.day_of(books.now.hour()).map_err(rating)?.to_string(),
        due: due_day(books, account, zone)?.to_string(),
        document,
    })
}

/// The day until which what is issued now is to be paid, in the account's zone.
pub(super) fn due_day(books: Books<'_>, account: &Account, zone: &BillingZone) -> Result<Day, DraftError> {
    let mut due = zone.day_of(books.now.hour()).map_err(rating)?;
    for _ in 0..account.due_days {
        due = due.next().map_err(rating)?;
    }
    Ok(due)
}

pub(super) fn rating(e: impl ToString) -> DraftError {
    DraftError::Bill(BillError::Rating(e.to_string()))
}

/// The document of a month from books at one position.
fn make(
    (books, past, late): (Books<'_>, &Past<'_>, &LateMonths),
    (account, seller): (&Account, &Seller),
    zone: &BillingZone,
    month: Month,
) -> Result<Document, DraftError> {
    let late = adjust::late(past, books, (account, zone), (late, month))?;
    let hours = zone.month_hours(month).map_err(rating)?;
    let grants = grants(books, account, hours.end)?;
    let made = rated(books, (account, zone), month, (&grants, &late.lines))?;
    let mut document = document((books, past), (account, seller), (month, &hours), made)?;
    document.adjusted = late.adjusted;
    Ok(document)
}

/// A month's statement, and what it was made from.
pub(super) struct Rated {
    pub(super) statement: Statement,
    usage: MonthUsage,
    versions: BookVersions,
}

/// Rates a month of an account at one position of the log.
pub(super) fn rated(
    books: Books<'_>,
    (account, zone): (&Account, &BillingZone),
    month: Month,
    (grants, late): (&[Grant], &[StatementLine]),
) -> Result<Rated, DraftError> {
    let hours = zone.month_hours(month).map_err(rating)?;
    let terms = books.registry.payers.terms(&account.account, hours.start);
    let versions = books
        .registry
        .books_of(&account.currency)
        .filter(|v| !v.versions().is_empty());
    let versions = versions.ok_or_else(|| BillError::NoBook(account.currency.clone()))?;
    let payees = payees(books, &account.account, (&terms, month, &hours), &versions)?;
    let usage = rate_month(books, (&payees, &versions), zone, hours.clone(), terms.pools)?;
    let ahead = billed_ahead(books, (&account.account, &account.currency), month)?;
    let before = terms_before(books, &account.account, (zone, month))?;
    let input = Input {
        sums: &usage.sums,
        books: &versions,
        until: last_priced(&versions, &hours, books.now),
        terms: &terms,
        before: Some(&before),
        month,
        zone,
        grants,
        billed_ahead: &ahead,
        late,
    };
    let statement = statement(input).map_err(rating)?;
    Ok(Rated {
        statement,
        usage,
        versions,
    })
}

/// What was agreed for the month before.
pub(super) fn terms_before(
    books: Books<'_>,
    account: &str,
    (zone, month): (&BillingZone, Month),
) -> Result<Terms, DraftError> {
    let hours = zone
        .month_hours(month.previous().map_err(rating)?)
        .map_err(rating)?;
    Ok(books.registry.payers.terms(account, hours.start))
}

/// Credits that can pay usage up to the month's end.
fn grants(books: Books<'_>, account: &Account, end: Hour) -> Result<Vec<Grant>, DraftError> {
    let last = WallMs(end.start().0 - 1);
    let known = grants_of(books.store, &account.account, last)?;
    let own = known
        .into_iter()
        .filter(|it| it.left.currency().code() == account.currency);
    own.map(|it| {
        let items: Result<Vec<ItemKey>, String> =
            it.granted.items.iter().map(|key| ItemKey::parse(key)).collect();
        Ok(Grant {
            key: it.granted.key.clone(),
            titles: Titles {
                own: it.granted.title.clone(),
                by_language: Default::default(),
            },
            left: it.left,
            items: items.map_err(rating)?,
        })
    })
    .collect()
}

/// Identity of an account's first document of a month: the first 16 bytes of a digest, as hexadecimal digits.
pub fn document_id(account: &str, month: Month, kind: Kind) -> String {
    identity(account, month, kind, "")
}

/// The same of a document that stands in for a void one.
fn identity(account: &str, month: Month, kind: Kind, instead: &str) -> String {
    let kind = serde_json::to_string(&kind).expect("plain data");
    let parts = [
        b"tallyman document".as_slice(),
        account.as_bytes(),
        b"\0",
        month.to_string().as_bytes(),
        kind.as_bytes(),
        instead.as_bytes(),
    ]
    .concat();
    let digest = Digest::of(&[&parts]).to_string();
    digest.chars().take(32).collect()
}

impl Draft {
    /// Makes it stand in for a void invoice of the same account and month; one can do so once (I12).
    pub(super) fn stands_in_for(&mut self, number: &str, month: Month) {
        let document = &mut self.document;
        document.id = identity(&document.account.key, month, document.kind, number);
        document.corrects = Some(number.to_owned());
    }
}

fn document(
    (books, past): (Books<'_>, &Past<'_>),
    (account, seller): (&Account, &Seller),
    (month, hours): (Month, &Range<Hour>),
    made: Rated,
) -> Result<Document, DraftError> {
    let Rated {
        statement: made,
        usage,
        versions,
    } = made;
    let language = &account.language;
    let common = past.common(books)?;
    let covered = common.completeness(books, &usage, hours, Viewer::Tenant);
    let covered = covered.map_err(BillError::from)?;
    let deductions = |list: &[crate::rating::statement::Deduction]| {
        list.iter().map(|it| deduction(it, language)).collect()
    };
    Ok(Document {
        format: super::document::DOCUMENT_FORMAT,
        kind: Kind::Invoice,
        id: document_id(&account.account, month, Kind::Invoice),
        number: None,
        corrects: None,
        reason: None,
        issued: None,
        due: None,
        seller: Party {
            key: seller.seller.clone(),
            name: seller.name.clone(),
            address: seller.address.clone(),
            tax_id: seller.tax_id.clone(),
            contact: seller.contact.clone(),
            bank: seller.bank.clone(),
        },
        account: Party {
            key: account.account.clone(),
            name: account.name.clone(),
            address: account.address.clone(),
            tax_id: account.tax_id.clone(),
            contact: account.contact.clone(),
            bank: Vec::new(),
        },
        period: Period {
            month: month.to_string(),
            start: hour_text(hours.start),
            end: hour_text(hours.end),
            zone: account.zone.clone(),
        },
        language: language.clone(),
        currency: made.currency.code().to_owned(),
        rounding: made.rounding.name().to_owned(),
        order: ORDER.iter().map(|it| (*it).to_owned()).collect(),
        sections: sections(books, &made, language).map_err(rating)?,
        subtotal: made.subtotal.number(),
        discounts: deductions(&made.discounts),
        credits: deductions(&made.credits),
        taxes: made.taxes.iter().map(|it| tax(it, language)).collect(),
        total: made.total.number(),
        coverage: coverage(covered, usage.inferred),
        faults: usage.faults,
        price_books: price_books(&versions, hours),
        position: books.position,
        adjusted: Vec::new(),
        fees: fees(&made, language),
    })
}
