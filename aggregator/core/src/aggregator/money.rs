//! What is asked of the ledger: decided over the store and over what was decided before in the same group, logged, and put
//! into the tables in the same commit (I12).

use tallyman_common::codec::CodecError;
use tallyman_common::time::WallMs;

use super::{Aggregator, Answer, Asker};
use crate::accounts::tables::Layers;
use crate::accounts::{AccountsError, Context, MoneyCommand, Verdict, decide};
use crate::ports::Read;
use crate::registry::Command;
use crate::rollup::cache::FoldError;

impl Aggregator {
    pub(super) fn money(
        &mut self,
        now: WallMs,
        Asker { actor, source }: Asker,
        command: &MoneyCommand,
        store: &dyn Read,
    ) -> Result<Answer, FoldError> {
        let context = Context {
            position: self.position + 1,
            at: now,
            fenced: self.registry.open_restore().is_some(),
            restored: self.registry.restores.last().map(|r| r.at),
        };
        let verdict = decide(&Layers(store, &self.pending_money), &context, command);
        let drafted = match verdict.map_err(|e| failed(context.position, e))? {
            Verdict::Done(booked) => return Ok(Answer::Booked(booked)),
            Verdict::Rejected(rejected) => return Ok(Answer::Rejected(rejected)),
            Verdict::New(drafted) => *drafted,
        };
        let decision = Command::Money(Box::new(drafted.decision));
        let decision = self.put_decision(now, actor, source, decision);
        assert_eq!(
            decision.position, context.position,
            "the tables hold the position of their decision (I12)"
        );
        for ((table, key), value) in drafted.changed {
            match &value {
                Some(value) => self.changes.put(table, key.clone(), value.clone()),
                None => self.changes.delete(table, key.clone()),
            }
            self.pending_money.insert((table, key), value);
        }
        Ok(Answer::Booked(drafted.booked))
    }
}

/// Tables that contradict the log are a fault of this program or of the disk: it stops, as with cells.
fn failed(position: u64, error: AccountsError) -> FoldError {
    match error {
        AccountsError::Store(error) => error.into(),
        AccountsError::Codec(error) => error.into(),
        other => CodecError::Malformed {
            what: "ledger",
            reason: format!("at position {position}: {other}"),
        }
        .into(),
    }
}
