//! "Why this amount?": from a line of an invoice, or of a month's draft, to its tiers, to its hours, to the owners, nodes
//! and batches of one hour.
//!
//! Invariants: I6, I7: the hours are rated again one by one and must sum to the line to the last digit; whether they do is
//! part of the answer, because the line was made of sums, or was printed long ago. It must not know who may ask.

// One item of a month, hour by hour.
mod item;
// From the lines to the total.
mod totals;
// What is answered.
mod view;

use tallyman_common::time::Hour;

use super::document::{Document, Kind, SectionKind};
use super::draft::{DraftError, Purpose, draft};
use super::month::{Payer, payer};
use super::tables::AccountsError;
use crate::bills::{AsOf, BillError, Books, Viewer};
use crate::rating::instant::instant_text;
use crate::rating::{BillingZone, ItemKey, Month};
pub use totals::{Taken, Totals};
pub use view::{Explanation, HourLine, ItemAmount, Line, Tier};

/// What is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// An invoice, by number or identity.
    Invoice(String),
    /// An account's month as it stands: as it is billed once it is final.
    Month {
        /// Key of the account.
        account: String,
        /// Which month.
        month: Month,
    },
}

/// How deep it is explained.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// Lines of this tenant; of all without.
    pub tenant: Option<String>,
    /// This item of the tenant, hour by hour.
    pub item: Option<ItemKey>,
    /// This hour of it, with where it comes from.
    pub hour: Option<Hour>,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No such document.
    #[error("there is no invoice or note `{0}`")]
    NoDocument(String),
    /// A note has no usage of its own.
    #[error("`{0}` is a note: explain the invoice that it corrects")]
    Note(String),
    /// No such line.
    #[error("{month} has no metered line of item `{item}` for tenant `{tenant}`")]
    NoLine {
        /// Whose.
        tenant: String,
        /// Of what.
        item: String,
        /// When.
        month: Month,
    },
    /// The account never paid for the tenant.
    #[error("account `{account}` pays for no tenant `{tenant}`")]
    NoTenant {
        /// Whose lines.
        tenant: String,
        /// On whose invoice.
        account: String,
    },
    /// The question contradicts itself.
    #[error("{0}")]
    Question(&'static str),
    /// The month can't be rated.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl From<BillError> for ExplainError {
    fn from(error: BillError) -> Self {
        Self::Draft(error.into())
    }
}

impl From<AccountsError> for ExplainError {
    fn from(error: AccountsError) -> Self {
        Self::Draft(error.into())
    }
}

/// Explains.
pub fn explain(books: Books<'_>, of: Of, ask: &Ask, viewer: Viewer) -> Result<Explanation, ExplainError> {
    if ask.item.is_some() && ask.tenant.is_none() {
        return Err(ExplainError::Question(
            "an item is explained for one tenant: say which",
        ));
    }
    if ask.hour.is_some() && ask.item.is_none() {
        return Err(ExplainError::Question(
            "an hour is explained for one item: say which",
        ));
    }
    let (account, month, document) = match of {
        Of::Month { account, month } => (account, month, None),
        Of::Invoice(name) => {
            let document = issued(books, &name)?;
            let month = Month::parse(&document.period.month).map_err(rating)?;
            (document.account.key.clone(), month, Some(document))
        }
    };
    let payer = payer(books.registry, &account).ok_or(DraftError::NoAccount(account))?;
    if let Some(tenant) = &ask.tenant
        && !books
            .registry
            .tenants
            .ever_of(&payer.account)
            .any(|it| it == tenant)
    {
        return Err(ExplainError::NoTenant {
            tenant: tenant.clone(),
            account: payer.account,
        });
    }
    let mut explained = match (&ask.tenant, &ask.item) {
        (Some(tenant), Some(item)) => {
            let of = (&payer, month);
            item::explain(books, of, (tenant, item, ask.hour), viewer)?
        }
        _ => lines_of(books, (&payer, month), document.as_ref(), ask.tenant.as_deref())?,
    };
    if let (Some(document), Some(item)) = (&document, &ask.item) {
        let tenant = ask.tenant.as_deref();
        let printed =
            document_lines(document, tenant).find(|it| it.cause == "usage" && it.item == item.as_str());
        let is_same = printed.is_some_and(|it| Some(it.amount_exact) == usage_exact(&explained));
        explained.agrees = explained.agrees.map(|it| it && is_same);
    }
    explained.invoice = document.and_then(|it| it.number);
    Ok(explained)
}

