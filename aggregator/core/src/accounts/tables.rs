//! Keys and values of the tables of money (docs/FORMATS.md), and reads over what is not committed yet.
//!
//! Values are JSON, so that they can be read without this program for as long as they must be kept. It must not know what
//! a movement means.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tallyman_common::codec::CodecError;
use tallyman_common::ids::Digest;
use tallyman_common::money::{Money, MoneyError};

use super::command::Booked;
use super::ledger::PostingError;
use crate::ports::{Read, StoreError, Table, Visit};
use crate::registry::money::{DocumentKind, Granted};

/// Why the tables could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountsError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value is not one of ours.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Amounts that can't be added.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A posting that does not balance (I12).
    #[error(transparent)]
    Posting(#[from] PostingError),
    /// The log and the tables contradict each other.
    #[error("position {position}: {reason}")]
    Broken {
        /// Of the decision.
        position: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Values by table and key that are not committed yet; `None` for what is deleted.
pub type Pending = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// A store with changes on top of it: who reads here sees what was decided in the same commit.
pub struct Overlay<'s> {
    below: &'s dyn Read,
    changed: Pending,
}

impl<'s> Overlay<'s> {
    /// Nothing changed yet.
    pub fn new(below: &'s dyn Read) -> Self {
        Self::over(below, Pending::new())
    }

    /// With changes.
    pub fn over(below: &'s dyn Read, changed: Pending) -> Self {
        Self { below, changed }
    }

    /// The changes.
    pub fn into_changed(self) -> Pending {
        self.changed
    }

    /// Sets a key to a value as JSON.
    pub fn put<T: Serialize>(&mut self, table: Table, key: Vec<u8>, value: &T) {
        let text = serde_json::to_vec(value).expect("tables of money hold plain data");
        self.put_raw(table, key, text);
    }

    /// Sets a key.
    pub fn put_raw(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.changed.insert((table, key), Some(value));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.changed.insert((table, key), None);
    }
}

impl Read for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Layers(self.below, &self.changed).get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        Layers(self.below, &self.changed).scan(table, from, to, visit)
    }
}

/// A store, and borrowed changes on top of it.
pub struct Layers<'s>(pub &'s dyn Read, pub &'s Pending);

impl Read for Layers<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.1.get(&(table, key.to_vec())) {
            Some(value) => Ok(value.clone()),
            None => self.0.get(table, key),
        }
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let end = if to.is_empty() { None } else { Some(to) };
        let inside =
            |(of, key): &(Table, Vec<u8>)| *of == table && end.is_none_or(|end| key.as_slice() < end);
        let start = Bound::Included((table, from.to_vec()));
        let own = self.1.range((start, Bound::Unbounded));
        let mut own = own.take_while(|(key, _)| inside(key)).peekable();
        let mut broken = false;
        self.0.scan(table, from, to, &mut |key, value| {
            let mut replaced = false;
            while let Some(((_, own_key), own_value)) = own.next_if(|((_, own), _)| own.as_slice() <= key) {
                replaced |= own_key.as_slice() == key;
                if let Some(own_value) = own_value
                    && visit(own_key, own_value).is_break()
                {
                    broken = true;
                    return ControlFlow::Break(());
                }
            }
            if replaced {
                return ControlFlow::Continue(());
            }
            let flow = visit(key, value);
            broken = flow.is_break();
            flow
        })?;
        if broken {
            return Ok(());
        }
        for ((_, key), value) in own {
            if let Some(value) = value
                && visit(key, value).is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

/// The value of a key.
pub fn get<T: DeserializeOwned>(
    read: &dyn Read,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, AccountsError> {
    let value = read.get(table, key)?;
    value.map(|v| parse(table, &v)).transpose()
}

/// A value from its JSON.
pub fn parse<T: DeserializeOwned>(table: Table, value: &[u8]) -> Result<T, AccountsError> {
    serde_json::from_slice(value).map_err(|e| {
        AccountsError::Codec(CodecError::Malformed {
            what: table.name(),
            reason: e.to_string(),
        })
    })
}

/// What a trace did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// SHA-256 of what was asked.
    pub content: Digest,
    /// What was answered.
    pub booked: Booked,
}

/// A credit and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantState {
    /// As it was granted.
    pub granted: Granted,
    /// What is left.
    pub left: Money,
    /// Position of its decision.
    pub position: u64,
}

