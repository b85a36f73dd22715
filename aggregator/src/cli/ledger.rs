//! `ledger` and `credit`: reports of the ledger, credits, and the check of its tables against the log.

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use serde_json::{Value, json};
use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::command::NoteLine;
use tallyman_aggregator_core::api::text::parse_instant;
use tallyman_aggregator_core::registry::money::{Allocation, Granted};
use tallyman_common::ids::{Digest, hex};
use tallyman_common::money::Money;

use super::desk::Desk;
use super::lists::grid;
use super::print;
use super::question::Question;
use crate::config::Config;

/// Reports of the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerOrder {
    /// Every ledger account with its balance; both columns have the same sum.
    TrialBalance {
        /// As it was behind this position of the log.
        #[arg(long)]
        position: Option<u64>,
    },
    /// Every posting.
    Journal {
        /// First position of the log.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// The position behind the last one.
        #[arg(long)]
        to: Option<u64>,
    },
    /// Movements of a paying account, with a running balance.
    Statement {
        /// Which.
        account: String,
    },
    /// What is due, by how long it has been.
    Ages,
    /// Fold the log again and compare: tables, documents, balances.
    Check,
}

/// Credits.
#[derive(Debug, Subcommand)]
pub enum CreditOrder {
    /// Grant a credit; the same again is done once.
    Grant {
        /// Paying account.
        account: String,
        /// Its name, one in its account.
        #[arg(long)]
        key: String,
        /// How much, such as "100.00 CNY".
        #[arg(long, value_parser = amount)]
        amount: Money,
        /// Words for the invoice.
        #[arg(long)]
        title: String,
        /// Lower ones are used first.
        #[arg(long, default_value_t = 50)]
        priority: u32,
        /// First instant at which it is worth nothing, such as 2027-01-01T00:00:00Z.
        #[arg(long)]
        expires: Option<String>,
        /// Item of the price book for which it can be used; may be repeated; all without.
        #[arg(long = "item")]
        items: Vec<String>,
    },
    /// Show the credits of an account.
    List {
        /// Paying account.
        account: String,
    },
    /// Take back what is left of credits that have ended, and that no month that is still to be billed can use.
    Expire,
}

impl LedgerOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        match self {
            Self::TrialBalance { position } => {
                let found = desk.question(Question::TrialBalance { position })?;
                let mut text = grid(
                    &["account", "class", "currency", "debit", "credit"],
                    &found["lines"],
                );
                text.push('\n');
                text.push_str(&grid(
                    &["currency", "debit", "credit", "difference"],
                    &found["totals"],
                ));
                print(as_json, &found, &text)
            }
            Self::Journal { from, to } => {
                let found = desk.question(Question::Journal { from, to })?;
                print(as_json, &found, &journal_text(&found))
            }
            Self::Statement { account } => {
                let found = desk.question(Question::Statement { account })?;
                let columns = ["at", "reason", "currency", "amount", "balance"];
                print(as_json, &found, &grid(&columns, &found["movements"]))
            }
            Self::Ages => {
                let found = desk.question(Question::Ages)?;
                let columns = [
                    "account",
                    "currency",
                    "current",
                    "days_1_30",
                    "days_31_60",
                    "days_61_90",
                    "days_over_90",
                    "disputed",
                    "total",
                ];
                print(as_json, &found, &grid(&columns, &found))
            }
            Self::Check => {
                let found = desk.question(Question::Check)?;
                let faults = found.as_array().map_or(0, Vec::len);
                let text = match faults {
                    0 => "the ledger is what the log says\n".to_owned(),
                    _ => grid(&["table", "key", "reason"], &found),
                };
                print(as_json, &found, &text)?;
                anyhow::ensure!(faults == 0, "{faults} values are not what the log says");
                Ok(())
            }
        }
    }
}