fn usage_exact(explained: &Explanation) -> Option<String> {
    let line = explained.lines.iter().find(|it| it.cause == "usage");
    line.map(|it| it.amount_exact.clone())
}

fn issued(books: Books<'_>, name: &str) -> Result<Document, ExplainError> {
    let found = super::reads::document(books.store, name)?;
    let (document, _) = found.ok_or_else(|| ExplainError::NoDocument(name.to_owned()))?;
    if document.kind != Kind::Invoice {
        return Err(ExplainError::Note(name.to_owned()));
    }
    Ok(document)
}

fn rating(e: impl ToString) -> ExplainError {
    BillError::Rating(e.to_string()).into()
}

/// What every answer begins with.
fn head(books: Books<'_>, payer: &Payer, month: Month, is_final: bool) -> Explanation {
    Explanation {
        as_of: AsOf {
            position: books.position,
            at: instant_text(books.now),
        },
        invoice: None,
        account: payer.account.clone(),
        month,
        zone: payer.zone.clone(),
        currency: payer.currency.clone(),
        is_final,
        lines: Vec::new(),
        totals: None,
        hours: Vec::new(),
        sum_exact: None,
        agrees: None,
        sources: None,
        faults: Vec::new(),
    }
}

/// All lines of an invoice or of a draft.
fn lines_of(
    books: Books<'_>,
    (payer, month): (&Payer, Month),
    document: Option<&Document>,
    tenant: Option<&str>,
) -> Result<Explanation, ExplainError> {
    let drafted = match document {
        Some(_) => None,
        None => Some(draft(books, &payer.account, month, Purpose::Preview)?.document),
    };
    let document = document.or(drafted.as_ref()).expect("one of the two is there");
    let hours = BillingZone::parse(&payer.zone).and_then(|it| it.month_hours(month));
    let is_final = books.registry.seals.is_final(&hours.map_err(rating)?);
    let mut found = head(books, payer, month, is_final);
    found.lines = document_lines(document, tenant).collect();
    // They are the account's: one tenant's lines have no total of their own.
    if tenant.is_none() {
        found.totals = Some(totals::totals(books, (payer, month), document)?);
    }
    // Faults name tenants: whoever asks for one is told of that one.
    let is_own = |it: &&String| tenant.is_none_or(|tenant| it.contains(&format!("tenant `{tenant}`")));
    found.faults = document.faults.iter().filter(is_own).cloned().collect();
    Ok(found)
}

fn document_lines<'d>(document: &'d Document, tenant: Option<&'d str>) -> impl Iterator<Item = Line> + 'd {
    let own = document
        .sections
        .iter()
        .filter(move |it| tenant.is_none() || it.tenant.as_deref() == tenant);
    own.flat_map(|section| {
        section.lines.iter().map(|line| Line {
            tenant: section.tenant.clone(),
            item: line.item.clone(),
            title: line.title.clone(),
            cause: match (section.kind, &line.unit) {
                (SectionKind::Usage, None) if line.note.is_some() && line.amount.starts_with('-') => {
                    "maximum"
                }
                (SectionKind::Usage, None) if line.note.is_some() => "minimum",
                (SectionKind::Usage, _) => "usage",
                (SectionKind::Subscription, _) => "subscription",
                (SectionKind::Commitment, _) => "commitment",
                (SectionKind::Adjustment, _) => "adjustment",
            },
            charged: None,
            note: line.note.clone().or_else(|| section.month.clone()),
            unit: line.unit.clone(),
            quantity: line.quantity.clone(),
            tiers: line
                .tiers
                .iter()
                .map(|it| Tier {
                    from: it.from.clone(),
                    to: it.to.clone(),
                    quantity: it.quantity.clone(),
                    price: it.price.clone(),
                    amount_exact: it.amount_exact.clone(),
                })
                .collect(),
            amount_exact: line.amount_exact.clone(),
            amount: line.amount.clone(),
        })
    })
}
