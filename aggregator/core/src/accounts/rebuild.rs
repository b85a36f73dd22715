//! Are the tables of money what the log says (I12)? Folds every decision into an empty store beside the real one.
//!
//! Documents are not in the log, only their digests: their bytes are taken as they stand, and compared with those.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tallyman_common::ids::Digest;

use super::fold::{documents_key, fold};
use super::tables::{AccountsError, Overlay};
use crate::log::decode_decision;
use crate::ports::{Read, StoreError, Table, Visit, try_scan};
use crate::registry::Command;
use crate::registry::money::{Issued, MoneyAct};

/// Tables that are a fold of the decisions.
pub const FOLDED: [Table; 4] = [
    Table::Receivables,
    Table::Balances,
    Table::Journal,
    Table::MoneyIndex,
];

/// A value that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which table.
    pub table: Table,
    /// Under which key.
    pub key: Vec<u8>,
    /// What is wrong.
    pub reason: &'static str,
}

/// A store in which nothing is.
struct Empty;

impl Read for Empty {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn scan(&self, _: Table, _: &[u8], _: &[u8], _: &mut Visit<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Everything in which tables and log differ; nothing when all is well. Needs memory for all tables of money at once.
pub fn faults(read: &dyn Read) -> Result<Vec<Fault>, AccountsError> {
    let empty = Empty;
    let mut tables = Overlay::new(&empty);
    let mut faults = Vec::new();
    try_scan(read, Table::Decisions, (&[], &[]), |_, value| {
        let decision = decode_decision(value)?;
        if let Command::Money(money) = &decision.command {
            fold(&mut tables, decision.position, decision.at, money)?;
            for issued in issued_by(&money.act) {
                faults.extend(document_fault(read, issued, decision.position)?);
            }
        }
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    let mut folded: BTreeMap<(Table, Vec<u8>), Vec<u8>> = BTreeMap::new();
    for (key, value) in tables.into_changed() {
        folded.extend(value.map(|value| (key, value)));
    }
    for table in FOLDED {
        read.scan(table, &[], &[], &mut |key, value| {
            let key = (table, key.to_vec());
            let reason = match folded.remove(&key) {
                Some(expected) if expected == value => None,
                Some(_) => Some("is not the fold of the log"),
                None => Some("is not in the log"),
            };
            let (table, key) = key;
            faults.extend(reason.map(|reason| Fault { table, key, reason }));
            ControlFlow::Continue(())
        })?;
    }
    let missing = folded.into_keys().map(|(table, key)| Fault {
        table,
        key,
        reason: "is missing",
    });
    faults.extend(missing);
    Ok(faults)
}

fn issued_by(act: &MoneyAct) -> Vec<&Issued> {
    match act {
        MoneyAct::Issue { documents } => documents.iter().collect(),
        MoneyAct::Note { note, .. } | MoneyAct::Void { note, .. } => vec![note],
        MoneyAct::ResolveDispute { note, .. } => note.iter().collect(),
        _ => Vec::new(),
    }
}

fn document_fault(read: &dyn Read, of: &Issued, position: u64) -> Result<Option<Fault>, AccountsError> {
    let key = documents_key(&of.id, position)?;
    let table = Table::Documents;
    let reason = match read.get(table, &key)? {
        None => "is missing",
        Some(bytes) if Digest::of(&[&bytes]) == of.digest => return Ok(None),
        Some(_) => "is not the document that was issued (I9)",
    };
    Ok(Some(Fault { table, key, reason }))
}
