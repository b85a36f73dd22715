//! `bill`: a tenant's bill so far, and the monthly run that gives accounts their invoices.
//!
//! The run goes through the accounts in pieces: a piece is drafted over one snapshot and issued in one commit. Cut
//! anywhere and begun again, it goes on, for what is issued is found.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::command::Fate;
use tallyman_aggregator_core::accounts::run::{Drafts, HasOne, NotBilled};
use tallyman_aggregator_core::api::text::parse_period;
use tallyman_aggregator_core::api::usage::zone_of;
use tallyman_aggregator_core::bills::{BillError, Books, Viewer, draft, text};
use tallyman_aggregator_core::rating::calendar::CalendarError;

use super::desk::Desk;
use super::print;
use super::question::Question;
use super::sheet::Sheet;
use crate::config::Config;

/// Accounts in one piece of a run.
const PIECE: usize = 50;

/// Bills.
#[derive(Debug, Subcommand)]
pub enum BillOrder {
    /// A tenant's bill so far.
    Show(Bill),
    /// Give every account its invoice of a month; what is issued stays, so it can be run again.
    Run(Run),
    /// The closing sheet of a month: where all that was metered is, and what the month comes to.
    Sheet(Sheet),
}

/// A bill that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Bill {
    /// Key of the tenant.
    tenant: String,
    /// Month (2026-01), day (2026-01-31) or UTC hour (2026-01-31T23:00:00Z); the running month without.
    #[arg(long)]
    period: Option<String>,
}

/// A monthly run.
#[derive(Debug, Args)]
pub struct Run {
    /// Month, such as 2026-11; in each account's own zone.
    #[arg(long)]
    period: String,
    /// Only this account; may be repeated.
    #[arg(long)]
    account: Vec<String>,
    /// Draft and tell, but issue nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What became of a run.
#[derive(Debug, Default, Serialize)]
struct Report {
    issued: Vec<HasOne>,
    existing: Vec<HasOne>,
    nothing: Vec<String>,
    not_billed: Vec<NotBilled>,
    drafted: Vec<Value>,
}

impl BillOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        match self {
            Self::Show(bill) => {
                let answer = Desk::open(config)?.bill(bill)?;
                let text = answer["text"].as_str().map_or_else(String::new, str::to_owned);
                print(as_json, &answer["bill"], &text)
            }
            Self::Run(run) => run.run(config, as_json),
            Self::Sheet(sheet) => sheet.run(config, as_json),
        }
    }
}

impl Bill {
    /// Drafts it: the bill as data and as text.
    pub fn answer(&self, books: Books<'_>) -> Result<Value, BillError> {
        let zone = zone_of(books, &self.tenant)?;
        let calendar = |e: CalendarError| BillError::Rating(e.to_string());
        let period = match &self.period {
            Some(name) => parse_period(name, &zone).map_err(BillError::Rating)?,
            None => {
                let month = zone.month_of(books.now.hour()).map_err(calendar)?;
                zone.month_hours(month).map_err(calendar)?
            }
        };
        let bill = draft(books, &self.tenant, period, Viewer::Operator)?;
        Ok(json!({"text": text::render(&bill), "bill": bill}))
    }
}

impl Run {
    fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        let accounts = if self.account.is_empty() {
            serde_json::from_value(desk.question(Question::AccountsToBill)?)?
        } else {
            self.account.clone()
        };
        let mut report = Report::default();
        for (done, piece) in accounts.chunks(PIECE).enumerate() {
            self.piece(&mut desk, piece, &mut report)?;
            if !as_json {
                eprint!(
                    "\r{} of {} accounts",
                    (done * PIECE) + piece.len(),
                    accounts.len()
                );
                std::io::stderr().flush()?;
            }
        }
        if !as_json && !accounts.is_empty() {
            eprintln!();
        }
        print(
            as_json,
            &serde_json::to_value(&report)?,
            &report.text(&self.period),
        )?;
        anyhow::ensure!(
            report.not_billed.is_empty(),
            "{} of {} accounts have no invoice for {}",
            report.not_billed.len(),
            accounts.len(),
            self.period
        );
        Ok(())
    }

    fn piece(&self, desk: &mut Desk, accounts: &[String], report: &mut Report) -> anyhow::Result<()> {
        let month = self.period.clone();
        let question = Question::Drafts {
            month: month.clone(),
            accounts: accounts.to_vec(),
        };
        let Drafts {
            drafts,
            existing,
            nothing,
            not_billed,
        } = serde_json::from_value(desk.question(question)?)?;
        report.existing.extend(existing);
        report.nothing.extend(nothing);
        report.not_billed.extend(not_billed);
        if self.dry_run {
            let rows = drafts.iter().map(|it| {
                let document = &it.document;
                json!({"account": document.account.key, "total": document.total, "currency": document.currency})
            });
            report.drafted.extend(rows);
            return Ok(());
        }
        if drafts.is_empty() {
            return Ok(());
        }
        let documents = drafts;
        for it in desk
            .money(MoneyCommand::IssueInvoices { month, documents })?
            .documents
        {
            let account = it.account;
            match it.fate {
                Fate::Issued { number } => report.issued.push(HasOne { account, number }),
                Fate::Existed { number } => report.existing.push(HasOne { account, number }),
                Fate::Refused { reason } => report.not_billed.push(NotBilled { account, reason }),
            }
        }
        Ok(())
    }
}

impl Report {
    fn text(&self, month: &str) -> String {
        let mut text = String::new();
        for it in &self.issued {
            text.push_str(&format!("{}: issued {}\n", it.account, it.number));
        }
        for it in &self.existing {
            text.push_str(&format!("{}: has {}\n", it.account, it.number));
        }
        for account in &self.nothing {
            text.push_str(&format!("{account}: nothing to bill\n"));
        }
        for it in &self.drafted {
            let word = |key: &str| it[key].as_str().map_or_else(String::new, str::to_owned);
            text.push_str(&format!(
                "{}: would be {} {}\n",
                word("account"),
                word("total"),
                word("currency")
            ));
        }
        for it in &self.not_billed {
            text.push_str(&format!("{}: NOT billed: {}\n", it.account, it.reason));
        }
        text.push_str(&format!(
            "{month}: {} issued, {} had theirs, {} had nothing to bill, {} not billed\n",
            self.issued.len(),
            self.existing.len(),
            self.nothing.len(),
            self.not_billed.len()
        ));
        text
    }
}
