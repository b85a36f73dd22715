//! `seller`, `account` and `terms`: who stands on invoices, and what was agreed.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use tallyman_aggregator_core::registry::{Account, Command, Seller};

use super::commerce::first_hour;
use super::desk::Desk;
use super::lists::grid;
use super::print;
use super::question::Question;
use crate::config::Config;

/// Who sells.
#[derive(Debug, Subcommand)]
pub enum SellerOrder {
    /// Register a seller, or change it; invoices that were issued stay as they are.
    Set(SellerSet),
    /// Show all sellers.
    List,
}

/// A seller as it stands on invoices.
#[derive(Debug, Args)]
pub struct SellerSet {
    /// Key: a-z, 0-9, `-`, `_`, `.`.
    key: String,
    /// Full name.
    #[arg(long)]
    name: String,
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
    /// What its invoices' numbers begin with: 1 to 8 of A-Z and 0-9.
    #[arg(long, default_value = "INV")]
    prefix: String,
}

/// Who pays.
#[derive(Debug, Subcommand)]
pub enum AccountOrder {
    /// Register a paying account, or change it; invoices that were issued stay as they are.
    Set(Box<AccountSet>),
    /// Show all accounts.
    List,
}

/// An account as it stands on invoices.
#[derive(Debug, Args)]
pub struct AccountSet {
    /// Key: a-z, 0-9, `-`, `_`, `.`.
    key: String,
    /// Full name.
    #[arg(long)]
    name: String,
    /// Key of the seller.
    #[arg(long)]
    seller: String,
    /// Organisation that it belongs to.
    #[arg(long)]
    organisation: Option<String>,
    /// Currency of its invoices; that of its tenants.
    #[arg(long, default_value = "USD")]
    currency: String,
    /// IANA zone of its months; that of its tenants.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Language of its invoices: en or zh.
    #[arg(long, default_value = "en")]
    language: String,
    /// A line of its address; may be repeated.
    #[arg(long)]
    address: Vec<String>,
    /// Number that the tax office knows it by.
    #[arg(long)]
    tax_id: Option<String>,
    /// Telephone, e-mail and the like; may be repeated.
    #[arg(long)]
    contact: Vec<String>,
    /// Days from the issue of an invoice until it is due.
    #[arg(long, default_value_t = 30)]
    due_days: u16,
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
                let seller = Seller {
                    seller: set.key.clone(),
                    name: set.name,
                    address: set.address,
                    tax_id: set.tax_id,
                    contact: set.contact,
                    bank: set.bank,
                    prefix: set.prefix,
                };
                let position = desk.command(Command::SetSeller(Box::new(seller)))?;
                let text = format!("seller `{}` is registered\n", set.key);
                print(as_json, &json!({"seller": set.key, "position": position}), &text)
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
                let account = Account {
                    account: set.key.clone(),
                    organisation: set.organisation,
                    name: set.name,
                    seller: set.seller,
                    currency: set.currency,
                    zone: set.zone,
                    language: set.language,
                    address: set.address,
                    tax_id: set.tax_id,
                    contact: set.contact,
                    due_days: set.due_days,
                };
                let position = desk.command(Command::SetAccount(Box::new(account)))?;
                let text = format!("account `{}` is registered\n", set.key);
                print(as_json, &json!({"account": set.key, "position": position}), &text)
            }
        }
    }
}

impl TermsOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let Self::Add { file, account, from } = self;
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let mut desk = Desk::open(config)?;
        let accounts = desk.question(Question::Accounts)?;
        let known = accounts
            .as_array()
            .into_iter()
            .flatten()
            .find(|it| it["account"] == account.as_str());
        let zone = known
            .and_then(|it| it["zone"].as_str())
            .unwrap_or("UTC")
            .to_owned();
        let hour = first_hour(&from, &zone)?;
        let command = Command::SetTerms {
            account: account.clone(),
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
}
