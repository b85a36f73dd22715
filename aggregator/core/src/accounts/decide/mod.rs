//! What is asked, checked against the tables, becomes a decision with every amount. Refusals change nothing.
//!
//! Invariants: I9, I12. It reads the tables as they are with everything that was decided before in the same commit.

/// Granting credits.
mod grant;
/// Giving invoices their numbers.
mod issue;
/// Notes and disputes.
mod note;
/// Notes about lines.
mod of_line;
/// Payments and refunds.
mod pay;
/// Taking documents back as a whole.
mod void;

use tallyman_common::ids::Digest;
use tallyman_common::money::{Money, MoneyError};
use tallyman_common::time::WallMs;

use super::command::{Booked, MoneyCommand};
use super::fold::{documents_key, fold};
use super::ledger::is_name;
use super::paper::bounded;
use super::standing::{Receivable, receivable};
use super::tables::{AccountsError, Found, Overlay, Pending, Traced, get, keys};
use crate::ports::{Read, StoreError, Table};
use crate::registry::Rejected;
use crate::registry::money::{MoneyAct, MoneyDecision};

/// What a decision needs besides the tables.
#[derive(Debug, Clone)]
pub struct Context {
    /// Position that the decision will have.
    pub position: u64,
    /// Now.
    pub at: WallMs,
    /// A restore that nobody has settled yet: no number may be given (docs/adr/0010-ledger-and-numbers.md).
    pub fenced: bool,
    /// The newest restore.
    pub restored: Option<WallMs>,
}

/// What becomes of a command.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing is to be done: it was done before, or there is nothing to do.
    Done(Booked),
    /// It has no effect.
    Rejected(Rejected),
    /// It has this effect.
    New(Box<Drafted>),
}

/// A decision and what it changes.
#[derive(Debug)]
pub struct Drafted {
    /// For the log.
    pub decision: MoneyDecision,
    /// For the same commit.
    pub changed: Pending,
    /// For the asker.
    pub booked: Booked,
}

/// Why a command came to nothing.
#[derive(Debug)]
pub enum Refusal {
    /// It is refused.
    Rejected(Rejected),
    /// The tables can't be read.
    Failed(AccountsError),
}

