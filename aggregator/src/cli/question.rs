//! What the command line asks of the ledger, and its answers from one snapshot. It changes nothing.

use std::ops::ControlFlow;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, to_value};
use tallyman_aggregator_core::accounts::draft::{Purpose, draft};
use tallyman_aggregator_core::accounts::ledger::books::{journal, trial_balance};
use tallyman_aggregator_core::accounts::month::{own_account, payer};
use tallyman_aggregator_core::accounts::reads::{self, Filter, Today};
use tallyman_aggregator_core::accounts::{Standing, Status, adjust, rebuild, scope};
use tallyman_aggregator_core::api::agreed::agreed;
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ports::Read;
use tallyman_aggregator_core::rating::{Month, PriceBook};
use tallyman_common::time::{Hour, WallMs};

use super::lists::tenant;
use super::why::{Why, faults};

/// Rows of one answer at most.
const ROWS_MAX: usize = 10_000;

/// What is asked of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Invoices and notes.
    Documents {
        /// Of one account.
        account: Option<String>,
        /// Of the account that pays for this tenant alone.
        #[serde(default)]
        tenant: Option<String>,
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
    /// What an account's month comes to so far, as a document.
    Draft {
        /// Whose.
        account: String,
        /// Which month.
        month: String,
    },
    /// The note over what came late for an invoice's month, if anything did.
    Adjustment {
        /// Number of the invoice.
        number: String,
        /// What is printed as the reason.
        reason: String,
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
    /// A tenant's terms in an hour; before the first ones, the first ones. Nothing if nobody registered it.
    Tenant {
        /// Its key.
        key: String,
        /// The hour; now without.
        at: Option<Hour>,
    },
    /// Credits that can't be used while a price book is in force, in words.
    CreditsWithout {
        /// Text of the price book.
        book: String,
    },
    /// What was agreed with an account, or with all.
    Terms {
        /// With whom.
        account: Option<String>,
    },
    /// Why an amount, what if, which prices, the closing sheet.
    Why(Why),
}

impl Question {
    /// The answer from one snapshot.
    pub fn answer(self, books: Books<'_>) -> anyhow::Result<Value> {
        let today = Today::There(books);
        let read = books.store;
        Ok(match self {
            Self::Documents {
                account,
                tenant,
                from,
                to,
                status,
            } => {
                let filter = filter(books, (account, tenant), (from, to), status)?;
                documents(read, &filter, today)?
            }
            Self::Document { name } => {
                let found = reads::document(read, &name)?;
                let (document, record) =
                    found.ok_or_else(|| anyhow!("there is no invoice or note `{name}`"))?;
                let standing = Standing::of(&record, today.of(&record.document.account)?)?;
                json!({"document": document, "standing": standing, "disputes": record.disputes})
            }
            Self::Draft { account, month } => {
                let made = draft(books, &account, Month::parse(&month)?, Purpose::Preview)?;
                json!({"document": made.document})
            }
            Self::Adjustment { number, reason } => to_value(adjust::note(books, &number, &reason)?)?,
            Self::Credits { account } => {
                known(books, &account)?;
                let found = reads::all_grants_of(read, &account)?;
                Value::Array(found.iter().map(credit).collect::<Result<_, _>>()?)
            }
            Self::TrialBalance { position } => to_value(trial_balance(read, position, books.position)?)?,
            Self::Journal { from, to } => postings(read, (from, to.map_or(u64::MAX, |to| to)))?,
            Self::Statement { account } => {
                known(books, &account)?;
                let all = (WallMs(0), WallMs(u64::MAX));
                to_value(reads::statement(read, &account, all)?)?
            }
            Self::Ages => to_value(reads::ages(read, today)?)?,
            Self::Sellers => to_value(books.registry.payers.sellers.values().collect::<Vec<_>>())?,
            Self::Accounts => to_value(books.registry.payers.accounts.values().collect::<Vec<_>>())?,
            Self::Tenant { key, at } => {
                let at = at.unwrap_or_else(|| books.now.hour());
                let terms = books.registry.tenants.at_or_first(&key, at);
                terms.map_or(Value::Null, tenant)
            }
            Self::CreditsWithout { book } => {
                let book = PriceBook::parse_logged(&book).map_err(faults)?;
                to_value(scope::credits_without(books, &book)?)?
            }
            Self::Terms { account } => {
                account.iter().try_for_each(|it| known(books, it))?;
                to_value(agreed(books, account.as_deref())?)?
            }
            Self::Why(why) => why.answer(books)?,
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

/// Refuses an account that nobody registered and no tenant ever named: its empty answers would look like clean ones.
fn known(books: Books<'_>, account: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        payer(books.registry, account).is_some(),
        "there is no account `{account}`: `tallyman-aggregator account list` shows them"
    );
    Ok(())
}

/// What a list of documents holds, checked.
fn filter(
    books: Books<'_>,
    (account, tenant): (Option<String>, Option<String>),
    (from_month, to_month): (Option<String>, Option<String>),
    status: Option<String>,
) -> anyhow::Result<Filter> {
    account.iter().try_for_each(|it| known(books, it))?;
    let of_tenant = tenant.map(|it| account_of(books, &it)).transpose()?;
    if let (Some(from), Some(to)) = (&from_month, &to_month) {
        anyhow::ensure!(
            from < to,
            "--to {to}: it is the month behind the last one, and not behind {from}"
        );
    }
    Ok(Filter {
        account: account.or(of_tenant),
        from_month,
        to_month,
        status: status.as_deref().map(status_of).transpose()?,
    })
}

/// The account of a tenant's invoices, by the rule of the API.
fn account_of(books: Books<'_>, tenant: &str) -> anyhow::Result<String> {
    let terms = books.registry.tenants.latest(tenant);
    let terms = terms.with_context(|| format!("there is no tenant `{tenant}`"))?;
    let own = own_account(books.registry, terms);
    let own = own.with_context(|| {
        let account = &terms.account;
        format!("account `{account}` pays or paid for other tenants too: ask for its invoices with --account {account}")
    })?;
    Ok(own.to_owned())
}

fn documents(read: &dyn Read, filter: &Filter, today: Today<'_>) -> anyhow::Result<Value> {
    let page = reads::documents(read, filter, today, (None, ROWS_MAX))?;
    anyhow::ensure!(
        page.next.is_none(),
        "more than {ROWS_MAX}: narrow it by account or month"
    );
    let rows = page.rows.iter().map(flat).collect::<Result<_, _>>()?;
    Ok(Value::Array(rows))
}

fn postings(read: &dyn Read, range: (u64, u64)) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    journal(read, range, |posting| {
        rows.push(json!(posting));
        Ok(if rows.len() > ROWS_MAX {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    anyhow::ensure!(
        rows.len() <= ROWS_MAX,
        "more than {ROWS_MAX}: narrow it with --from and --to"
    );
    Ok(Value::Array(rows))
}

fn credit(grant: &reads::GrantState) -> Result<Value, serde_json::Error> {
    let mut row = to_value(&grant.granted)?;
    row["left"] = json!(grant.left);
    if grant.granted.items.is_empty() {
        row["items"] = json!(["all"]);
    }
    row["expires"] = json!(grant.granted.expires.map(instant_text));
    Ok(row)
}

/// A row with the columns of a list beside its standing.
fn flat(row: &reads::Row) -> Result<Value, serde_json::Error> {
    let mut value = to_value(row)?;
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
