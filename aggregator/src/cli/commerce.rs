//! `tenant`, `price-book`, `rate` and `quarantine`: who pays what, and what counts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tallyman_aggregator_core::api::text::parse_period;
use tallyman_aggregator_core::rating::{BillingZone, PriceBook, hour_text, offline, parse_hour};
use tallyman_aggregator_core::registry::{Command, TenantTerms};
use tallyman_common::time::Hour;

use super::desk::Desk;
use super::lists::List;
use super::question::Question;
use super::what_if::Diff;
use super::{print, print_list};
use crate::config::Config;
use crate::io::clock;

/// Tenants and whose claims are theirs.
#[derive(Debug, Subcommand)]
pub enum TenantOrder {
    /// Register a tenant, or change what is given; the rest stays.
    Set(TenantSet),
    /// End a tenant: from then on its claims are nobody's. What it used before is on its account's last invoice.
    End {
        /// Key of the tenant.
        key: String,
        /// First hour, day or month without it; this hour without.
        #[arg(long)]
        from: Option<String>,
    },
    /// Show all tenants.
    List,
}

/// A tenant's terms.
#[derive(Debug, Args)]
pub struct TenantSet {
    /// Key of the tenant: a-z, 0-9, `-`, `_`, `.`.
    key: String,
    /// Name for people; the key without.
    #[arg(long)]
    name: Option<String>,
    /// Owner that nodes find on workloads and that means this tenant; may be given several times; the key without.
    #[arg(long)]
    claim: Vec<String>,
    /// Account that pays; the key without.
    #[arg(long)]
    account: Option<String>,
    /// IANA zone of its days and months; UTC without.
    #[arg(long)]
    zone: Option<String>,
    /// Currency of its bills; USD without.
    #[arg(long)]
    currency: Option<String>,
    /// Language of its bills: en or zh.
    #[arg(long)]
    language: Option<String>,
    /// Hour, day or month from which this holds, such as 2026-01-31T23:00:00Z, 2026-01-31 or 2026-01; this hour
    /// without.
    #[arg(long)]
    from: Option<String>,
}

impl TenantOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        match self {
            Self::List => print_list(&mut desk, List::Tenants, as_json),
            Self::End { key, from } => end(&mut desk, (key, from), as_json),
            Self::Set(set) => {
                let known = set.known(&mut desk)?;
                let terms = set.terms(known.as_ref())?;
                check_payer(&mut desk, &set)?;
                let (tenant, from) = (terms.tenant.clone(), hour_text(terms.from));
                let (claims, account) = (terms.claims.join(", "), terms.account.clone());
                let position = desk.command(Command::SetTenant(terms))?;
                let text =
                    format!("tenant `{tenant}` from {from} on; account: {account}; claims: {claims}\n");
                let value = json!({"tenant": tenant, "from": from, "account": account, "position": position});
                print(as_json, &value, &text)
            }
        }
    }
}

/// Refuses an account that nobody registered: a slip of the pen there is usage that nobody is invoiced for. A tenant pays
/// for itself until somebody else does.
fn check_payer(desk: &mut Desk, set: &TenantSet) -> anyhow::Result<()> {
    let Some(account) = set.account.as_ref().filter(|it| **it != set.key) else {
        return Ok(());
    };
    let accounts = desk.question(Question::Accounts)?;
    let mut accounts = accounts.as_array().into_iter().flatten();
    anyhow::ensure!(
        accounts.any(|it| it["account"] == account.as_str()),
        "there is no account `{account}` to pay for tenant `{}`: correct the key, or register the account first (`account set`)",
        set.key
    );
    Ok(())
}

