//! `seller`, `account` and `terms`: who stands on invoices, and what was agreed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tallyman_aggregator_core::registry::{Account, Command, Seller};

use super::commerce::first_hour;
use super::desk::Desk;
use super::lists::grid;
use super::print;
use super::question::Question;
use crate::config::Config;

/// Days from the issue of an invoice until it is due, unless an account has others.
const DUE_DAYS: u16 = 30;

/// Who sells.
#[derive(Debug, Subcommand)]
pub enum SellerOrder {
    /// Register a seller, or change it: what is not named stays, an empty text takes away. Invoices that were issued stay
    /// as they are.
    Set(SellerSet),
    /// Show all sellers.
    List,
}

/// A seller as it stands on invoices.
#[derive(Debug, Args)]
pub struct SellerSet {
    /// Key: a-z, 0-9, `-`, `_`, `.`.
    key: String,
    /// Full name; a new one needs it.
    #[arg(long)]
    name: Option<String>,
    /// A line of its address; may be repeated.
    #[arg(long)]
    address: Vec<String>,
    /// Number that the tax office knows it by.
    #[arg(long)]
    tax_id: Option<String>,
    /// Telephone, e-mail and the like; may be repeated.
    #[arg(long)]
    contact: Vec<String>,
    /// A line that says where to pay; may be repeated.
    #[arg(long)]
    bank: Vec<String>,
    /// What its invoices' numbers begin with: 1 to 8 of A-Z and 0-9; INV for a new one without.
    #[arg(long)]
    prefix: Option<String>,
}

/// Who pays.
#[derive(Debug, Subcommand)]
pub enum AccountOrder {
    /// Register a paying account, or change it: what is not named stays, an empty text takes away. Invoices that were
    /// issued stay as they are.
    Set(Box<AccountSet>),
    /// Show all accounts.
    List,
}

/// An account as it stands on invoices.
#[derive(Debug, Args)]
pub struct AccountSet {
    /// Key: a-z, 0-9, `-`, `_`, `.`.
    key: String,
    /// Full name; a new one needs it.
    #[arg(long)]
    name: Option<String>,
    /// Key of the seller; a new account needs it.
    #[arg(long)]
    seller: Option<String>,
    /// Organisation that it belongs to.
    #[arg(long)]
    organisation: Option<String>,
    /// Currency of its invoices; that of its tenants. USD for a new one without.
    #[arg(long)]
    currency: Option<String>,
    /// IANA zone of its months; that of its tenants. UTC for a new one without.
    #[arg(long)]
    zone: Option<String>,
    /// Language of its invoices: en or zh. English for a new one without.
    #[arg(long)]
    language: Option<String>,
    /// A line of its address; may be repeated.
    #[arg(long)]
    address: Vec<String>,
    /// Number that the tax office knows it by.
    #[arg(long)]
    tax_id: Option<String>,
    /// Telephone, e-mail and the like; may be repeated.
    #[arg(long)]
    contact: Vec<String>,
    /// Days from the issue of an invoice until it is due; 30 for a new one without.
    #[arg(long)]
    due_days: Option<u16>,
}

/// What was agreed with accounts.
#[derive(Debug, Subcommand)]
pub enum TermsOrder {
    /// Put a file in force for an account from a month on.
    Add {
        /// The file (docs/OPERATING.md shows one).
        file: PathBuf,
        /// Paying account.
        #[arg(long)]
        account: String,
        /// Month in the account's zone, such as 2026-12.
        #[arg(long)]
        from: String,
    },
    /// Show which terms were put in force, for whom, from when, by whom.
    List {
        /// Only this account's.
        #[arg(long)]
        account: Option<String>,
    },
    /// Show a file of terms as it was written: the one in force.
    Show {
        /// Paying account.
        account: String,
        /// The one of this position, as `terms list` shows it.
        #[arg(long)]
        position: Option<u64>,
    },
}

impl SellerOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        match self {
            Self::List => {
                let found = desk.question(Question::Sellers)?;
                print(as_json, &found, &grid(&["seller", "name", "prefix"], &found))
            }
            Self::Set(set) => {
                let known = known(&mut desk, Question::Sellers, ("seller", &set.key))?;
                let seller = set.seller(known)?;
                let key = seller.seller.clone();
                let position = desk.command(Command::SetSeller(Box::new(seller)))?;
                let text = format!("seller `{key}` is registered\n");
                print(as_json, &json!({"seller": key, "position": position}), &text)
            }
        }
    }
}

impl AccountOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        match self {
            Self::List => {
                let found = desk.question(Question::Accounts)?;
                let columns = ["account", "name", "seller", "currency", "zone"];
                print(as_json, &found, &grid(&columns, &found))
            }
            Self::Set(set) => {
                let known = known(&mut desk, Question::Accounts, ("account", &set.key))?;
                let account = set.account(known)?;
                let key = account.account.clone();
                let position = desk.command(Command::SetAccount(Box::new(account)))?;
                let text = format!("account `{key}` is registered\n");
                print(as_json, &json!({"account": key, "position": position}), &text)
            }
        }
    }
}

