//! A copy of the store that is read beside the writer for as long as the store itself is open: what takes long then keeps
//! no stop waiting, and no copy is open when the process ends.

use std::path::Path;

use tallyman_aggregator_core::ports::{Read, StoreError, Table, Visit};

use super::{Create, RocksOpenError, RocksReader, RocksStore, scan_while_open};

/// The copy. Every read fails once the store is closed.
#[derive(Debug)]
pub struct Beside {
    copy: RocksStore,
    store: RocksReader,
}

impl Beside {
    /// Opens a copy of the store that `store` reads.
    pub fn open(path: &Path, store: RocksReader) -> Result<Self, RocksOpenError> {
        let copy = RocksStore::open(path, Create::No)?;
        Ok(Self { copy, store })
    }
}

impl Read for Beside {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.while_open()?;
        self.copy.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan_while_open(&self.store, visit, |visit| self.copy.scan(table, from, to, visit))
    }
}
