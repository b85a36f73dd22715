//! The chart of ledger accounts: few, and named in the field's terms (docs/adr/0010-ledger-and-numbers.md).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A ledger account. Its text is `receivable/acme`, `revenue/cloud` and so on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LedgerAccount {
    /// Money at a bank or gateway.
    Cash(String),
    /// What a paying account owes.
    Receivable(String),
    /// What a paying account paid ahead.
    Prepaid(String),
    /// What is left of a credit: account and key.
    Grant(String, String),
    /// Tax that a seller owes to the tax office.
    Tax(String),
    /// What a seller sold.
    Revenue(String),
    /// Credits given away.
    Promotion,
}

/// What an account is for a balance sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What is there or is owed to us.
    Asset,
    /// What we owe.
    Liability,
    /// What we earned.
    Revenue,
    /// What makes revenue less.
    ContraRevenue,
}

impl LedgerAccount {
    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            Self::Cash(_) | Self::Receivable(_) => Class::Asset,
            Self::Prepaid(_) | Self::Grant(..) | Self::Tax(_) => Class::Liability,
            Self::Revenue(_) => Class::Revenue,
            Self::Promotion => Class::ContraRevenue,
        }
    }

    /// The paying account that it is kept for.
    pub fn payer(&self) -> Option<&str> {
        match self {
            Self::Receivable(account) | Self::Prepaid(account) | Self::Grant(account, _) => Some(account),
            _ => None,
        }
    }
}

/// Whether a text can be a part of an account's name: 1 to 64 bytes, no `/`, no control characters, no space around it.
pub fn is_name(text: &str) -> bool {
    let allowed = |c: char| c != '/' && !c.is_control();
    (1..=64).contains(&text.len()) && text.trim() == text && text.chars().all(allowed)
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cash(source) => write!(out, "cash/{source}"),
            Self::Receivable(account) => write!(out, "receivable/{account}"),
            Self::Prepaid(account) => write!(out, "prepaid/{account}"),
            Self::Grant(account, key) => write!(out, "grant/{account}/{key}"),
            Self::Tax(seller) => write!(out, "tax/{seller}"),
            Self::Revenue(seller) => write!(out, "revenue/{seller}"),
            Self::Promotion => out.write_str("promotion"),
        }
    }
}

impl From<LedgerAccount> for String {
    fn from(value: LedgerAccount) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for LedgerAccount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unknown = || format!("`{text}` is no ledger account");
        if text == "promotion" {
            return Ok(Self::Promotion);
        }
        let (kind, rest) = text.split_once('/').ok_or_else(unknown)?;
        let name = |it: &str| is_name(it).then(|| it.to_owned()).ok_or_else(unknown);
        Ok(match kind {
            "cash" => Self::Cash(name(rest)?),
            "receivable" => Self::Receivable(name(rest)?),
            "prepaid" => Self::Prepaid(name(rest)?),
            "tax" => Self::Tax(name(rest)?),
            "revenue" => Self::Revenue(name(rest)?),
            "grant" => {
                let (account, key) = rest.split_once('/').ok_or_else(unknown)?;
                Self::Grant(name(account)?, name(key)?)
            }
            _ => return Err(unknown()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_come_back_from_their_text() {
        let (a, k) = (|| "acme".to_owned(), || "双十一".to_owned());
        let all = [
            LedgerAccount::Cash("bank".to_owned()),
            LedgerAccount::Receivable(a()),
            LedgerAccount::Prepaid(a()),
            LedgerAccount::Grant(a(), k()),
            LedgerAccount::Tax(a()),
            LedgerAccount::Revenue(a()),
            LedgerAccount::Promotion,
        ];
        for account in all {
            assert_eq!(LedgerAccount::try_from(account.to_string()), Ok(account));
        }
        for wrong in ["", "cash", "cash/", "grant/acme", "stock/acme", "cash/a/b"] {
            assert!(LedgerAccount::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
