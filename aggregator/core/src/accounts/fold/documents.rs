//! A document that got its number: what finds it, what it posts, and the credits that it uses.

use tallyman_common::money::Money;

use super::Fold;
use crate::accounts::command::{DocumentFate, Fate};
use crate::accounts::ledger::{Draft, LedgerAccount};
use crate::accounts::standing::{Receivable, released};
use crate::accounts::tables::{AccountsError, Found, GrantState, Series, get, keys};
use crate::ports::Table;
use crate::registry::money::{DocumentKind, Issued, MoneyAct};

/// The documents of an act, as they are answered.
pub(super) fn fates(act: &MoneyAct) -> Vec<DocumentFate> {
    let issued = match act {
        MoneyAct::Issue { documents } => documents.iter().collect(),
        MoneyAct::Note { note, .. } | MoneyAct::Void { note, .. } => vec![note],
        MoneyAct::ResolveDispute { note, .. } => note.iter().collect(),
        _ => Vec::new(),
    };
    let fate = |one: &Issued| DocumentFate {
        account: one.account.clone(),
        month: one.month.clone(),
        kind: one.kind,
        id: one.id.clone(),
        fate: Fate::Issued {
            number: one.number.clone(),
        },
    };
    issued.into_iter().map(fate).collect()
}

impl Fold<'_, '_> {
    pub(super) fn issue(&mut self, one: &Issued) -> Result<(), AccountsError> {
        self.index(one);
        for it in &one.adjusted {
            let key = keys::adjusted(&one.account, &it.month);
            self.tables.put(Table::MoneyIndex, key, &it.upto);
        }
        let mut draft = Draft::default();
        draft.debit(LedgerAccount::Receivable(one.account.clone()), one.total)?;
        for (key, amount) in &one.credits {
            self.use_grant(&one.account, key, *amount)?;
            draft.debit(LedgerAccount::Grant(one.account.clone(), key.clone()), *amount)?;
        }
        let net = one.subtotal.checked_add(one.discounts)?;
        let net = net.checked_sub(one.taxes_included)?;
        draft.credit(LedgerAccount::Revenue(one.seller.clone()), net)?;
        draft.credit(LedgerAccount::Tax(one.seller.clone()), one.taxes)?;
        let trace = match (&self.trace, &one.corrects) {
            (Some(trace), _) => trace.clone(),
            (None, None) => format!("{}/{}/{}", one.kind.name(), one.account, one.month),
            (None, Some(void)) => format!("{}/{}/{}/{void}", one.kind.name(), one.account, one.month),
        };
        self.post_as(draft, trace, format!("{} {}", one.kind.name(), one.number))?;
        let record = Receivable::new(one.clone(), self.position);
        self.keep(&record, false)?;
        self.settle_negative(one)
    }

    /// A negative invoice is money for the payer: it goes to the prepaid balance at once.
    fn settle_negative(&mut self, one: &Issued) -> Result<(), AccountsError> {
        if one.kind == DocumentKind::CreditNote || one.total.minor_units() >= 0 {
            return Ok(());
        }
        let amount = Money::zero(one.total.currency()).checked_sub(one.total)?;
        self.move_to_balance(&one.number, amount)
    }

    fn index(&mut self, one: &Issued) {
        let found = Found::new(&one.number, &one.id);
        let Issued {
            account,
            month,
            number,
            kind,
            ..
        } = one;
        let mut rows = vec![
            keys::by_account(account, &[month, number]),
            keys::by_month(&[month, account, number]),
            keys::by_id(&one.id),
        ];
        if *kind == DocumentKind::Invoice {
            rows.push(keys::unique(account, month, *kind));
        }
        for key in rows {
            self.tables.put(Table::MoneyIndex, key, &found);
        }
        if !one.fees.is_empty() {
            let key = keys::fees_of(account, &[month, number]);
            self.tables.put(Table::MoneyIndex, key, &one.fees);
        }
        let series = Series {
            seller: one.seller.clone(),
            kind: *kind,
            generation: one.series.generation.clone(),
            last: one.series.ordinal,
        };
        self.tables
            .put(Table::MoneyIndex, keys::series(&one.series.prefix), &series);
    }

    /// What a void document had is free again: late usage for the next document, the month for another invoice.
    pub(super) fn release(&mut self, gone: &Receivable) -> Result<(), AccountsError> {
        let one = &gone.document;
        for it in released(self.tables, gone)? {
            let key = keys::adjusted(&one.account, &it.month);
            self.tables.put(Table::MoneyIndex, key, &it.since);
        }
        if one.kind == DocumentKind::Invoice {
            let found = Found {
                void: true,
                ..Found::new(&one.number, &one.id)
            };
            let unique = keys::unique(&one.account, &one.month, one.kind);
            self.tables.put(Table::MoneyIndex, unique, &found);
        }
        Ok(())
    }

    fn use_grant(&mut self, account: &str, key: &str, amount: Money) -> Result<(), AccountsError> {
        self.change_grant(account, key, |grant| {
            grant.left = grant.left.checked_sub(amount)?;
            Ok(())
        })
    }

    /// Changes a grant, which must be there.
    pub(super) fn change_grant(
        &mut self,
        account: &str,
        key: &str,
        change: impl FnOnce(&mut GrantState) -> Result<(), AccountsError>,
    ) -> Result<(), AccountsError> {
        let place = keys::grant(account, key);
        let grant: Option<GrantState> = get(self.tables, Table::MoneyIndex, &place)?;
        let mut grant = grant.ok_or_else(|| AccountsError::Broken {
            position: self.position,
            reason: format!("there is no credit {account}/{key}"),
        })?;
        change(&mut grant)?;
        self.tables.put(Table::MoneyIndex, place, &grant);
        Ok(())
    }
}