/// A series of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Whose.
    pub seller: String,
    /// Of which documents.
    pub kind: DocumentKind,
    /// Empty, or what a restore added.
    pub generation: String,
    /// The newest number.
    pub last: u64,
}

/// One row of an index of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its number.
    pub number: String,
    /// Its identity.
    pub id: String,
    /// In the row of the one invoice of a month: it is void, and another one may stand in for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub void: bool,
}

impl Found {
    /// A row of a document that lives.
    pub fn new(number: &str, id: &str) -> Self {
        Self {
            number: number.to_owned(),
            id: id.to_owned(),
            void: false,
        }
    }
}

fn is_false(it: &bool) -> bool {
    !*it
}

/// Keys of [`Table::MoneyIndex`]: a letter, then names that end in a zero byte.
pub mod keys {
    use crate::registry::money::DocumentKind;

    fn key(letter: u8, parts: &[&str]) -> Vec<u8> {
        let mut key = vec![letter];
        for part in parts {
            key.extend_from_slice(part.as_bytes());
            key.push(0);
        }
        key
    }

    /// The one invoice of an account, month and kind: the newest, of which all before are void.
    pub fn unique(account: &str, month: &str, kind: DocumentKind) -> Vec<u8> {
        key(b'u', &[account, month, kind.name()])
    }

    /// The position up to which late usage of an account's month was billed behind its invoice.
    pub fn adjusted(account: &str, month: &str) -> Vec<u8> {
        key(b'l', &[account, month])
    }

    /// What an account's invoices have of fees of plans, by month and number.
    pub fn fees_of(account: &str, rest: &[&str]) -> Vec<u8> {
        let mut of = key(b'f', &[account]);
        of.extend_from_slice(&key(0, rest)[1..]);
        of
    }

    /// The document of a seller that has a number of the tax office.
    pub fn tax_number(seller: &str, text: &str) -> Vec<u8> {
        key(b'x', &[seller, text])
    }

    /// Documents of an account, by month and number.
    pub fn by_account(account: &str, rest: &[&str]) -> Vec<u8> {
        let mut of = key(b'a', &[account]);
        of.extend_from_slice(&key(0, rest)[1..]);
        of
    }

    /// Documents of a month, by account and number.
    pub fn by_month(parts: &[&str]) -> Vec<u8> {
        key(b'm', parts)
    }

    /// Documents of which something is left to pay, by due day and number.
    pub fn open(parts: &[&str]) -> Vec<u8> {
        key(b'd', parts)
    }

    /// A document by its identity.
    pub fn by_id(id: &str) -> Vec<u8> {
        key(b'i', &[id])
    }

    /// What a trace did.
    pub fn trace(trace: &str) -> Vec<u8> {
        key(b't', &[trace])
    }

    /// Grants of an account.
    pub fn grants(account: &str) -> Vec<u8> {
        key(b'g', &[account])
    }

    /// One grant.
    pub fn grant(account: &str, name: &str) -> Vec<u8> {
        key(b'g', &[account, name])
    }

    /// Every grant.
    pub fn all_grants() -> Vec<u8> {
        vec![b'g']
    }

    /// A series by its prefix.
    pub fn series(prefix: &str) -> Vec<u8> {
        key(b's', &[prefix])
    }

    /// Postings that touch a paying account.
    pub fn postings(account: &str) -> Vec<u8> {
        key(b'p', &[account])
    }

    /// One of them.
    pub fn posting(account: &str, journal: &[u8]) -> Vec<u8> {
        [&key(b'p', &[account])[..], journal].concat()
    }
}