/// Takes a tenant's claims away. Usage under them stays visible as that of nobody, and is never billed by mistake.
fn end(desk: &mut Desk, (key, from): (String, Option<String>), as_json: bool) -> anyhow::Result<()> {
    let set = TenantSet {
        from,
        ..TenantSet::of(key)
    };
    let known = set.known(desk)?;
    let known = known.with_context(|| format!("there is no tenant `{}`", set.key))?;
    let mut terms = set.terms(Some(&known))?;
    anyhow::ensure!(
        !terms.claims.is_empty(),
        "tenant `{}` has ended: it has no claims",
        terms.tenant
    );
    let claims = std::mem::take(&mut terms.claims).join(", ");
    let (tenant, account, from) = (terms.tenant.clone(), terms.account.clone(), hour_text(terms.from));
    let position = desk.command(Command::SetTenant(terms))?;
    let text = format!(
        "tenant `{tenant}` ends at {from}: what it used before is on the invoices of account `{account}` up to that month; \
         usage under its claims ({claims}) is nobody's from then on; fees of the account's plan end by its terms\n"
    );
    let value = json!({"tenant": tenant, "from": from, "claims": claims, "position": position});
    print(as_json, &value, &text)
}

impl TenantSet {
    /// Nothing is changed but the key's.
    fn of(key: String) -> Self {
        Self {
            key,
            name: None,
            claim: Vec::new(),
            account: None,
            zone: None,
            currency: None,
            language: None,
            from: None,
        }
    }

    /// The tenant's terms when the new ones begin: what is not given stays as it was then, not as it was or will be at
    /// another time.
    fn known(&self, desk: &mut Desk) -> anyhow::Result<Option<Value>> {
        let key = self.key.clone();
        let now = desk.question(Question::Tenant { key, at: None })?;
        // Who has terms keeps the zone, so it is known which hour is meant.
        let (Some(from), Some(zone)) = (&self.from, now["zone"].as_str()) else {
            return Ok(Some(now).filter(|it| !it.is_null()));
        };
        let (key, at) = (self.key.clone(), Some(first_hour(from, zone)?));
        desk.question(Question::Tenant { key, at }).map(Some)
    }

    fn terms(&self, known: Option<&Value>) -> anyhow::Result<TenantTerms> {
        let said = |given: &Option<String>, field: &str, fallback: &str| {
            let before = known.and_then(|t| t[field].as_str());
            given
                .clone()
                .unwrap_or_else(|| before.unwrap_or(fallback).to_owned())
        };
        let claims_before = known.and_then(|t| t["claims"].as_array()).map(|claims| {
            let claims = claims.iter().filter_map(Value::as_str);
            claims.map(str::to_owned).collect()
        });
        let claims = match (self.claim.is_empty(), claims_before) {
            (false, _) => self.claim.clone(),
            (true, Some(before)) => before,
            (true, None) => vec![self.key.clone()],
        };
        let zone = said(&self.zone, "zone", "UTC");
        Ok(TenantTerms {
            tenant: self.key.clone(),
            name: said(&self.name, "name", &self.key),
            claims,
            account: said(&self.account, "account", &self.key),
            currency: said(&self.currency, "currency", "USD"),
            language: said(&self.language, "language", "en"),
            from: match &self.from {
                Some(text) => first_hour(text, &zone)?,
                None => clock::now().hour(),
            },
            zone,
        })
    }
}

/// Price books.
#[derive(Debug, Subcommand)]
pub enum PriceBookOrder {
    /// Check a file; every fault is told with its line.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Activate a file from an hour on.
    Add {
        /// The file.
        file: PathBuf,
        /// Hour, day or month of the book's zone from which it prices.
        #[arg(long)]
        from: String,
    },
    /// Show all price books.
    List,
    /// What changes from one price book to another, and whose bills of a month would change.
    Diff(Diff),
}

impl PriceBookOrder {
    /// Runs the order; `check` needs no data folder, but warns by what is in one.
    pub fn run(self, config: impl FnOnce() -> anyhow::Result<Config>, as_json: bool) -> anyhow::Result<()> {
        match self {
            Self::Check { file } => {
                let (text_of_book, book) = read_book(&file)?;
                let items = book.items().len();
                let warnings = warnings_if_any(config, &text_of_book)?;
                let text = format!(
                    "{}: price book `{}` in {} has {items} items and no faults\ndigest {}\n{}",
                    file.display(),
                    book.name(),
                    book.currency().code(),
                    book.digest(),
                    told(&warnings)
                );
                let value = json!({"name": book.name(), "items": items, "digest": book.digest(), "warnings": warnings});
                print(as_json, &value, &text)
            }
            Self::Add { file, from } => {
                let (text, book) = read_book(&file)?;
                let from = first_hour(&from, book.time_zone().name())?;
                let mut desk = Desk::open(&config()?)?;
                let warnings = warnings(&mut desk, &text)?;
                let position = desk.command(Command::AddPriceBook { text, from })?;
                let words = format!(
                    "price book `{}` prices from {} on\n{}",
                    book.name(),
                    hour_text(from),
                    told(&warnings)
                );
                let from = hour_text(from);
                let value = json!({"digest": book.digest(), "from": from, "position": position, "warnings": warnings});
                print(as_json, &value, &words)
            }
            Self::List => print_list(&mut Desk::open(&config()?)?, List::PriceBooks, as_json),
            Self::Diff(diff) => diff.run(config, as_json),
        }
    }
}

