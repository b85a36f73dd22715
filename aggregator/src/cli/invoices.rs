//! `invoice`: lists and shows what was issued, and orders payments, notes, voids and disputes.
//! Without `--trace` an order is named by its content: the same one again is done once. Knows no store.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::command::{NoteLine, Outcome};
use tallyman_aggregator_core::accounts::document::Kind;
use tallyman_aggregator_core::registry::money::Allocation;
use tallyman_common::money::Money;

use super::desk::Desk;
use super::ledger::{allocation, amount, book, note_line, traced};
use super::question::Question;
use super::{paper, print};
use crate::config::Config;

/// Invoices and notes.
#[derive(Debug, Subcommand)]
pub enum InvoiceOrder {
    /// Show invoices and notes, and how they stand today.
    List {
        /// Of this paying account; of all without.
        #[arg(long)]
        account: Option<String>,
        /// Of the account that pays for this tenant, and for no other.
        #[arg(long, conflicts_with = "account")]
        tenant: Option<String>,
        /// First month, such as 2026-11.
        #[arg(long, value_name = "MONTH")]
        from: Option<String>,
        /// The month behind the last one.
        #[arg(long, value_name = "MONTH")]
        to: Option<String>,
        /// open, paid, overdue, void or disputed.
        #[arg(long)]
        status: Option<String>,
    },
    /// Show one with everything that became of it.
    Show {
        /// Number or identity.
        name: String,
    },
    /// Write one as a file: PDF, HTML, CSV or JSON, as its name ends.
    #[command(visible_alias = "pdf")]
    Print {
        /// Number or identity.
        name: String,
        /// The file, such as INV-000001.pdf.
        #[arg(long)]
        to: PathBuf,
    },
    /// Record a payment: of one, of several, or ahead.
    Pay {
        /// Paying account.
        account: String,
        /// All that came, such as "120.00 CNY".
        #[arg(long, value_parser = amount)]
        amount: Money,
        /// What the bank or payer calls it.
        #[arg(long = "ref", value_name = "TEXT")]
        reference: String,
        /// Day on which it came, such as 2026-12-10.
        #[arg(long)]
        on: String,
        /// From where.
        #[arg(long, default_value = "bank")]
        source: String,
        /// What of it is for which invoice, such as "INV-000001=100.00 CNY"; may be repeated.
        #[arg(long = "for", value_name = "NUMBER=AMOUNT", value_parser = allocation)]
        allocations: Vec<Allocation>,
        /// What is for none, or for one that is paid, is paid ahead; else it is refused.
        #[arg(long)]
        rest_to_balance: bool,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// Pay invoices from what was paid ahead.
    Apply {
        /// Paying account.
        account: String,
        /// Which, and how much, such as "INV-000001=100.00 CNY"; may be repeated.
        #[arg(long = "for", value_name = "NUMBER=AMOUNT", value_parser = allocation, required = true)]
        allocations: Vec<Allocation>,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// Record that money that was paid ahead went back.
    Refund {
        /// Paying account.
        account: String,
        /// How much, such as "20.00 CNY".
        #[arg(long, value_parser = amount)]
        amount: Money,
        /// What the bank calls it.
        #[arg(long = "ref", value_name = "TEXT")]
        reference: String,
        /// To where.
        #[arg(long, default_value = "bank")]
        source: String,
        /// Why; it stands in the log for good.
        #[arg(long)]
        reason: String,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// Issue a note over usage that came late for an invoice's month, instead of waiting for the next invoice.
    Adjust {
        /// Number of the invoice.
        number: String,
        /// Why; it is printed.
        #[arg(long)]
        reason: String,
        /// Show the note, but do not issue it.
        #[arg(long)]
        dry_run: bool,
    },
    /// Issue a credit or debit note.
    Note {
        /// Number of what it corrects.
        number: String,
        /// Which.
        #[arg(long)]
        kind: NoteKind,
        /// Words, or the number of the line that it is about, and an amount with tax: "Traffic=12.00 CNY", "2=12.00 CNY".
        #[arg(long = "line", value_name = "TITLE|NUMBER=AMOUNT", value_parser = note_line, required = true)]
        lines: Vec<NoteLine>,
        /// Why; it is printed.
        #[arg(long)]
        reason: String,
        /// Of a debit note: day until which it is to be paid.
        #[arg(long)]
        due: Option<String>,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// Take an invoice back as a whole; it keeps its number, and what was paid is paid ahead.
    /// Its month is billed again with `bill run --again`.
    Void {
        /// Its number.
        number: String,
        /// Why; it is printed on the credit note.
        #[arg(long)]
        reason: String,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// Note the number of the tax office's own invoice.
    TaxNumber {
        /// Number of the invoice.
        number: String,
        /// The tax office's number.
        text: String,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// Disputes.
    #[command(subcommand)]
    Dispute(DisputeOrder),
}

/// A kind of note.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum NoteKind {
    /// Takes back.
    Credit,
    /// Adds.
    Debit,
}

/// What the payer contests.
#[derive(Debug, Subcommand)]
pub enum DisputeOrder {
    /// The payer contests an amount; until that is over it does not become overdue.
    Open {
        /// Number of the invoice.
        number: String,
        /// How much of it, such as "20.00 CNY".
        #[arg(long, value_parser = amount)]
        amount: Money,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// Answer.
    Answer {
        /// Number of the invoice.
        number: String,
        /// What.
        text: String,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
    /// End it: by a credit note, or without.
    Resolve {
        /// Number of the invoice.
        number: String,
        /// What is credited, such as "20.00 CNY"; without it the dispute is rejected.
        #[arg(long, value_parser = amount)]
        credit: Option<Money>,
        /// Why; it is printed on the credit note.
        #[arg(long)]
        reason: String,
        /// Idempotency key.
        #[arg(long)]
        trace: Option<String>,
    },
}

impl InvoiceOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        let command = match self {
            Self::List {
                account,
                tenant,
                from,
                to,
                status,
            } => {
                let question = Question::Documents {
                    account,
                    tenant,
                    from,
                    to,
                    status,
                };
                let rows = desk.question(question)?;
                return print(as_json, &rows, &paper::listed(&rows));
            }
            Self::Show { name } => {
                let found = desk.question(Question::Document { name })?;
                return print(as_json, &found, &paper::shown(&found)?);
            }
            Self::Print { name, to } => {
                let found = desk.question(Question::Document { name })?;
                return paper::write(&found, &to, as_json);
            }
            Self::Adjust {
                number,
                reason,
                dry_run,
            } => {
                let of = number.clone();
                let found = desk.question(Question::Adjustment { number: of, reason })?;
                let Some(command) = serde_json::from_value::<Option<MoneyCommand>>(found.clone())? else {
                    let text = format!("nothing came late for {number} that costs anything\n");
                    return print(as_json, &found, &text);
                };
                if dry_run {
                    return print(as_json, &found, &format!("{found:#}\n"));
                }
                command
            }
            other => other.command()?,
        };
        book(&mut desk, command, as_json)
    }

    fn command(self) -> anyhow::Result<MoneyCommand> {
        Ok(match self {
            Self::Void {
                number,
                reason,
                trace,
            } => traced(trace, |trace| MoneyCommand::Void {
                trace,
                number: number.clone(),
                reason: reason.clone(),
            }),
            Self::TaxNumber { number, text, trace } => {
                traced(trace, |trace| MoneyCommand::SetExternalTaxNumber {
                    trace,
                    number: number.clone(),
                    text: text.clone(),
                })
            }
            Self::Note {
                number,
                kind,
                lines,
                reason,
                due,
                trace,
            } => traced(trace, |trace| MoneyCommand::IssueNote {
                trace,
                kind: match kind {
                    NoteKind::Credit => Kind::CreditNote,
                    NoteKind::Debit => Kind::DebitNote,
                },
                corrects: number.clone(),
                lines: lines.clone(),
                reason: reason.clone(),
                due: due.clone(),
                adjusted: None,
                taxes: Vec::new(),
            }),
            Self::Dispute(order) => order.command(),
            moving => moving.movement()?,
        })
    }

    /// Those that move money.
    fn movement(self) -> anyhow::Result<MoneyCommand> {
        Ok(match self {
            Self::Pay {
                account,
                amount,
                reference,
                on,
                source,
                allocations,
                rest_to_balance,
                trace,
            } => traced(trace, |trace| MoneyCommand::Pay {
                trace,
                reference: reference.clone(),
                account: account.clone(),
                source: source.clone(),
                on: on.clone(),
                amount,
                allocations: allocations.clone(),
                rest_to_balance,
            }),
            Self::Apply {
                account,
                allocations,
                trace,
            } => traced(trace, |trace| MoneyCommand::ApplyBalance {
                trace,
                account: account.clone(),
                allocations: allocations.clone(),
            }),
            Self::Refund {
                account,
                amount,
                reference,
                source,
                reason,
                trace,
            } => traced(trace, |trace| MoneyCommand::Refund {
                trace,
                account: account.clone(),
                reference: reference.clone(),
                source: source.clone(),
                amount,
                reason: reason.clone(),
            }),
            other => anyhow::bail!("{other:?} moves no money"),
        })
    }
}

impl DisputeOrder {
    fn command(self) -> MoneyCommand {
        match self {
            Self::Open {
                number,
                amount,
                reason,
                trace,
            } => traced(trace, |trace| MoneyCommand::OpenDispute {
                trace,
                number: number.clone(),
                amount,
                reason: reason.clone(),
            }),
            Self::Answer { number, text, trace } => traced(trace, |trace| MoneyCommand::AnswerDispute {
                trace,
                number: number.clone(),
                text: text.clone(),
            }),
            Self::Resolve {
                number,
                credit,
                reason,
                trace,
            } => traced(trace, |trace| MoneyCommand::ResolveDispute {
                trace,
                number: number.clone(),
                outcome: credit.map_or(Outcome::Rejected, Outcome::Credited),
                reason: reason.clone(),
            }),
        }
    }
}
