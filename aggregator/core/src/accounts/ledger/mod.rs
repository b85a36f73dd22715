//! Double entry: a posting balances or it can't be built (I12). Balances and journal are tables.
//!
//! It must not know documents, payments or what a posting is for.

/// The chart of accounts.
pub mod account;
/// Balances and journal.
pub mod books;

use serde::{Deserialize, Serialize};
use tallyman_common::money::{Currency, Money, MoneyError};
use tallyman_common::time::WallMs;

pub use account::{Class, LedgerAccount, is_name};
pub use books::{Balance, TrialBalance, TrialLine};

/// The side of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Left.
    Debit,
    /// Right.
    Credit,
}

/// One entry: a positive amount on one side of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which account.
    pub account: LedgerAccount,
    /// On which side.
    pub side: Side,
    /// How much; above zero.
    pub amount: Money,
}

/// Entries that balance. Made by [`Posting::new`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Posting {
    position: u64,
    trace: String,
    #[serde(serialize_with = "super::instant::serialize")]
    at: WallMs,
    reason: String,
    entries: Vec<Entry>,
}

/// What a posting says besides its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Position of the decision.
    pub position: u64,
    /// Its trace.
    pub trace: String,
    /// When it was decided.
    pub at: WallMs,
    /// In words.
    pub reason: String,
}

/// Entries that are no posting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostingError {
    /// Debits and credits differ.
    #[error("debits of {debits} against credits of {credits}")]
    Unbalanced {
        /// Sum of the debits.
        debits: Money,
        /// Sum of the credits.
        credits: Money,
    },
    /// An entry of nothing, or below it.
    #[error("an entry of {0}")]
    NotPositive(Money),
    /// Sums are too large.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Posting {
    /// Entries of any currencies that balance in each of them (I12).
    pub fn new(heading: Heading, entries: Vec<Entry>) -> Result<Self, PostingError> {
        let mut currencies: Vec<Currency> = entries.iter().map(|e| e.amount.currency()).collect();
        currencies.sort_unstable();
        currencies.dedup();
        if let Some(entry) = entries.iter().find(|e| e.amount.minor_units() <= 0) {
            return Err(PostingError::NotPositive(entry.amount));
        }
        for currency in currencies {
            let of = |side| sum(&entries, side, currency);
            let (debits, credits) = (of(Side::Debit)?, of(Side::Credit)?);
            if debits != credits {
                return Err(PostingError::Unbalanced { debits, credits });
            }
        }
        let Heading {
            position,
            trace,
            at,
            reason,
        } = heading;
        Ok(Self {
            position,
            trace,
            at,
            reason,
            entries,
        })
    }

    /// Position of the decision.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Idempotency key.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// When.
    pub fn at(&self) -> WallMs {
        self.at
    }

    /// In words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

fn sum(entries: &[Entry], side: Side, currency: Currency) -> Result<Money, MoneyError> {
    let same = entries
        .iter()
        .filter(|e| e.side == side && e.amount.currency() == currency);
    same.map(|e| e.amount)
        .try_fold(Money::zero(currency), Money::checked_add)
}

/// Reads back through the same check, so that a changed journal is found.
impl<'de> Deserialize<'de> for Posting {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            position: u64,
            trace: String,
            #[serde(deserialize_with = "crate::accounts::instant::deserialize")]
            at: WallMs,
            reason: String,
            entries: Vec<Entry>,
        }
        let Raw {
            position,
            trace,
            at,
            reason,
            entries,
        } = Raw::deserialize(from)?;
        let heading = Heading {
            position,
            trace,
            at,
            reason,
        };
        Self::new(heading, entries).map_err(serde::de::Error::custom)
    }
}

/// Entries in the making: signed amounts, so that who books needs no case for each sign.
#[derive(Debug, Default)]
pub struct Draft(Vec<Entry>);

impl Draft {
    /// Debits; what is negative is a credit, what is zero is no entry.
    pub fn debit(&mut self, account: LedgerAccount, amount: Money) -> Result<(), MoneyError> {
        self.entry(account, Side::Debit, amount)
    }

    /// Credits; what is negative is a debit, what is zero is no entry.
    pub fn credit(&mut self, account: LedgerAccount, amount: Money) -> Result<(), MoneyError> {
        self.entry(account, Side::Credit, amount)
    }

    fn entry(&mut self, account: LedgerAccount, side: Side, amount: Money) -> Result<(), MoneyError> {
        let (side, amount) = match (amount.minor_units(), side) {
            (0, _) => return Ok(()),
            (1.., side) => (side, amount),
            (_, Side::Debit) => (Side::Credit, negated(amount)?),
            (_, Side::Credit) => (Side::Debit, negated(amount)?),
        };
        self.0.push(Entry {
            account,
            side,
            amount,
        });
        Ok(())
    }

    /// The posting; none if there is nothing to post.
    pub fn finish(self, heading: Heading) -> Result<Option<Posting>, PostingError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        Posting::new(heading, self.0).map(Some)
    }
}

/// The opposite amount.
pub fn negated(amount: Money) -> Result<Money, MoneyError> {
    Money::zero(amount.currency()).checked_sub(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(account: LedgerAccount, side: Side, amount: &str) -> Entry {
        let amount = Money::parse(amount).unwrap();
        Entry {
            account,
            side,
            amount,
        }
    }

    fn post(entries: Vec<Entry>) -> Result<Posting, PostingError> {
        let heading = Heading {
            position: 1,
            trace: "t".to_owned(),
            at: WallMs(0),
            reason: "r".to_owned(),
        };
        Posting::new(heading, entries)
    }

    /// What does not balance can't be written down, not even when the sums over two currencies agree.
    #[test]
    fn only_what_balances_in_each_currency_is_a_posting() {
        let (bank, acme) = (
            || LedgerAccount::Cash("bank".to_owned()),
            || LedgerAccount::Receivable("acme".to_owned()),
        );
        let of = |rows: &[(LedgerAccount, Side, &str)]| {
            post(rows.iter().map(|(a, s, m)| entry(a.clone(), *s, m)).collect())
        };
        use Side::{Credit, Debit};
        assert!(of(&[(bank(), Debit, "7.00 CNY"), (acme(), Credit, "7.00 CNY")]).is_ok());
        assert!(of(&[(bank(), Debit, "7.00 CNY"), (acme(), Credit, "6.99 CNY")]).is_err());
        assert!(of(&[(bank(), Debit, "7.00 CNY"), (acme(), Credit, "7.00 USD")]).is_err());
        assert!(of(&[(bank(), Debit, "0.00 CNY")]).is_err());
        assert!(of(&[(bank(), Debit, "-7.00 CNY"), (acme(), Credit, "-7.00 CNY")]).is_err());
        let good = of(&[(bank(), Debit, "7.00 CNY"), (acme(), Credit, "7.00 CNY")]).unwrap();
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Posting>(&text).unwrap(), good);
        let changed = text.replacen("7.00", "8.00", 1);
        assert!(serde_json::from_str::<Posting>(&changed).is_err());
    }
}
