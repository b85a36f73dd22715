//! Invoices, credit notes and debit notes as plain data: one model for JSON, HTML and PDF.
//!
//! Amounts are decimal texts with exactly the digits of the currency's minor unit, `*_exact` ones unrounded; quantities
//! and prices are canonical decimal texts. All sums hold to the last digit (I7):
//! `section.subtotal = Σ line.amount`, `subtotal = Σ section.subtotal`,
//! `total = subtotal + Σ discounts + Σ credits + Σ taxes that are not included`; discounts and credits are negative.
//! It must not know words of a language, fonts or paper. What changes after the issue (payments, disputes) is not here.

use serde::{Deserialize, Serialize};

/// The version of this layout that is written now.
pub const DOCUMENT_FORMAT: u32 = 1;

/// What a document is.
pub use crate::registry::money::{Adjusted, BilledFee, DocumentKind as Kind};

/// Who sells, or who pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Key in the registry.
    pub key: String,
    /// Full name, such as `云海存储有限公司`.
    pub name: String,
    /// Address, line by line.
    pub address: Vec<String>,
    /// Number that the tax office knows it by.
    pub tax_id: Option<String>,
    /// Telephone, e-mail and the like, line by line.
    pub contact: Vec<String>,
    /// Of a seller: where to pay, line by line.
    pub bank: Vec<String>,
}

/// The time that a document is for: half-open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Month in the account's zone, such as `2026-11`.
    pub month: String,
    /// First instant, such as `2026-10-31T16:00:00Z`.
    pub start: String,
    /// First instant after it.
    pub end: String,
    /// IANA time zone of the account.
    pub zone: String,
}

/// Lines that belong together: those of one tenant, a subscription's, or corrections of an earlier period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What its lines are.
    pub kind: SectionKind,
    /// Key of the tenant; none for what the account as a whole owes.
    pub tenant: Option<String>,
    /// Name of the tenant, plan or the like, in the document's language.
    pub title: String,
    /// The month that is corrected, for adjustments.
    pub month: Option<String>,
    /// Lines, in the order of the price book.
    pub lines: Vec<Line>,
    /// Sum of the lines' amounts.
    pub subtotal: String,
}

/// What the lines of a section are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// Metered usage of a tenant.
    Usage,
    /// Fixed fees of a plan.
    Subscription,
    /// What is missing to a commitment, or above a cap.
    Commitment,
    /// Corrections of an earlier period.
    Adjustment,
}

impl SectionKind {
    /// The name in answers and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Subscription => "subscription",
            Self::Commitment => "commitment",
            Self::Adjustment => "adjustment",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Number in the document, from 1.
    pub number: u32,
    /// Key of the item in the price book.
    pub item: String,
    /// Its title in the document's language.
    pub title: String,
    /// Unit of the quantity, such as `GiB-hour`; none for what is not metered.
    pub unit: Option<String>,
    /// Quantity; none for what is not metered.
    pub quantity: Option<String>,
    /// Price of one unit, where all units have the same.
    pub unit_price: Option<String>,
    /// How tiers made the amount, where there are several.
    pub tiers: Vec<TierLine>,
    /// Unrounded amount.
    pub amount_exact: String,
    /// Amount that is due.
    pub amount: String,
    /// Tax class of the item.
    pub tax_class: String,
    /// Words that explain the line, such as days of proration, in the document's language.
    pub note: Option<String>,
    /// Of a note: number of the line of what it corrects that it is about, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects_line: Option<u32>,
}

/// The part of a line that lies in one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierLine {
    /// Lower bound, exclusive.
    pub from: String,
    /// Upper bound, inclusive; none for the open tier.
    pub to: Option<String>,
    /// Quantity in the tier.
    pub quantity: String,
    /// Price of one unit there.
    pub price: String,
    /// Unrounded amount.
    pub amount_exact: String,
}

/// A discount or credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deduction {
    /// Key of the policy, coupon or grant.
    pub key: String,
    /// Its title in the document's language.
    pub title: String,
    /// Percentage, where it is one.
    pub percent: Option<String>,
    /// What it was taken from, where it is a percentage.
    pub basis: Option<String>,
    /// Amount, negative.
    pub amount: String,
}

/// Tax of one rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// Its title, such as `增值税`.
    pub title: String,
    /// Percentage.
    pub percent: String,
    /// What it is taken from, after discounts and credits.
    pub basis: String,
    /// Amount, rounded once.
    pub amount: String,
    /// True if the basis contains it already, so that it does not add to the total.
    pub included: bool,
}

/// How complete the usage is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Every expected minute of every node came.
    pub complete: bool,
    /// Expected node-minutes.
    pub expected_node_minutes: u64,
    /// Of them received.
    pub received_node_minutes: u64,
    /// Of them held for a decision.
    pub held_node_minutes: u64,
    /// Holes; nodes by opaque ids.
    pub missing: Vec<Hole>,
    /// Meters of which a part is inferred over holes.
    pub inferred: Vec<String>,
}

/// Minutes of a node that did not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Opaque id of the node.
    pub node: String,
    /// First instant.
    pub from: String,
    /// First instant after it.
    pub to: String,
    /// Minutes.
    pub minutes: u64,
}

/// A price book that priced some of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedBy {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// First instant from which it holds.
    pub from: String,
}

impl Document {
    /// Nothing was used, nothing is owed and nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.faults.is_empty()
    }
}

/// An invoice or note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// [`DOCUMENT_FORMAT`].
    pub format: u32,
    /// What it is.
    pub kind: Kind,
    /// Identity: 32 hexadecimal digits, the same for the same account, period, kind and cause.
    pub id: String,
    /// Number in the seller's series; a draft has none.
    pub number: Option<String>,
    /// Of a note: the number of the invoice that it corrects; of an invoice, of the void one that it stands in for.
    pub corrects: Option<String>,
    /// Of a note: why.
    pub reason: Option<String>,
    /// Day of issue in the account's zone, such as `2026-12-04`; a draft has none.
    pub issued: Option<String>,
    /// Day until which it is to be paid; none for drafts and credit notes.
    pub due: Option<String>,
    /// Who sells.
    pub seller: Party,
    /// Who pays.
    pub account: Party,
    /// For when.
    pub period: Period,
    /// Language of the titles: `en` or `zh`.
    pub language: String,
    /// ISO 4217 code.
    pub currency: String,
    /// How lines were rounded, such as `half_up`.
    pub rounding: String,
    /// In which order deductions were taken, as the price book says it.
    pub order: Vec<String>,
    /// Lines by tenant or cause.
    pub sections: Vec<Section>,
    /// Sum of the sections.
    pub subtotal: String,
    /// Discounts and coupons.
    pub discounts: Vec<Deduction>,
    /// Credits used.
    pub credits: Vec<Deduction>,
    /// Taxes.
    pub taxes: Vec<Tax>,
    /// What is due.
    pub total: String,
    /// How complete the usage is.
    pub coverage: Coverage,
    /// What could not be rated, in words; none of it is in the total.
    pub faults: Vec<String>,
    /// Price books that priced it.
    pub price_books: Vec<PricedBy>,
    /// Position of the log that it was made at.
    pub position: u64,
    /// Earlier months whose late usage it bills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjusted: Vec<Adjusted>,
    /// For which time its fees of plans are, and what is left of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<BilledFee>,
}