/// A line for each entry, its posting's words in front of the first.
fn journal_text(postings: &Value) -> String {
    let mut rows = Vec::new();
    for posting in postings.as_array().into_iter().flatten() {
        for (at, entry) in posting["entries"].as_array().into_iter().flatten().enumerate() {
            let head = |name: &str| if at == 0 { posting[name].clone() } else { json!("") };
            rows.push(json!({
                "position": head("position"),
                "reason": head("reason"),
                "account": entry["account"],
                "side": entry["side"],
                "amount": entry["amount"],
            }));
        }
    }
    grid(
        &["position", "reason", "account", "side", "amount"],
        &Value::Array(rows),
    )
}

impl CreditOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        let command = match self {
            Self::List { account } => {
                let found = desk.question(Question::Credits { account })?;
                let columns = ["key", "title", "amount", "left", "items", "priority", "expires"];
                return print(as_json, &found, &grid(&columns, &found));
            }
            Self::Expire => MoneyCommand::ExpireCredits {
                upto: crate::io::clock::now(),
                rests: None,
            },
            Self::Grant {
                account,
                key,
                amount,
                title,
                priority,
                expires,
                items,
            } => MoneyCommand::GrantCredit(Granted {
                key,
                account,
                title,
                amount,
                priority,
                expires: expires
                    .map(|text| parse_instant(&text))
                    .transpose()
                    .map_err(|e| anyhow!(e))?,
                items,
            }),
        };
        book(&mut desk, command, as_json)
    }
}

/// Sends a command and says what became of it.
pub fn book(desk: &mut Desk, command: MoneyCommand, as_json: bool) -> anyhow::Result<()> {
    let booked = desk.money(command)?;
    let value = serde_json::to_value(&booked)?;
    let mut text = match (booked.position, booked.repeated) {
        (None, _) => "nothing was left to do\n".to_owned(),
        (Some(position), true) => format!("done before, at position {position}: nothing was added\n"),
        (Some(position), false) => format!("booked at position {position}\n"),
    };
    for document in value["documents"].as_array().into_iter().flatten() {
        let fate = &document["fate"];
        let number = fate["number"].as_str().or(fate["reason"].as_str());
        text.push_str(&format!(
            "{}: {}\n",
            fate["is"].as_str().map_or("-", |is| is),
            number.map_or("-", |number| number)
        ));
    }
    if let Some(amount) = booked.to_balance {
        text.push_str(&format!("to the prepaid balance: {amount}\n"));
    }
    print(as_json, &value, &text)
}

/// The command with its trace; without one it is named by its content.
pub fn traced(trace: Option<String>, make: impl Fn(String) -> MoneyCommand) -> MoneyCommand {
    let named = || {
        let text = serde_json::to_vec(&make(String::new())).expect("commands are plain data");
        format!("cli/{}", hex(&Digest::of(&[&text]).0[..16]))
    };
    let trace = trace.unwrap_or_else(named);
    make(trace)
}

/// Reads `12.00 CNY`.
pub fn amount(text: &str) -> anyhow::Result<Money> {
    // Whoever reads the command line shows one line of an error alone.
    Money::parse(text).map_err(|reason| anyhow!("{reason}; an amount such as \"12.00 CNY\" is wanted"))
}

/// Reads `INV-000001=12.00 CNY`.
pub fn allocation(text: &str) -> anyhow::Result<Allocation> {
    let (number, money) = text
        .split_once('=')
        .context("a number and an amount are wanted, such as \"INV-000001=12.00 CNY\"")?;
    Ok(Allocation {
        number: number.to_owned(),
        amount: amount(money)?,
    })
}

/// Reads `Traffic=12.00 CNY`, or `2=12.00 CNY` for line 2 of what is corrected.
pub fn note_line(text: &str) -> anyhow::Result<NoteLine> {
    let (name, money) = text.rsplit_once('=').context(
        "a title, or the number of a line, and an amount are wanted, such as \"Traffic=12.00 CNY\" or \"2=12.00 CNY\"",
    )?;
    let line = name.parse().ok();
    Ok(NoteLine {
        title: line.map_or_else(|| name.to_owned(), |_: u32| String::new()),
        amount: amount(money)?,
        line,
    })
}