impl Refusal {
    pub(super) fn invalid(text: String) -> Self {
        Self::Rejected(Rejected::Invalid(text))
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl From<MoneyError> for Refusal {
    fn from(error: MoneyError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<AccountsError> for Refusal {
    fn from(error: AccountsError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// An act, documents as they are stored, and what became of each that was asked for.
#[derive(Debug)]
struct Made {
    act: Option<MoneyAct>,
    documents: Vec<(String, Vec<u8>)>,
    fates: Vec<super::command::DocumentFate>,
}

impl Made {
    fn act(act: MoneyAct) -> Self {
        Self {
            act: Some(act),
            documents: Vec::new(),
            fates: Vec::new(),
        }
    }
}

/// Checks a command and makes a decision of it. An error when the tables can't be read or contradict the log.
pub fn decide(read: &dyn Read, context: &Context, command: &MoneyCommand) -> Result<Verdict, AccountsError> {
    match draft(read, context, command) {
        Ok(verdict) => Ok(verdict),
        Err(Refusal::Rejected(rejected)) => Ok(Verdict::Rejected(rejected)),
        Err(Refusal::Failed(error)) => Err(error),
    }
}

fn draft(read: &dyn Read, context: &Context, command: &MoneyCommand) -> Result<Verdict, Refusal> {
    let (trace, content) = (command.trace(), content_of(command));
    if let Some(trace) = &trace
        && let Some(booked) = seen(read, trace, content)?
    {
        return Ok(Verdict::Done(booked));
    }
    let Made {
        act,
        documents,
        fates,
    } = make(read, context, command)?;
    let Some(act) = act else {
        return Ok(Verdict::Done(Booked {
            position: None,
            repeated: false,
            documents: fates,
            to_balance: None,
        }));
    };
    let decision = MoneyDecision { trace, content, act };
    let mut tables = Overlay::new(read);
    for (id, bytes) in documents {
        tables.put_raw(Table::Documents, documents_key(&id, context.position)?, bytes);
    }
    let mut booked = fold(&mut tables, context.position, context.at, &decision)?;
    if !fates.is_empty() {
        booked.documents = fates;
    }
    Ok(Verdict::New(Box::new(Drafted {
        decision,
        changed: tables.into_changed(),
        booked,
    })))
}

fn make(read: &dyn Read, context: &Context, command: &MoneyCommand) -> Result<Made, Refusal> {
    match command {
        MoneyCommand::IssueInvoices { month, documents } => issue::issue(read, context, month, documents),
        MoneyCommand::Pay { .. } => pay::pay(read, context, command),
        MoneyCommand::ApplyBalance {
            account, allocations, ..
        } => pay::apply_balance(read, account, allocations),
        MoneyCommand::Refund { .. } => pay::refund(read, command),
        MoneyCommand::GrantCredit(granted) => grant::grant(context, granted),
        MoneyCommand::ExpireCredits { upto, rests } => {
            grant::expire(read, context, (*upto, rests.as_deref()))
        }
        MoneyCommand::IssueNote { .. } => note::issue_note(read, context, command),
        MoneyCommand::Void { number, reason, .. } => void::void(read, context, number, reason),
        MoneyCommand::OpenDispute {
            number,
            amount,
            reason,
            ..
        } => note::open_dispute(read, number, *amount, reason),
        MoneyCommand::AnswerDispute { number, text, .. } => note::answer_dispute(read, number, text),
        MoneyCommand::ResolveDispute { .. } => note::resolve_dispute(read, context, command),
        MoneyCommand::SetExternalTaxNumber { number, text, .. } => {
            words("the tax office's number", text)?;
            set_tax_number(read, number, text.trim())
        }
    }
}

/// The tax office's own invoice is for one document of a seller.
fn set_tax_number(read: &dyn Read, number: &str, text: &str) -> Result<Made, Refusal> {
    let seller = known(read, number)?.document.seller;
    let key = keys::tax_number(&seller, text);
    let other: Option<Found> = get(read, Table::MoneyIndex, &key)?;
    if let Some(Found { number: other, .. }) = other.filter(|it| it.number != number) {
        return Err(Rejected::NotNow(format!("{other} has the tax office's number {text} already")).into());
    }
    if text.contains('\0') {
        return Err(Refusal::invalid(
            "the tax office's number has no zero byte".to_owned(),
        ));
    }
    Ok(Made::act(MoneyAct::SetExternalTaxNumber {
        number: number.to_owned(),
        text: text.to_owned(),
    }))
}

/// The first answer to a trace. Another content under it is a conflict, which is loud (I12).
fn seen(read: &dyn Read, trace: &str, content: Digest) -> Result<Option<Booked>, Refusal> {
    if trace.is_empty() || trace.len() > 200 || trace.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            "a trace has 1 to 200 bytes and no control characters".to_owned(),
        ));
    }
    let Some(traced) = get::<Traced>(read, Table::MoneyIndex, &keys::trace(trace))? else {
        return Ok(None);
    };
    if traced.content != content {
        return Err(Rejected::NotNow(format!(
            "trace `{trace}` was used for something else: nothing is booked; use a new trace for a new movement (I12)"
        ))
        .into());
    }
    Ok(Some(Booked {
        repeated: true,
        ..traced.booked
    }))
}

/// What stands for the content of a command. Invoices have their own digests.
fn content_of(command: &MoneyCommand) -> Digest {
    if matches!(command, MoneyCommand::IssueInvoices { .. }) {
        return Digest::default();
    }
    let text = serde_json::to_vec(command).expect("commands are plain data");
    Digest::of(&[b"tallyman/money/1\0", &text])
}

/// A document that must be there.
fn known(read: &dyn Read, number: &str) -> Result<Receivable, Refusal> {
    let missing = || Rejected::Missing {
        what: "invoice or note",
        name: number.to_owned(),
    };
    Ok(receivable(read, number)?.ok_or_else(missing)?)
}

/// A document that can still be paid, corrected or disputed.
fn living(read: &dyn Read, number: &str) -> Result<Receivable, Refusal> {
    let found = known(read, number)?;
    if let Some((note, _)) = &found.voided {
        return Err(Rejected::NotNow(format!("{number} is void by credit note {note}")).into());
    }
    Ok(found)
}

/// Numbers are given only when no restore is open.
fn unfenced(context: &Context) -> Result<(), Refusal> {
    if context.fenced {
        let text = "no number is given until the restore is settled: the backup may not know numbers that were given \
                    after it (`tallyman-aggregator restore settle`)";
        return Err(Rejected::NotNow(text.to_owned()).into());
    }
    Ok(())
}

fn positive(what: &str, amount: Money) -> Result<(), Refusal> {
    if amount.minor_units() <= 0 {
        return Err(Refusal::invalid(format!(
            "{what} of {amount}: it must be above zero"
        )));
    }
    bounded(amount)
}

fn named(what: &str, name: &str) -> Result<(), Refusal> {
    if is_name(name) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "{what} `{name}`: 1 to 64 bytes without `/` and control characters are wanted"
    )))
}

/// Words that a person must give.
pub(super) fn words(what: &str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() || text.len() > 2_000 {
        return Err(Refusal::invalid(format!("{what}: 1 to 2,000 bytes are wanted")));
    }
    Ok(())
}

/// Whether an amount has the currency that is wanted.
fn in_currency(amount: Money, wanted: Money, what: &str) -> Result<(), Refusal> {
    if amount.currency() == wanted.currency() {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "{amount}: {what} is in {}",
        wanted.currency()
    )))
}
