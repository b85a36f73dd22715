//! What can be asked of the ledger, and what is answered. Plain data.
//!
//! A command names what somebody wants; the decision that is made of it ([`crate::registry::money`]) holds every amount.

use serde::{Deserialize, Serialize};
use tallyman_common::money::Money;
use tallyman_common::time::WallMs;

use super::document::{Document, Kind};
use super::draft::DraftError;
use super::expiry::ended;
use super::scope;
use crate::bills::Books;
use crate::registry::money::{Adjusted, Allocation, Granted, Rest};
use crate::registry::{Registry, Rejected};

/// Documents of one command at most, so that nobody waits long for the commit that they share.
pub const DOCUMENTS_MAX: usize = 1_000;

/// Minor units of one amount at most, so that no sum of amounts can leave the numbers that are stored.
pub const AMOUNT_MINOR_MAX: i128 = 10_000_000_000_000_000;

/// A document that has no number yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What the numbers of its series begin with, such as `INV`.
    pub prefix: String,
    /// Day of issue in the account's zone.
    pub issued: String,
    /// Day until which it is to be paid.
    pub due: String,
    /// The document, without number and days.
    pub document: Document,
}

/// A line of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteLine {
    /// What it is for, in the document's language; that line's title if it is empty and a line is named.
    #[serde(default)]
    pub title: String,
    /// How much, tax included; above zero for credit notes too.
    pub amount: Money,
    /// Number of the line of what is corrected that it is about; all credit notes together take back no more than it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A tax of a note, in the note's direction: above zero where a credit note takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteTax {
    /// Its title, in the document's language.
    pub title: String,
    /// Percentage.
    pub percent: String,
    /// What it is in: it contains the tax.
    pub basis: Money,
    /// How much.
    pub amount: Money,
}

/// How a dispute ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The amount is due after all.
    Rejected,
    /// A credit note over this, at most what was disputed.
    Credited(Money),
}

