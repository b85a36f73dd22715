//! `ledger` and `credit`: reports of the ledger, credits, and the check of its tables against the log. Reads one snapshot.

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tallyman_aggregator_core::accounts::command::NoteLine;
use tallyman_aggregator_core::accounts::ledger::books::{journal, trial_balance};
use tallyman_aggregator_core::accounts::reads::{self, Filter};
use tallyman_aggregator_core::accounts::{MoneyCommand, Standing, Status, rebuild, run};
use tallyman_aggregator_core::api::text::parse_instant;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::rating::{BillingZone, Day, Month};
use tallyman_aggregator_core::registry::money::{Allocation, Granted};
use tallyman_common::ids::{Digest, hex};
use tallyman_common::money::Money;
use tallyman_common::time::WallMs;

use super::desk::Desk;
use super::lists::grid;
use super::print;
use crate::config::Config;

/// Rows of one answer at most.
const ROWS_MAX: usize = 10_000;

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
    /// Take back what is left of credits that have ended.
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
                let columns = ["key", "title", "amount", "left", "priority", "expires"];
                return print(as_json, &found, &grid(&columns, &found));
            }
            Self::Expire => MoneyCommand::ExpireCredits {
                upto: crate::io::clock::now(),
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
    let trace = trace.map_or_else(
        || {
            let text = serde_json::to_vec(&make(String::new())).expect("commands are plain data");
            format!("cli/{}", hex(&Digest::of(&[&text]).0[..16]))
        },
        |trace| trace,
    );
    make(trace)
}

/// Reads `12.00 CNY`.
pub fn amount(text: &str) -> anyhow::Result<Money> {
    Money::parse(text).context("an amount such as \"12.00 CNY\" is wanted")
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

/// Reads `Traffic=12.00 CNY`.
pub fn note_line(text: &str) -> anyhow::Result<NoteLine> {
    let (title, money) = text
        .rsplit_once('=')
        .context("a title and an amount are wanted, such as \"Traffic=12.00 CNY\"")?;
    Ok(NoteLine {
        title: title.to_owned(),
        amount: amount(money)?,
    })
}

/// What is asked of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Invoices and notes.
    Documents {
        /// Of one account.
        account: Option<String>,
        /// First month.
        from: Option<String>,
        /// The month behind the last one.
        to: Option<String>,
        /// Those that stand so.
        status: Option<String>,
    },
    /// One of them.
    Document {
        /// Number or identity.
        name: String,
    },
    /// Credits of an account.
    Credits {
        /// Which.
        account: String,
    },
    /// Every ledger account's balance.
    TrialBalance {
        /// At which position; now without.
        position: Option<u64>,
    },
    /// Postings.
    Journal {
        /// First position.
        from: u64,
        /// The position behind the last one.
        to: Option<u64>,
    },
    /// An account's movements.
    Statement {
        /// Whose.
        account: String,
    },
    /// What is due, by age.
    Ages,
    /// Whether tables and log agree.
    Check,
    /// Sellers.
    Sellers,
    /// Registered accounts.
    Accounts,
    /// Keys of all accounts that a monthly run is for.
    AccountsToBill,
    /// Drafts of some accounts' month.
    Drafts {
        /// Which month.
        month: String,
        /// Whose.
        accounts: Vec<String>,
    },
}

impl Question {
    /// The answer from one snapshot.
    pub fn answer(self, books: Books<'_>) -> anyhow::Result<Value> {
        let today = today(books)?;
        let read = books.store;
        Ok(match self {
            Self::Sellers => {
                serde_json::to_value(books.registry.payers.sellers.values().collect::<Vec<_>>())?
            }
            Self::Accounts => {
                serde_json::to_value(books.registry.payers.accounts.values().collect::<Vec<_>>())?
            }
            Self::AccountsToBill => serde_json::to_value(run::accounts(books.registry))?,
            Self::Drafts { month, accounts } => {
                let month = Month::parse(&month)?;
                serde_json::to_value(run::drafts(books, month, &accounts)?)?
            }
            Self::Documents {
                account,
                from,
                to,
                status,
            } => {
                let filter = Filter {
                    account,
                    from_month: from,
                    to_month: to,
                    status: status.as_deref().map(status_of).transpose()?,
                };
                let page = reads::documents(read, &filter, today, (None, ROWS_MAX))?;
                anyhow::ensure!(
                    page.next.is_none(),
                    "more than {ROWS_MAX}: narrow it by account or month"
                );
                let rows = page.rows.iter().map(flat).collect::<Result<_, _>>()?;
                Value::Array(rows)
            }
            Self::Document { name } => {
                let found = reads::document(read, &name)?;
                let (document, record) =
                    found.ok_or_else(|| anyhow!("there is no invoice or note `{name}`"))?;
                let standing = Standing::of(&record, today)?;
                json!({"document": document, "standing": standing, "disputes": record.disputes})
            }
            Self::Credits { account } => {
                let found = reads::all_grants_of(read, &account)?;
                let row = |grant: reads::GrantState| {
                    let mut row = serde_json::to_value(&grant.granted)?;
                    row["left"] = json!(grant.left);
                    row["expires"] = json!(
                        grant
                            .granted
                            .expires
                            .map(tallyman_aggregator_core::api::text::instant_text)
                    );
                    Ok::<_, serde_json::Error>(row)
                };
                Value::Array(found.into_iter().map(row).collect::<Result<_, _>>()?)
            }
            Self::TrialBalance { position } => {
                serde_json::to_value(trial_balance(read, position, books.position)?)?
            }
            Self::Journal { from, to } => {
                let mut rows = Vec::new();
                journal(read, (from, to.map_or(u64::MAX, |to| to)), |posting| {
                    rows.push(json!(posting));
                    Ok(match rows.len() {
                        ROWS_MAX.. => std::ops::ControlFlow::Break(()),
                        _ => std::ops::ControlFlow::Continue(()),
                    })
                })?;
                Value::Array(rows)
            }
            Self::Statement { account } => {
                let all = (WallMs(0), WallMs(u64::MAX));
                serde_json::to_value(reads::statement(read, &account, all)?)?
            }
            Self::Ages => serde_json::to_value(reads::ages(read, today)?)?,
            Self::Check => {
                let faults = rebuild::faults(read)?;
                let row = |fault: rebuild::Fault| {
                    let key = fault.key.escape_ascii().to_string();
                    json!({"table": fault.table.name(), "key": key, "reason": fault.reason})
                };
                Value::Array(faults.into_iter().map(row).collect())
            }
        })
    }
}

/// A row with the columns of a list beside its standing.
fn flat(row: &reads::Row) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(row)?;
    value["status"] = json!(row.standing.status);
    value["due"] = json!(row.standing.due);
    value["total"] = json!(row.standing.total.number());
    value["left"] = json!(row.standing.left.number());
    Ok(value)
}

fn status_of(text: &str) -> anyhow::Result<Status> {
    let found = Status::ALL.into_iter().find(|status| status.name() == text);
    found.with_context(|| format!("`{text}`: open, paid, overdue, void or disputed is wanted"))
}

/// The day in UTC.
fn today(books: Books<'_>) -> anyhow::Result<Day> {
    Ok(BillingZone::utc().day_of(books.now.hour())?)
}
