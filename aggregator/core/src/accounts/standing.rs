//! What became of a document after its issue: payments, notes, disputes. Derived from the ledger, never stored in the
//! document (I9). It must not know where documents come from.

use serde::{Deserialize, Serialize};
use tallyman_common::money::{Money, MoneyError};
use tallyman_common::time::WallMs;

use super::document::Kind;
use super::tables::{AccountsError, get};
use crate::ports::{Read, Table};
use crate::rating::{BillingZone, Day};
use crate::registry::money::{Adjusted, Issued};

/// A movement against a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Position of the decision.
    pub position: u64,
    /// Day on which it came, as the payer's side says; else the instant of the decision counts.
    pub on: Option<String>,
    /// When it was decided.
    #[serde(with = "super::instant")]
    pub at: WallMs,
    /// What the payer or bank calls it.
    pub reference: String,
    /// `bank`, `gateway` and the like; `balance` for the prepaid balance.
    pub source: String,
    /// How much; negative when it went on to the prepaid balance.
    pub amount: Money,
}

/// A part of a document that the payer contests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// Position of its opening.
    pub position: u64,
    /// When it was opened.
    #[serde(with = "super::instant")]
    pub at: WallMs,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// Answers, in order.
    pub answers: Vec<String>,
    /// How it ended.
    pub resolved: Option<Resolved>,
}

/// The end of a dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// When.
    #[serde(with = "super::instant")]
    pub at: WallMs,
    /// The credit note; none when the dispute was rejected.
    pub note: Option<String>,
    /// Why.
    pub reason: String,
}

/// A document in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receivable {
    /// As it was issued.
    pub document: Issued,
    /// Position of its decision.
    pub position: u64,
    /// What was paid, less what went on to the prepaid balance.
    pub paid: Money,
    /// What credit notes took back.
    pub credited: Money,
    /// The tax in it.
    pub credited_tax: Money,
    /// What of it was for usage that was less than billed, with taxes of its own.
    pub credited_late: Money,
    /// The tax in that.
    pub credited_late_tax: Money,
    /// The note that made it void, and why.
    pub voided: Option<(String, String)>,
    /// Movements, in order.
    pub payments: Vec<Payment>,
    /// Numbers of its notes, in order.
    pub notes: Vec<String>,
    /// Disputes, in order; at most the last one is open.
    pub disputes: Vec<Dispute>,
    /// The number of the tax office's own invoice.
    pub external_tax_number: Option<String>,
}

impl Receivable {
    /// A document that was just issued. A note over less is settled by itself.
    pub fn new(document: Issued, position: u64) -> Self {
        let zero = Money::zero(document.total.currency());
        let paid = match document.kind {
            Kind::CreditNote => document.total,
            Kind::Invoice | Kind::DebitNote => zero,
        };
        Self {
            document,
            position,
            paid,
            credited: zero,
            credited_tax: zero,
            credited_late: zero,
            credited_late_tax: zero,
            voided: None,
            payments: Vec::new(),
            notes: Vec::new(),
            disputes: Vec::new(),
            external_tax_number: None,
        }
    }

    /// What is still to be paid.
    pub fn left(&self) -> Result<Money, MoneyError> {
        self.creditable()?.checked_sub(self.paid)
    }

    /// What credit notes may still take back.
    pub fn creditable(&self) -> Result<Money, MoneyError> {
        self.document.total.checked_sub(self.credited)
    }

    /// The dispute that is open.
    pub fn open_dispute(&self) -> Option<&Dispute> {
        self.disputes.last().filter(|d| d.resolved.is_none())
    }
}

/// How a document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// To be paid, in time.
    Open,
    /// Nothing is left to pay.
    Paid,
    /// More is left behind the due day than is disputed.
    Overdue,
    /// Counts no more.
    Void,
    /// What is left is, or a part of it, disputed.
    Disputed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Open, Self::Paid, Self::Overdue, Self::Void, Self::Disputed];

    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Overdue => "overdue",
            Self::Void => "void",
            Self::Disputed => "disputed",
        }
    }
}

/// How a document stands on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// In a word.
    pub status: Status,
    /// What was due at its issue.
    pub total: Money,
    /// What was paid, less what went on to the prepaid balance.
    pub paid: Money,
    /// What credit notes took back.
    pub credited: Money,
    /// `total` less `paid` less `credited`.
    pub left: Money,
    /// What is disputed.
    pub disputed: Money,
    /// Day until which it is to be paid.
    pub due: Option<String>,
    /// Days since then, while it is overdue.
    pub overdue_days: u32,
    /// Movements, in order.
    pub payments: Vec<Payment>,
    /// Numbers of its notes, in order.
    pub notes: Vec<String>,
    /// The number of the tax office's own invoice.
    pub external_tax_number: Option<String>,
}

impl Standing {
    /// How a document stands on a day in its account's zone.
    pub fn of(receivable: &Receivable, today: Day) -> Result<Self, AccountsError> {
        let left = receivable.left()?;
        let zero = Money::zero(left.currency());
        let disputed = receivable.open_dispute().map_or(zero, |d| d.amount);
        let late = days_late(receivable.document.due.as_deref(), today);
        let contested = disputed.minor_units() > 0;
        let status = if receivable.voided.is_some() {
            Status::Void
        } else if left == zero {
            Status::Paid
        } else if late.is_some() && left.minor_units() > disputed.minor_units() {
            Status::Overdue
        } else if contested {
            Status::Disputed
        } else {
            Status::Open
        };
        Ok(Self {
            status,
            total: receivable.document.total,
            paid: receivable.paid,
            credited: receivable.credited,
            left,
            disputed,
            due: receivable.document.due.clone(),
            overdue_days: late.filter(|_| status == Status::Overdue).map_or(0, |days| days),
            payments: receivable.payments.clone(),
            notes: receivable.notes.clone(),
            external_tax_number: receivable.external_tax_number.clone(),
        })
    }
}

/// Days behind the due day; none on it and before.
pub fn days_late(due: Option<&str>, today: Day) -> Option<u32> {
    let due = Day::parse(due?).ok()?;
    number_of(today)?
        .checked_sub(number_of(due)?)
        .filter(|days| *days > 0)
}

/// Days since 1970.
fn number_of(day: Day) -> Option<u32> {
    Some(BillingZone::utc().day_hours(day).ok()?.start.0 / 24)
}

/// A document by its number.
pub fn receivable(read: &dyn Read, number: &str) -> Result<Option<Receivable>, AccountsError> {
    get(read, Table::Receivables, number.as_bytes())
}

/// How a document stands on a day.
pub fn standing(read: &dyn Read, number: &str, today: Day) -> Result<Option<Standing>, AccountsError> {
    let found = receivable(read, number)?;
    found.map(|it| Standing::of(&it, today)).transpose()
}

/// Late usage that is free again when a document becomes void, the newest first: what it bills itself, and what credit
/// notes on it gave back, for a void takes back only the rest.
pub fn released(read: &dyn Read, gone: &Receivable) -> Result<Vec<Adjusted>, AccountsError> {
    let mut found = gone.document.adjusted.clone();
    for number in &gone.notes {
        let note = receivable(read, number)?;
        let note = note.filter(|it| it.document.kind == Kind::CreditNote);
        found.extend(note.into_iter().flat_map(|it| it.document.adjusted));
    }
    found.sort_by(|a, b| (&a.month, b.upto).cmp(&(&b.month, a.upto)));
    Ok(found)
}
