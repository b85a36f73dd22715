//! The monthly run: which accounts there are, and the drafts of some of them. Who is not billed is told, with the reason.
//!
//! A run is cut anyhow and begun again anywhere: what is issued stays, for there is one invoice for each account, month
//! and kind. It must not know who asks, or how often.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::adjust::LateMonths;
use super::command::Draft;
use super::document::Kind;
use super::draft::{DraftError, Past, Purpose, document_id, draft_beside};
use super::reads::document;
use crate::bills::Books;
use crate::rating::Month;
use crate::registry::Registry;

/// An account that gets no draft, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotBilled {
    /// Which.
    pub account: String,
    /// Why.
    pub reason: String,
}

/// An account that has its invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HasOne {
    /// Which.
    pub account: String,
    /// Its invoice's number.
    pub number: String,
}

/// Drafts of some accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drafts {
    /// To be issued.
    pub drafts: Vec<Draft>,
    /// Have theirs.
    pub existing: Vec<HasOne>,
    /// Get none.
    pub not_billed: Vec<NotBilled>,
}

/// Every account that somebody registered, or that a tenant names, by key.
pub fn accounts(registry: &Registry) -> BTreeSet<String> {
    let registered = registry.payers.accounts.keys().cloned();
    registered
        .chain(registry.tenants.iter().map(|it| it.account.clone()))
        .collect()
}

/// Drafts the month of some accounts.
///
/// # Errors
/// When the tables of money can't be read; what is wrong with one account stops no other.
pub fn drafts(books: Books<'_>, month: Month, accounts: &[String]) -> Result<Drafts, DraftError> {
    let mut found = Drafts {
        drafts: Vec::new(),
        existing: Vec::new(),
        not_billed: Vec::new(),
    };
    let (past, late) = (Past::new(books.store), LateMonths::read(books)?);
    for account in accounts {
        let id = document_id(account, month, Kind::Invoice);
        if let Some((document, _)) = document(books.store, &id)? {
            let number = document.number.unwrap_or(id);
            let account = account.clone();
            found.existing.push(HasOne { account, number });
            continue;
        }
        match draft_beside((books, &past, &late), account, month, Purpose::Issue) {
            Ok(draft) => found.drafts.push(draft),
            Err(error) => found.not_billed.push(NotBilled {
                account: account.clone(),
                reason: error.to_string(),
            }),
        }
    }
    Ok(found)
}
