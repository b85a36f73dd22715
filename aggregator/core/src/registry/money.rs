//! What was decided about money, as it stands in the log: with every amount, so that all tables of money are a fold of
//! it (I12). It must not know how an amount came about, nor what a document looks like.

use serde::{Deserialize, Serialize};
use tallyman_common::ids::Digest;
use tallyman_common::money::Money;
use tallyman_common::time::WallMs;

use crate::rating::{Moment, Moments};

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// What an account owes for a period.
    Invoice,
    /// Takes back a part of an invoice, or all of it; its amounts are negative.
    CreditNote,
    /// Adds to an invoice.
    DebitNote,
}

impl DocumentKind {
    /// The name in keys and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::CreditNote => "credit_note",
            Self::DebitNote => "debit_note",
        }
    }
}

/// A decision about money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyDecision {
    /// Idempotency key: one trace takes effect once. Invoices have none; they are one for each account, month and kind.
    pub trace: Option<String>,
    /// SHA-256 of what was asked, so that another content under the same trace is found.
    pub content: Digest,
    /// What was done.
    pub act: MoneyAct,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum MoneyAct {
    /// Invoices got their numbers.
    Issue {
        /// In the order of their numbers, by series.
        documents: Vec<Issued>,
    },
    /// Money came.
    Pay {
        /// Of which account.
        account: String,
        /// What the payer or bank calls it.
        reference: String,
        /// From where: `bank`, `gateway` and the like.
        source: String,
        /// Day on which it came.
        on: String,
        /// What of it went to which document.
        allocations: Vec<Allocation>,
        /// What went to the prepaid balance.
        to_balance: Money,
    },
    /// Documents were paid from the prepaid balance.
    ApplyBalance {
        /// Of which account.
        account: String,
        /// Which, and how much.
        allocations: Vec<Allocation>,
    },
    /// Prepaid money went back.
    Refund {
        /// To which account.
        account: String,
        /// What the bank calls it.
        reference: String,
        /// To where: `bank`, `gateway` and the like.
        source: String,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// A credit was granted.
    Grant(Granted),
    /// What was left of grants past their end was taken back.
    Expire {
        /// Of which, and how much.
        rests: Vec<Rest>,
    },
    /// A credit or debit note.
    Note {
        /// The note.
        note: Issued,
        /// What was paid too much by now and went to the prepaid balance.
        to_balance: Money,
        /// Why.
        reason: String,
    },
    /// A document counts no more; it keeps its number.
    Void {
        /// Which.
        number: String,
        /// The credit note over all of it.
        note: Issued,
        /// What had been paid, and went to the prepaid balance; negative when it was taken from there.
        to_balance: Money,
        /// Why.
        reason: String,
    },
    /// The payer contests an amount.
    OpenDispute {
        /// Of which document.
        number: String,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// Somebody answered.
    AnswerDispute {
        /// Of which document.
        number: String,
        /// What.
        text: String,
    },
    /// The dispute is over.
    ResolveDispute {
        /// Of which document.
        number: String,
        /// The credit note; none when the dispute was rejected.
        note: Option<Issued>,
        /// What was paid too much by now and went to the prepaid balance.
        to_balance: Money,
        /// Why.
        reason: String,
    },
    /// The number of the tax office's own invoice.
    SetExternalTaxNumber {
        /// Of which document.
        number: String,
        /// The tax office's number.
        text: String,
    },
}

/// A document that got its number. It stands as a whole in a table of its own, in the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Who pays.
    pub account: String,
    /// Who sells.
    pub seller: String,
    /// For which month.
    pub month: String,
    /// What it is.
    pub kind: DocumentKind,
    /// Its number.
    pub number: String,
    /// Its place in its series.
    pub series: SeriesPlace,
    /// Of a note: the document that it corrects; of an invoice, the void one that it stands in for.
    pub corrects: Option<String>,
    /// Its identity: 32 hexadecimal digits.
    pub id: String,
    /// Day of issue.
    pub issued: String,
    /// Day until which it is to be paid.
    pub due: Option<String>,
    /// Sum of the lines.
    pub subtotal: Money,
    /// Sum of the discounts, negative.
    pub discounts: Money,
    /// Credits used, by grant: positive; negative when they are given back.
    pub credits: Vec<(String, Money)>,
    /// Taxes, those included in the lines too.
    pub taxes: Money,
    /// The part of the taxes that the lines include.
    pub taxes_included: Money,
    /// What is due.
    pub total: Money,
    /// SHA-256 of the stored document.
    pub digest: Digest,
    /// Earlier months whose late usage it bills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjusted: Vec<Adjusted>,
    /// Fees of plans that it bills or gives back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<BilledFee>,
}

/// What an invoice bills of a plan's fee, or gives back of it. All that invoices of an account that are not void have of a
/// plan and period, added up, is what was billed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledFee {
    /// Key of the plan.
    pub plan: String,
    /// Its title, as on the invoice.
    pub title: String,
    /// Its tax class.
    pub tax_class: String,
    /// Begin of the month or year that the whole fee is for.
    pub from: Moment,
    /// The first moment after it.
    pub until: Moment,
    /// What is billed of it, each interval with the first moment behind it.
    #[serde(default, skip_serializing_if = "Moments::is_empty")]
    pub more: Moments,
    /// What comes back of it.
    #[serde(default, skip_serializing_if = "Moments::is_empty")]
    pub less: Moments,
    /// The fee of this time before coupons and credits; negative where it comes back.
    pub fee: Money,
    /// What they left of it.
    pub net: Money,
}

/// Late usage of a month that has its invoice is on a document: what came between two positions, each part of it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjusted {
    /// Which month.
    pub month: String,
    /// Position up to which it was billed before.
    pub since: u64,
    /// Position up to which it is billed now.
    pub upto: u64,
}

/// A number's place in its series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesPlace {
    /// What the series' numbers begin with.
    pub prefix: String,
    /// Empty, or what a restore from a backup added.
    pub generation: String,
    /// From 1 on, without holes.
    pub ordinal: u64,
}

/// A part of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Number of the document.
    pub number: String,
    /// How much.
    pub amount: Money,
}

/// A credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Its name, one in its account.
    pub key: String,
    /// To which account.
    pub account: String,
    /// Words for the invoice.
    pub title: String,
    /// How much.
    pub amount: Money,
    /// Lower ones are used first.
    pub priority: u32,
    /// First instant at which it is worth nothing.
    pub expires: Option<WallMs>,
    /// Items of the price book for which it can be used; empty for all.
    pub items: Vec<String>,
}

/// What was left of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Of which account.
    pub account: String,
    /// Of which grant.
    pub key: String,
    /// How much.
    pub amount: Money,
}
