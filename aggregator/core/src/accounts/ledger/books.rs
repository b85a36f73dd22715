//! Balances and journal in their tables: each posting goes into both, in one commit (I12).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use tallyman_common::money::{Currency, Money};

use super::{Class, Draft, Entry, Heading, LedgerAccount, Posting, Side};
use crate::accounts::tables::{AccountsError, Overlay, get, keys, parse};
use crate::ports::{Read, Table, try_scan};

/// The two sums of an account in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Sum of the debits.
    pub debits: Money,
    /// Sum of the credits.
    pub credits: Money,
}

impl Balance {
    fn zero(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self {
            debits: zero,
            credits: zero,
        }
    }

    fn add(&mut self, entry: &Entry) -> Result<(), AccountsError> {
        let side = match entry.side {
            Side::Debit => &mut self.debits,
            Side::Credit => &mut self.credits,
        };
        *side = side.checked_add(entry.amount)?;
        Ok(())
    }

    /// Debits less credits.
    pub fn of_debits(&self) -> Result<Money, AccountsError> {
        Ok(self.debits.checked_sub(self.credits)?)
    }

    /// Credits less debits: what a liability stands at.
    pub fn of_credits(&self) -> Result<Money, AccountsError> {
        Ok(self.credits.checked_sub(self.debits)?)
    }
}

/// Key of a balance: currency, then account, so that a trial balance comes by currency.
pub fn balance_key(account: &LedgerAccount, currency: Currency) -> Vec<u8> {
    format!("{currency}/{account}").into_bytes()
}

/// Key of a posting: position ‖ place in the decision (u32), big-endian.
pub fn journal_key(position: u64, place: u32) -> Vec<u8> {
    [&position.to_be_bytes()[..], &place.to_be_bytes()].concat()
}

/// Where an account stands.
pub fn balance(
    read: &dyn Read,
    account: &LedgerAccount,
    currency: Currency,
) -> Result<Balance, AccountsError> {
    let stored = get(read, Table::Balances, &balance_key(account, currency))?;
    Ok(stored.unwrap_or(Balance::zero(currency)))
}

/// What an account has paid ahead.
pub fn prepaid(read: &dyn Read, account: &str, currency: Currency) -> Result<Money, AccountsError> {
    balance(read, &LedgerAccount::Prepaid(account.to_owned()), currency)?.of_credits()
}

/// Puts a posting into journal and balances. `place` counts the postings of one decision.
pub fn post(
    tables: &mut Overlay<'_>,
    heading: Heading,
    draft: Draft,
    place: &mut u32,
) -> Result<(), AccountsError> {
    let Some(posting) = draft.finish(heading)? else {
        return Ok(());
    };
    let key = journal_key(posting.position(), *place);
    *place += 1;
    for entry in posting.entries() {
        let currency = entry.amount.currency();
        let mut sums = balance(tables, &entry.account, currency)?;
        sums.add(entry)?;
        tables.put(Table::Balances, balance_key(&entry.account, currency), &sums);
        if let Some(payer) = entry.account.payer() {
            tables.put_raw(Table::MoneyIndex, keys::posting(payer, &key), Vec::new());
        }
    }
    tables.put(Table::Journal, key, &posting);
    Ok(())
}

/// Postings of `from..to`, in order, until `visit` breaks.
pub fn journal(
    read: &dyn Read,
    (from, to): (u64, u64),
    mut visit: impl FnMut(Posting) -> Result<ControlFlow<()>, AccountsError>,
) -> Result<(), AccountsError> {
    let range = (&journal_key(from, 0)[..], &journal_key(to, 0)[..]);
    try_scan(read, Table::Journal, range, |_, value| {
        visit(parse(Table::Journal, value)?)
    })
}

/// Every account with its balance, in one column of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialBalance {
    /// Position up to which it counts, that one included.
    pub position: u64,
    /// By currency and account.
    pub lines: Vec<TrialLine>,
    /// Sums by currency.
    pub totals: Vec<TrialTotal>,
}

/// An account of a trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialLine {
    /// Which.
    pub account: LedgerAccount,
    /// What it is.
    pub class: Class,
    /// Currency.
    pub currency: Currency,
    /// Its balance, if it stands on the left.
    pub debit: Option<String>,
    /// Its balance, if it stands on the right.
    pub credit: Option<String>,
}

/// Both columns in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialTotal {
    /// Currency.
    pub currency: Currency,
    /// Sum of the left column.
    pub debit: String,
    /// Sum of the right column.
    pub credit: String,
    /// Left less right: zero (I12).
    pub difference: String,
}

/// The trial balance at a position (`None`: now, which is `newest`).
pub fn trial_balance(
    read: &dyn Read,
    position: Option<u64>,
    newest: u64,
) -> Result<TrialBalance, AccountsError> {
    let sums = match position.filter(|it| *it < newest) {
        Some(position) => sums_until(read, position)?,
        None => sums_now(read)?,
    };
    let mut lines = Vec::with_capacity(sums.len());
    let mut columns: BTreeMap<Currency, Balance> = BTreeMap::new();
    for ((currency, account), sums) in sums {
        let net = sums.of_debits()?;
        if net.minor_units() == 0 {
            continue;
        }
        let total = columns.entry(currency).or_insert(Balance::zero(currency));
        let (mut debit, mut credit) = (None, None);
        if net.minor_units() > 0 {
            total.debits = total.debits.checked_add(net)?;
            debit = Some(net.number());
        } else {
            let net = sums.of_credits()?;
            total.credits = total.credits.checked_add(net)?;
            credit = Some(net.number());
        }
        lines.push(TrialLine {
            class: account.class(),
            account,
            currency,
            debit,
            credit,
        });
    }
    let total = |(currency, sums): (Currency, Balance)| {
        Ok(TrialTotal {
            currency,
            debit: sums.debits.number(),
            credit: sums.credits.number(),
            difference: sums.of_debits()?.number(),
        })
    };
    let totals: Result<_, AccountsError> = columns.into_iter().map(total).collect();
    Ok(TrialBalance {
        position: position.filter(|it| *it < newest).unwrap_or(newest),
        lines,
        totals: totals?,
    })
}

type Sums = BTreeMap<(Currency, LedgerAccount), Balance>;

fn sums_now(read: &dyn Read) -> Result<Sums, AccountsError> {
    let mut sums = Sums::new();
    try_scan(read, Table::Balances, (&[], &[]), |key, value| {
        let broken = || AccountsError::Broken {
            position: 0,
            reason: format!("balance of `{}`", String::from_utf8_lossy(key)),
        };
        let text = std::str::from_utf8(key).map_err(|_| broken())?;
        let (currency, account) = text.split_once('/').ok_or_else(broken)?;
        let account = LedgerAccount::try_from(account.to_owned()).map_err(|_| broken())?;
        sums.insert(
            (Currency::parse(currency)?, account),
            parse(Table::Balances, value)?,
        );
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    Ok(sums)
}

/// From the journal alone: also the check of the balances' table.
fn sums_until(read: &dyn Read, position: u64) -> Result<Sums, AccountsError> {
    let mut sums = Sums::new();
    journal(read, (0, position + 1), |posting| {
        for entry in posting.entries() {
            let currency = entry.amount.currency();
            let of = sums.entry((currency, entry.account.clone()));
            of.or_insert(Balance::zero(currency)).add(entry)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sums)
}