/// What can be asked. A trace makes it safe to ask twice: the same again is answered as the first time, something else
/// under the same trace is refused (I12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum MoneyCommand {
    /// Invoices get their numbers: one for each account, month and kind, whoever asks how often.
    IssueInvoices {
        /// For which month.
        month: String,
        /// At most [`DOCUMENTS_MAX`].
        documents: Vec<Draft>,
    },
    /// Money came.
    Pay {
        /// Idempotency key.
        trace: String,
        /// What the payer or bank calls it.
        reference: String,
        /// Who paid.
        account: String,
        /// From where: `bank`, `gateway` and the like.
        source: String,
        /// Day on which it came.
        on: String,
        /// All of it.
        amount: Money,
        /// What of it is for which document. More than is left of an open one goes to the prepaid balance.
        allocations: Vec<Allocation>,
        /// What is for no document, or for one that is paid, goes to the prepaid balance; else it is refused.
        rest_to_balance: bool,
    },
    /// Documents are paid from the prepaid balance.
    ApplyBalance {
        /// Idempotency key.
        trace: String,
        /// Whose.
        account: String,
        /// Which, and how much.
        allocations: Vec<Allocation>,
    },
    /// Prepaid money goes back.
    Refund {
        /// Idempotency key.
        trace: String,
        /// Whose.
        account: String,
        /// What the bank calls it.
        reference: String,
        /// To where.
        source: String,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// A credit. Its account and key are its trace.
    GrantCredit(Granted),
    /// Takes back what is left of grants whose end has come, and that no month that is to be billed can use.
    ExpireCredits {
        /// Ends up to here, that instant included.
        upto: WallMs,
        /// Which, and what is left of each, as [`super::expiry`] finds them. Who takes commands fills it in where it is
        /// missing; without it nothing expires. What changed meanwhile stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rests: Option<Vec<Rest>>,
    },
    /// A credit or debit note.
    IssueNote {
        /// Idempotency key.
        trace: String,
        /// [`Kind::CreditNote`] or [`Kind::DebitNote`].
        kind: Kind,
        /// Number of the document that it corrects.
        corrects: String,
        /// What for.
        lines: Vec<NoteLine>,
        /// Why.
        reason: String,
        /// Of a debit note: day until which it is to be paid.
        due: Option<String>,
        /// The month whose late usage it settles, so that no other document does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adjusted: Option<Adjusted>,
        /// Of such a note: its taxes by rate. Other notes have those of what they correct, in proportion.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        taxes: Vec<NoteTax>,
    },
    /// A document counts no more. What had been paid goes to the prepaid balance.
    Void {
        /// Idempotency key.
        trace: String,
        /// Which.
        number: String,
        /// Why.
        reason: String,
    },
    /// The payer contests an amount; until that is over it does not become overdue.
    OpenDispute {
        /// Idempotency key.
        trace: String,
        /// Which document.
        number: String,
        /// How much of it.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// An answer in a dispute.
    AnswerDispute {
        /// Idempotency key.
        trace: String,
        /// Which document.
        number: String,
        /// What.
        text: String,
    },
    /// The end of a dispute.
    ResolveDispute {
        /// Idempotency key.
        trace: String,
        /// Which document.
        number: String,
        /// How.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
    /// The number of the tax office's own invoice; the newest one holds.
    SetExternalTaxNumber {
        /// Idempotency key.
        trace: String,
        /// Which document.
        number: String,
        /// The tax office's number.
        text: String,
    },
}

impl MoneyCommand {
    /// Its idempotency key; none for what is asked by the state itself and so can't be done twice.
    pub fn trace(&self) -> Option<String> {
        match self {
            Self::IssueInvoices { .. } | Self::ExpireCredits { .. } => None,
            Self::GrantCredit(granted) => Some(format!("grant/{}/{}", granted.account, granted.key)),
            Self::Pay { trace, .. }
            | Self::ApplyBalance { trace, .. }
            | Self::Refund { trace, .. }
            | Self::IssueNote { trace, .. }
            | Self::Void { trace, .. }
            | Self::OpenDispute { trace, .. }
            | Self::AnswerDispute { trace, .. }
            | Self::ResolveDispute { trace, .. }
            | Self::SetExternalTaxNumber { trace, .. } => Some(trace.clone()),
        }
    }

    /// The command with what only the books can say: which credits have ended, where that is asked.
    pub fn filled(self, books: Books<'_>) -> Result<Self, DraftError> {
        Ok(match self {
            Self::ExpireCredits { upto, rests: None } => Self::ExpireCredits {
                upto,
                rests: Some(ended(books, upto)?),
            },
            known => known,
        })
    }

    /// Whether it is to be filled.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::ExpireCredits { rests: None, .. })
    }

    /// Whether money that comes is for an account that is registered, in its currency: a misspelt key would else be an
    /// account that nobody ever looks at, and a credit for a misspelt item worth nothing. Whoever takes commands asks this first; documents are checked with the ledger.
    pub fn check_payer(&self, registry: &Registry) -> Result<(), Rejected> {
        let (key, amount) = match self {
            Self::Pay { account, amount, .. } => (account, amount),
            Self::GrantCredit(granted) => (&granted.account, &granted.amount),
            _ => return Ok(()),
        };
        let Some(account) = registry.payers.accounts.get(key) else {
            let text = DraftError::NoAccount(key.clone()).to_string();
            return Err(Rejected::NotNow(text));
        };
        if account.currency != amount.currency().code() {
            let text = format!("{amount}: account `{key}` is in {}", account.currency);
            return Err(Rejected::Invalid(text));
        }
        match self {
            Self::GrantCredit(granted) => scope::check(registry, granted),
            _ => Ok(()),
        }
    }
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Fate {
    /// It got this number now.
    Issued {
        /// Its number.
        number: String,
    },
    /// The account had one for this month already.
    Existed {
        /// That one's number.
        number: String,
    },
    /// It can't be issued.
    Refused {
        /// Why.
        reason: String,
    },
}

/// One document of a command, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentFate {
    /// Whose.
    pub account: String,
    /// For which month.
    pub month: String,
    /// What it is.
    pub kind: Kind,
    /// Its identity; of the one that existed, if it did.
    pub id: String,
    /// What became of it.
    pub fate: Fate,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// Position of its decision; none if nothing was left to do.
    pub position: Option<u64>,
    /// The same was done before under this trace; nothing was added now.
    pub repeated: bool,
    /// Documents, in the order of the command.
    pub documents: Vec<DocumentFate>,
    /// What went to the prepaid balance; negative when it was taken from there.
    pub to_balance: Option<Money>,
}