/// What a price book takes away from those who have it, though that is no fault.
pub(super) fn warnings(desk: &mut Desk, book: &str) -> anyhow::Result<Value> {
    let book = book.to_owned();
    desk.question(Question::CreditsWithout { book })
}

/// The same where there is a data folder; a file alone is checked anywhere.
fn warnings_if_any(config: impl FnOnce() -> anyhow::Result<Config>, book: &str) -> anyhow::Result<Value> {
    match config().and_then(|it| Desk::open(&it)) {
        Ok(mut desk) => warnings(&mut desk, book),
        Err(_) => Ok(json!([])),
    }
}

/// Warnings, line by line.
pub(super) fn told(warnings: &Value) -> String {
    let lines = warnings
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    lines.map(|it| format!("warning: {it}\n")).collect()
}

pub(super) fn read_book(file: &Path) -> anyhow::Result<(String, PriceBook)> {
    let text = read(file)?;
    let book = PriceBook::parse(&text).map_err(|faults| {
        let lines: Vec<String> = faults
            .iter()
            .map(|f| format!("{}: {f}", file.display()))
            .collect();
        anyhow!(lines.join("\n"))
    })?;
    Ok((text, book))
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))
}

pub(super) fn first_hour(text: &str, zone: &str) -> anyhow::Result<Hour> {
    let zone = BillingZone::parse(zone)?;
    // `2026-01-31T23` is what people write for an hour.
    let long = format!("{text}:00:00Z");
    if let Ok(hour) = parse_hour(&long) {
        return Ok(hour);
    }
    parse_period(text, &zone)
        .map(|period| period.start)
        .map_err(|e| anyhow!("--from: {e}"))
}

/// Rates files without a store.
#[derive(Debug, Args)]
pub struct Rate {
    /// Price book.
    #[arg(long)]
    price_book: PathBuf,
    /// Usage: one JSON object a line (docs/schemas/rate-input.schema.json).
    #[arg(long)]
    usage: PathBuf,
}

impl Rate {
    /// Prints lines and totals as JSON (docs/schemas/rate-output.schema.json).
    pub fn run(self) -> anyhow::Result<()> {
        let rated = offline::rate(&read(&self.price_book)?, &read(&self.usage)?)?;
        println!("{rated}");
        Ok(())
    }
}

/// Batches that wait for a decision.
#[derive(Debug, Subcommand)]
pub enum QuarantineOrder {
    /// Show all held batches.
    List,
    /// Count a held batch after all.
    Release(Verdict),
    /// Never count a held batch; its node may drop it.
    Discard(Verdict),
}

/// A decision about a held batch.
#[derive(Debug, Args)]
pub struct Verdict {
    /// Position, as the list shows it.
    position: u64,
    /// Why; it stands in the log.
    #[arg(long)]
    reason: String,
}

impl QuarantineOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        let (verdict, release) = match self {
            Self::List => return print_list(&mut desk, List::Quarantine, as_json),
            Self::Release(verdict) => (verdict, true),
            Self::Discard(verdict) => (verdict, false),
        };
        let Verdict { position, reason } = verdict;
        if reason.trim().is_empty() {
            bail!("a reason is needed: it stands in the log");
        }
        let (command, what) = if release {
            (Command::ReleaseBatch { position, reason }, "is counted")
        } else {
            (
                Command::DiscardBatch { position, reason },
                "will never be counted",
            )
        };
        let decided = desk.command(command)?;
        let text = format!("the batch at position {position} {what}\n");
        print(as_json, &json!({"batch": position, "position": decided}), &text)
    }
}
