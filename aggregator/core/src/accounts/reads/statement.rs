//! An account's movements with a running balance: what it owes less what it paid ahead. Credits do not count as money.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;
use tallyman_common::money::{Currency, Money};
use tallyman_common::time::WallMs;

use crate::accounts::ledger::{LedgerAccount, Posting, Side};
use crate::accounts::tables::{AccountsError, get, keys};
use crate::log::prefix_end;
use crate::ports::{Read, Table, try_scan};
use crate::rating::instant::instant_text;

/// A movement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Movement {
    /// Position of its decision.
    pub position: u64,
    /// When.
    pub at: String,
    /// In words.
    pub reason: String,
    /// Its trace.
    pub trace: String,
    /// ISO 4217 code.
    pub currency: Currency,
    /// What was added to what the account owes; negative for what it paid.
    pub amount: String,
    /// What it owes after that; negative is paid ahead.
    pub balance: String,
}

/// Movements of an account in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Whose.
    pub account: String,
    /// What it owed before, by currency.
    pub opening: Vec<Money>,
    /// In order.
    pub movements: Vec<Movement>,
    /// What it owes behind them, by currency.
    pub closing: Vec<Money>,
}

/// Movements of an account from an instant on, before another one.
pub fn statement(
    read: &dyn Read,
    account: &str,
    (from, to): (WallMs, WallMs),
) -> Result<Statement, AccountsError> {
    let mut balances: BTreeMap<Currency, Money> = BTreeMap::new();
    let (mut opening, mut movements) = (None, Vec::new());
    let base = keys::postings(account);
    let range = (&base[..], &prefix_end(&base)[..]);
    try_scan(read, Table::MoneyIndex, range, |key, _| {
        let posting: Posting =
            get(read, Table::Journal, &key[base.len()..])?.ok_or_else(|| AccountsError::Broken {
                position: 0,
                reason: format!("an index names a posting of `{account}` that is not there"),
            })?;
        if posting.at() >= to {
            return Ok(ControlFlow::Break(()));
        }
        if posting.at() >= from && opening.is_none() {
            opening = Some(balances.values().copied().collect());
        }
        for (currency, change) in changes(&posting, account)? {
            let before = balances.get(&currency).copied();
            let after = before.unwrap_or(Money::zero(currency)).checked_add(change)?;
            balances.insert(currency, after);
            if posting.at() >= from {
                movements.push(Movement {
                    position: posting.position(),
                    at: instant_text(posting.at()),
                    reason: posting.reason().to_owned(),
                    trace: posting.trace().to_owned(),
                    currency,
                    amount: change.number(),
                    balance: after.number(),
                });
            }
        }
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    let closing: Vec<Money> = balances.into_values().collect();
    Ok(Statement {
        account: account.to_owned(),
        opening: opening.unwrap_or_else(|| closing.clone()),
        movements,
        closing,
    })
}

/// What a posting changes of what an account owes less what it paid ahead; nothing when both move against each other.
fn changes(posting: &Posting, account: &str) -> Result<Vec<(Currency, Money)>, AccountsError> {
    let mut sums: BTreeMap<Currency, Money> = BTreeMap::new();
    for entry in posting.entries() {
        let counts = matches!(&entry.account,
            LedgerAccount::Receivable(of) | LedgerAccount::Prepaid(of) if of == account);
        if counts {
            let currency = entry.amount.currency();
            let sum = sums.entry(currency).or_insert(Money::zero(currency));
            *sum = match entry.side {
                Side::Debit => sum.checked_add(entry.amount)?,
                Side::Credit => sum.checked_sub(entry.amount)?,
            };
        }
    }
    sums.retain(|_, sum| sum.minor_units() != 0);
    Ok(sums.into_iter().collect())
}
