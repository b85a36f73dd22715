//! Orders of the command line. Every change goes into the log, whether the aggregator runs or not.

/// Tokens and nodes.
mod access;
/// A backup in one encrypted file.
mod archive;
/// Copies of everything.
mod backup;
/// A tenant's bill.
pub mod bill;
/// Nodes that two hosts speak for.
mod clones;
/// Holes and seals.
mod closing;
/// Tenants, price books, quarantine.
mod commerce;
/// The store as of one moment.
pub(crate) mod copy;
/// The running program or the store.
pub mod desk;
/// Why an amount is what it is.
mod explain;
/// Files of a backup.
mod files;
/// Batches from files.
pub mod import;
/// New folders.
mod init;
/// Invoices and notes.
mod invoices;
/// Reports of the ledger, and credits.
mod ledger;
/// Lists.
pub mod lists;
/// Invoices as files and text.
mod paper;
/// Sellers, accounts, terms.
pub mod payers;
/// What is asked of the ledger.
pub mod question;
/// Comparison of cells and log.
pub mod recompute;
/// A day's books against each other.
mod reconcile;
/// The closing sheet of a month.
mod sheet;
/// A month under other prices.
mod what_if;
/// What is asked of a month.
pub mod why;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::config::{Config, DEFAULT_PATH};
use desk::Desk;
use lists::{List, table};

/// Takes in the signed usage of all hosts, counts it once, and serves usage and bills.
#[derive(Debug, Parser)]
#[command(name = "tallyman-aggregator", version, propagate_version = true)]
pub struct Cli {
    /// Configuration; without it DATA/aggregator.toml when --data is given, else /etc/tallyman/aggregator.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder; overrides the configuration's.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Make a data folder: store, authority, configuration, first token.
    Init(init::Init),
    /// Serve agents and HTTP clients until told to stop.
    Run,
    /// Check the configuration and print what is in force, with units.
    CheckConfig,
    /// Access tokens of the API.
    #[command(subcommand)]
    Token(access::TokenOrder),
    /// Hosts that send.
    #[command(subcommand)]
    Node(access::NodeOrder),
    /// Tenants and whose claims are theirs.
    #[command(subcommand)]
    Tenant(commerce::TenantOrder),
    /// Price books.
    #[command(subcommand)]
    PriceBook(commerce::PriceBookOrder),
    /// Who sells, as it stands on invoices.
    #[command(subcommand)]
    Seller(payers::SellerOrder),
    /// Who pays, as it stands on invoices.
    #[command(subcommand)]
    Account(payers::AccountOrder),
    /// What was agreed with an account.
    #[command(subcommand)]
    Terms(payers::TermsOrder),
    /// A tenant's bill so far; the monthly run.
    #[command(subcommand)]
    Bill(bill::BillOrder),
    /// Invoices and notes: lists, payments, corrections, disputes.
    #[command(subcommand)]
    Invoice(invoices::InvoiceOrder),
    /// Why an amount is what it is: from a line to its hours, hosts and batches.
    Explain(explain::Explain),
    /// A month under another price book, beside the real one; touches nothing.
    WhatIf(what_if::WhatIf),
    /// Reports of the ledger.
    #[command(subcommand)]
    Ledger(ledger::LedgerOrder),
    /// Credits that invoices use.
    #[command(subcommand)]
    Credit(ledger::CreditOrder),
    /// Rate files without a store.
    Rate(commerce::Rate),
    /// Batches that wait for a decision.
    #[command(subcommand)]
    Quarantine(commerce::QuarantineOrder),
    /// Batches that did not come, and what was made of it.
    #[command(subcommand)]
    Hole(closing::HoleOrder),
    /// Show up to where hours stay as they are.
    Seals,
    /// Take in files that `tallyman-agent spool export` wrote; nothing is counted twice.
    Import(import::Import),
    /// Copy everything, with checksums, encrypted when a key is given; also while the aggregator runs.
    Backup(backup::Backup),
    /// Make a key for encrypted backups.
    BackupKey(archive::BackupKey),
    /// Make the data folder out of a backup.
    Restore(backup::Restore),
    /// Compare a day's books: batches, sums, tenants, log.
    Reconcile(reconcile::Reconcile),
    /// Fold the log again and compare.
    Recompute(recompute::Recompute),
}

