//! What is due, by how long it has been: of every document of which something is left to pay.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;
use tallyman_common::money::{Currency, Money};

use super::Today;
use crate::accounts::standing::{Receivable, days_late, receivable};
use crate::accounts::tables::{AccountsError, keys};
use crate::log::prefix_end;
use crate::ports::{Read, Table, try_scan};

/// What an account owes, by age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ages {
    /// Who.
    pub account: String,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Not due yet.
    pub current: String,
    /// 1 to 30 days late.
    pub days_1_30: String,
    /// 31 to 60 days late.
    pub days_31_60: String,
    /// 61 to 90 days late.
    pub days_61_90: String,
    /// More than 90 days late.
    pub days_over_90: String,
    /// The part of all these that is disputed.
    pub disputed: String,
    /// All of it.
    pub total: String,
}

struct Sums([Money; 7]);

impl Sums {
    fn add(&mut self, column: usize, amount: Money) -> Result<(), AccountsError> {
        self.0[column] = self.0[column].checked_add(amount)?;
        Ok(())
    }
}

/// What every account owes today, by account and currency.
pub fn ages<'a>(read: &dyn Read, today: impl Into<Today<'a>>) -> Result<Vec<Ages>, AccountsError> {
    let today: Today<'_> = today.into();
    let mut accounts: BTreeMap<(String, Currency), Sums> = BTreeMap::new();
    let from = keys::open(&[]);
    let range = (&from[..], &prefix_end(&from)[..]);
    try_scan(read, Table::MoneyIndex, range, |key, _| {
        let of = open_document(read, key)?;
        let left = of.left()?;
        let currency = left.currency();
        let place = (of.document.account.clone(), currency);
        let sums = accounts
            .entry(place)
            .or_insert_with(|| Sums([Money::zero(currency); 7]));
        let column = match days_late(of.document.due.as_deref(), today.of(&of.document.account)?) {
            None => 0,
            Some(..=30) => 1,
            Some(..=60) => 2,
            Some(..=90) => 3,
            Some(_) => 4,
        };
        sums.add(column, left)?;
        if let Some(dispute) = of.open_dispute() {
            let is_less = dispute.amount.minor_units() < left.minor_units();
            sums.add(5, if is_less { dispute.amount } else { left })?;
        }
        sums.add(6, left)?;
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    let text = |((account, currency), Sums(sums)): (_, Sums)| {
        let [
            current,
            days_1_30,
            days_31_60,
            days_61_90,
            days_over_90,
            disputed,
            total,
        ] = sums.map(Money::number);
        Ages {
            account,
            currency,
            current,
            days_1_30,
            days_31_60,
            days_61_90,
            days_over_90,
            disputed,
            total,
        }
    };
    Ok(accounts.into_iter().map(text).collect())
}

/// The document of a key: letter, due day, 0, number, 0.
fn open_document(read: &dyn Read, key: &[u8]) -> Result<Receivable, AccountsError> {
    let number = key
        .split(|b| *b == 0)
        .nth(1)
        .and_then(|n| std::str::from_utf8(n).ok());
    let found = number.map_or(Ok(None), |number| receivable(read, number))?;
    found.ok_or_else(|| AccountsError::Broken {
        position: 0,
        reason: "an index names an open document that is not there".to_owned(),
    })
}