/// The row of a key in an answer.
fn known<T: DeserializeOwned>(
    desk: &mut Desk,
    question: Question,
    (column, key): (&str, &str),
) -> anyhow::Result<Option<T>> {
    let rows = desk.question(question)?;
    let row = rows
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row[column] == key);
    Ok(row.map(|row| serde_json::from_value(row.clone())).transpose()?)
}

impl SellerSet {
    /// The seller as it is to be; `known` is what it is.
    fn seller(self, known: Option<Seller>) -> anyhow::Result<Seller> {
        let known = match known {
            Some(known) => known,
            None => Seller {
                name: needed(&self.name, ("seller", &self.key, "--name"))?,
                seller: self.key,
                address: Vec::new(),
                tax_id: None,
                contact: Vec::new(),
                bank: Vec::new(),
                prefix: "INV".to_owned(),
            },
        };
        Ok(Seller {
            seller: known.seller,
            name: self.name.unwrap_or(known.name),
            address: rows(self.address, known.address),
            tax_id: text(self.tax_id, known.tax_id),
            contact: rows(self.contact, known.contact),
            bank: rows(self.bank, known.bank),
            prefix: self.prefix.unwrap_or(known.prefix),
        })
    }
}

impl AccountSet {
    /// The account as it is to be; `known` is what it is.
    fn account(self, known: Option<Account>) -> anyhow::Result<Account> {
        let known = match known {
            Some(known) => known,
            None => Account {
                name: needed(&self.name, ("account", &self.key, "--name"))?,
                seller: needed(&self.seller, ("account", &self.key, "--seller"))?,
                account: self.key,
                organisation: None,
                currency: "USD".to_owned(),
                zone: "UTC".to_owned(),
                language: "en".to_owned(),
                address: Vec::new(),
                tax_id: None,
                contact: Vec::new(),
                due_days: DUE_DAYS,
            },
        };
        Ok(Account {
            account: known.account,
            organisation: text(self.organisation, known.organisation),
            name: self.name.unwrap_or(known.name),
            seller: self.seller.unwrap_or(known.seller),
            currency: self.currency.unwrap_or(known.currency),
            zone: self.zone.unwrap_or(known.zone),
            language: self.language.unwrap_or(known.language),
            address: rows(self.address, known.address),
            tax_id: text(self.tax_id, known.tax_id),
            contact: rows(self.contact, known.contact),
            due_days: self.due_days.unwrap_or(known.due_days),
        })
    }
}

/// What somebody who is new can't go without.
fn needed(given: &Option<String>, (who, key, argument): (&str, &str, &str)) -> anyhow::Result<String> {
    given
        .clone()
        .with_context(|| format!("{who} `{key}` is not registered yet: a new one needs {argument}"))
}

/// What was named, or what is known; an empty text takes away.
fn text(given: Option<String>, known: Option<String>) -> Option<String> {
    given.map_or(known, |text| (!text.is_empty()).then_some(text))
}

/// The same of rows.
fn rows(given: Vec<String>, known: Vec<String>) -> Vec<String> {
    if given.is_empty() {
        return known;
    }
    given.into_iter().filter(|row| !row.is_empty()).collect()
}

impl TermsOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        match self {
            Self::Add { file, account, from } => add(&mut desk, (&file, &account, &from), as_json),
            Self::List { account } => {
                let found = desk.question(Question::Terms { account })?;
                let columns = [
                    "account", "month", "status", "decided", "actor", "position", "digest",
                ];
                print(as_json, &found, &grid(&columns, &found))
            }
            Self::Show { account, position } => {
                let found = desk.question(Question::Terms {
                    account: Some(account.clone()),
                })?;
                let is_it = |row: &&Value| match position {
                    Some(position) => row["position"] == position,
                    None => row["status"] == "in force",
                };
                let row = found.as_array().into_iter().flatten().find(is_it);
                let row = row.with_context(|| match position {
                    Some(position) => format!("no terms of account `{account}` have the position {position}"),
                    None => format!("no terms of account `{account}` are in force: `terms list` shows all"),
                })?;
                print(as_json, row, row["text"].as_str().unwrap_or_default())
            }
        }
    }
}

/// Puts a file in force.
fn add(desk: &mut Desk, (file, account, from): (&Path, &str, &str), as_json: bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let accounts = desk.question(Question::Accounts)?;
    let known = accounts
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["account"] == account);
    let zone = known
        .and_then(|it| it["zone"].as_str())
        .unwrap_or("UTC")
        .to_owned();
    let hour = first_hour(from, &zone)?;
    let command = Command::SetTerms {
        account: account.to_owned(),
        text,
        from: hour,
    };
    let position = desk.command(command)?;
    let words = format!("terms of account `{account}` hold from {from} on\n");
    print(
        as_json,
        &json!({"account": account, "from": from, "position": position}),
        &words,
    )
}
