//! `bill`: a tenant's bill so far, and the monthly run that gives accounts their invoices. The run itself is the biller's,
//! whether the program runs or not; here it is ordered, and its progress shown.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tallyman_aggregator_core::accounts::run::{self, Due};
use tallyman_aggregator_core::api::text::parse_period;
use tallyman_aggregator_core::api::usage::zone_of;
use tallyman_aggregator_core::bills::{BillError, Books, Viewer, draft, text};
use tallyman_aggregator_core::rating::Month;
use tallyman_aggregator_core::rating::calendar::CalendarError;
use tokio::sync::mpsc;

use super::desk::Desk;
use super::question::Question;
use super::sheet::Sheet;
use super::{paper, print};
use crate::biller::{self, Told, UnderWay};
use crate::config::Config;
use crate::handle::Handle;
use crate::io::admin::SOURCE;
use crate::monthly::{Asked, Piece};

/// Bills.
#[derive(Debug, Subcommand)]
pub enum BillOrder {
    /// A tenant's bill so far.
    Show(Bill),
    /// What an account's invoice of a month would be, also of one that runs or is not final yet; nothing is issued.
    Draft {
        /// Paying account.
        account: String,
        /// Month, such as 2026-11.
        #[arg(long)]
        period: String,
        /// A file instead, such as draft.pdf; also .html, .csv or .json.
        #[arg(long)]
        to: Option<PathBuf>,
    },
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
    /// Issue another invoice where the account's is void; it says which it stands in for.
    #[arg(long, requires = "account")]
    again: bool,
}

/// A monthly run that is ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    month: Month,
    /// Whose; nothing means all.
    accounts: Option<Vec<String>>,
    dry_run: bool,
    again: bool,
}

impl Wanted {
    /// Begins it; it goes on without whoever listens.
    pub fn begin(self, handle: &Handle, actor: String) -> Result<mpsc::Receiver<Told>, UnderWay> {
        let all = || run::accounts(&handle.registry()).into_iter().collect();
        let due = Due {
            month: self.month,
            accounts: self.accounts.unwrap_or_else(all),
            again: self.again,
        };
        let source = SOURCE.to_owned();
        let asked = (!self.dry_run).then_some(Asked { actor, source });
        biller::follow(handle, asked, due)
    }
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
            Self::Draft { account, period, to } => {
                let month = period;
                let found = Desk::open(config)?.question(Question::Draft { account, month })?;
                match to {
                    Some(to) => paper::write(&found, &to, as_json),
                    None => print(as_json, &found["document"], &paper::shown(&found)?),
                }
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
        let wanted = Wanted {
            month: Month::parse(&self.period)?,
            accounts: (!self.account.is_empty()).then_some(self.account),
            dry_run: self.dry_run,
            again: self.again,
        };
        let is_named = wanted.accounts.is_some();
        let (mut accounts, mut report) = (0, Piece::default());
        let mut tell = |told| {
            match told {
                Told::Begun { accounts: all, .. } => accounts = all,
                Told::Done(piece) => report.add(piece),
                Told::Ended { .. } => {}
            }
            if as_json || accounts == 0 {
                return Ok(());
            }
            let (done, issued) = (report.accounts(), report.issued.len());
            eprint!("\r{done} of {accounts} accounts, {issued} issued");
            Ok(std::io::stderr().flush()?)
        };
        let fault = Desk::open(config)?
            .bill_run(wanted, &mut tell)
            .context("what was issued stays, and the run can be begun again")?;
        if !as_json && accounts > 0 {
            eprintln!();
        }
        let words = text_of(&report, &self.period);
        print(as_json, &serde_json::to_value(&report)?, &words)?;
        if let Some(fault) = fault {
            anyhow::bail!("the run ended early, it can be begun again: {fault}");
        }
        anyhow::ensure!(
            report.not_billed.is_empty(),
            "{} of {} accounts have no invoice for {}",
            report.not_billed.len(),
            accounts,
            self.period
        );
        // Of all accounts some may be void for good; who names one wants its invoice.
        anyhow::ensure!(
            !is_named || report.void.is_empty(),
            "the invoice of {} accounts for {} is void: order them again with --again",
            report.void.len(),
            self.period
        );
        Ok(())
    }
}

fn text_of(report: &Piece, month: &str) -> String {
    let mut text = String::new();
    for it in &report.issued {
        text.push_str(&format!("{}: issued {}\n", it.account, it.number));
    }
    for it in &report.existing {
        text.push_str(&format!("{}: has {}\n", it.account, it.number));
    }
    for it in &report.void {
        let what = run::void_text(&it.number, &it.account, month);
        text.push_str(&format!("{}: VOID: {what}\n", it.account));
    }
    for account in &report.nothing {
        text.push_str(&format!("{account}: nothing to bill\n"));
    }
    for it in &report.drafted {
        text.push_str(&format!(
            "{}: would be {} {}\n",
            it.account, it.total, it.currency
        ));
    }
    for it in &report.not_billed {
        text.push_str(&format!("{}: NOT billed: {}\n", it.account, it.reason));
    }
    if !report.drafted.is_empty() {
        text.push_str(&format!("{month}: {} would be issued\n", report.drafted.len()));
    }
    text.push_str(&format!(
        "{month}: {} issued, {} had theirs, {} void, {} had nothing to bill, {} not billed\n",
        report.issued.len(),
        report.existing.len(),
        report.void.len(),
        report.nothing.len(),
        report.not_billed.len()
    ));
    text
}
