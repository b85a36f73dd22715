//! The ports in memory: the honest fake that the contract suite holds to the same behaviour as RocksDB. Keeps nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tallyman_aggregator_core::ports::{Changes, Read, Store, StoreError, Table, Visit};

/// Tables in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Read for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&table).and_then(|t| t.get(key)).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let below_end = |key: &[u8]| to.is_empty() || key < to;
        let entries = self
            .0
            .get(&table)
            .into_iter()
            .flat_map(|t| t.range(from.to_vec()..));
        for (key, value) in entries.take_while(|(key, _)| below_end(key)) {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        for change in changes.iter() {
            let table = self.0.entry(change.table).or_default();
            match &change.value {
                Some(value) => drop(table.insert(change.key.clone(), value.clone())),
                None => drop(table.remove(&change.key)),
            }
        }
        Ok(())
    }
}
