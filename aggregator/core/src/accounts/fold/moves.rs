//! Money and credits that move: their postings, and what they change of documents and grants.

use tallyman_common::money::Money;

use super::Fold;
use crate::accounts::ledger::{Draft, LedgerAccount};
use crate::accounts::tables::{AccountsError, GrantState, keys};
use crate::ports::Table;
use crate::registry::money::{Allocation, Granted, MoneyAct, Rest};

impl Fold<'_, '_> {
    pub(super) fn pay(&mut self, act: &MoneyAct) -> Result<(), AccountsError> {
        let MoneyAct::Pay {
            account,
            reference,
            source,
            on,
            allocations,
            to_balance,
        } = act
        else {
            return Ok(());
        };
        let mut all = *to_balance;
        let mut owed = Money::zero(to_balance.currency());
        for Allocation { number, amount } in allocations {
            self.settle(number, *amount, (source, reference, Some(on)))?;
            owed = owed.checked_add(*amount)?;
            all = all.checked_add(*amount)?;
        }
        let mut draft = Draft::default();
        draft.debit(LedgerAccount::Cash(source.clone()), all)?;
        draft.credit(LedgerAccount::Receivable(account.clone()), owed)?;
        draft.credit(LedgerAccount::Prepaid(account.clone()), *to_balance)?;
        self.post(draft, format!("payment {reference}"))
    }

    /// What left the prepaid balance, as a change of it.
    pub(super) fn apply_balance(
        &mut self,
        account: &str,
        allocations: &[Allocation],
    ) -> Result<Money, AccountsError> {
        let Some(first) = allocations.first() else {
            return Err(AccountsError::Broken {
                position: self.position,
                reason: "a balance was applied to nothing".to_owned(),
            });
        };
        let mut sum = Money::zero(first.amount.currency());
        for Allocation { number, amount } in allocations {
            self.settle(number, *amount, ("balance", "", None))?;
            sum = sum.checked_add(*amount)?;
        }
        let mut draft = Draft::default();
        draft.debit(LedgerAccount::Prepaid(account.to_owned()), sum)?;
        draft.credit(LedgerAccount::Receivable(account.to_owned()), sum)?;
        self.post(draft, "paid from the prepaid balance".to_owned())?;
        Ok(Money::zero(sum.currency()).checked_sub(sum)?)
    }

    pub(super) fn refund(&mut self, act: &MoneyAct) -> Result<(), AccountsError> {
        let MoneyAct::Refund {
            account,
            reference,
            source,
            amount,
            ..
        } = act
        else {
            return Ok(());
        };
        let mut draft = Draft::default();
        draft.debit(LedgerAccount::Prepaid(account.clone()), *amount)?;
        draft.credit(LedgerAccount::Cash(source.clone()), *amount)?;
        self.post(draft, format!("refund {reference}"))
    }

    pub(super) fn grant(&mut self, granted: &Granted) -> Result<(), AccountsError> {
        let Granted {
            account, key, amount, ..
        } = granted;
        let state = GrantState {
            granted: granted.clone(),
            left: *amount,
            position: self.position,
        };
        self.tables
            .put(Table::MoneyIndex, keys::grant(account, key), &state);
        let mut draft = Draft::default();
        draft.debit(LedgerAccount::Promotion, *amount)?;
        draft.credit(LedgerAccount::Grant(account.clone(), key.clone()), *amount)?;
        self.post(draft, format!("credit {key} granted"))
    }

    pub(super) fn expire(&mut self, rest: &Rest) -> Result<(), AccountsError> {
        let Rest { account, key, amount } = rest;
        self.change_grant(account, key, |grant| {
            grant.left = grant.left.checked_sub(*amount)?;
            Ok(())
        })?;
        let mut draft = Draft::default();
        draft.debit(LedgerAccount::Grant(account.clone(), key.clone()), *amount)?;
        draft.credit(LedgerAccount::Promotion, *amount)?;
        self.post(draft, format!("credit {key} expired"))
    }
}
