//! A store in memory: for tests, for the simulation, and for rebuilding cells beside the real ones.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::ports::{Changes, Read, Store, StoreError, Table, Visit};

/// Tables in memory; a commit is atomic and as durable as the value is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// Every key and value of a table.
    pub fn table(&self, table: Table) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.tables.get(&table).into_iter().flatten()
    }
}

impl Read for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.get(&table).and_then(|t| t.get(key)).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let Some(table) = self.tables.get(&table) else {
            return Ok(());
        };
        for (key, value) in table
            .range(from.to_vec()..)
            .take_while(|(key, _)| to.is_empty() || key.as_slice() < to)
        {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        for change in changes.iter() {
            let table = self.tables.entry(change.table).or_default();
            match &change.value {
                Some(value) => table.insert(change.key.clone(), value.clone()),
                None => table.remove(&change.key),
            };
        }
        Ok(())
    }
}

/// Another store without its cells: what a rebuild reads.
pub struct WithoutCells<'s>(pub &'s dyn Read);

impl Read for WithoutCells<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if matches!(table, Table::Cells | Table::NodeHours) {
            Ok(None)
        } else {
            self.0.get(table, key)
        }
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if matches!(table, Table::Cells | Table::NodeHours) {
            Ok(())
        } else {
            self.0.scan(table, from, to, visit)
        }
    }
}