/// Where settings and data are, as far as the command line says.
#[derive(Debug, Clone)]
pub struct Place {
    config: Option<PathBuf>,
    data: Option<PathBuf>,
}

impl Place {
    fn load(&self) -> anyhow::Result<Config> {
        let path = self.settings();
        match &self.data {
            Some(data) if !path.exists() => anyhow::bail!(
                "the data folder {} is not initialised: `tallyman-aggregator init` makes it",
                data.display()
            ),
            _ => Ok(Config::load(&path, self.data.as_deref())?),
        }
    }

    /// The file of the settings.
    fn settings(&self) -> PathBuf {
        let in_data = self.data.as_ref().map(|d| d.join(CONFIG_FILE));
        self.config
            .clone()
            .or(in_data.filter(|p| p.exists()))
            .unwrap_or_else(|| DEFAULT_PATH.into())
    }

    /// Where `init` writes the settings.
    fn config_to_write(&self) -> PathBuf {
        let in_data = self.data.as_ref().map(|d| d.join(CONFIG_FILE));
        self.config
            .clone()
            .or(in_data)
            .unwrap_or_else(|| DEFAULT_PATH.into())
    }
}

const CONFIG_FILE: &str = "aggregator.toml";

impl Cli {
    /// Runs the order; `serve` runs the program itself.
    pub fn run(self, serve: impl FnOnce(Config) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let place = Place {
            config: self.config,
            data: self.data.as_deref().map(absolute).transpose()?,
        };
        let as_json = self.json;
        match self.order {
            Order::Init(init) => init.run(&place, as_json),
            Order::Run => serve(place.load()?),
            Order::CheckConfig => {
                print!("{}", place.load()?.explain());
                Ok(())
            }
            Order::Token(order) => order.run(&place.load()?, as_json),
            Order::Node(order) => order.run(&place.load()?, as_json),
            Order::Tenant(order) => order.run(&place.load()?, as_json),
            Order::PriceBook(order) => order.run(|| place.load(), as_json),
            Order::Seller(order) => order.run(&place.load()?, as_json),
            Order::Account(order) => order.run(&place.load()?, as_json),
            Order::Terms(order) => order.run(&place.load()?, as_json),
            Order::Bill(order) => order.run(&place.load()?, as_json),
            Order::Invoice(order) => order.run(&place.load()?, as_json),
            Order::Explain(order) => order.run(&place.load()?, as_json),
            Order::WhatIf(order) => order.run(&place.load()?, as_json),
            Order::Ledger(order) => order.run(&place.load()?, as_json),
            Order::Credit(order) => order.run(&place.load()?, as_json),
            Order::Rate(rate) => rate.run(),
            Order::Quarantine(order) => order.run(&place.load()?, as_json),
            Order::Hole(order) => order.run(&place.load()?, as_json),
            Order::Seals => closing::seals(&place.load()?, as_json),
            Order::Import(order) => order.run(&place.load()?, as_json),
            Order::Backup(order) => order.run(&place, as_json),
            Order::BackupKey(order) => order.run(as_json),
            Order::Restore(order) => order.run(&place, as_json),
            Order::Reconcile(order) => order.run(&place.load()?, as_json),
            Order::Recompute(order) => order.run(&place.load()?, as_json),
        }
    }
}

/// The running program may have another working folder.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}

/// Prints one or the other.
fn print(as_json: bool, value: &Value, text: &str) -> anyhow::Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        print!("{text}");
    }
    Ok(())
}

fn print_list(desk: &mut Desk, which: List, as_json: bool) -> anyhow::Result<()> {
    let rows = desk.list(which)?;
    print(as_json, &rows, &table(which, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
