//! A ledger in memory that obeys lines of words, so that rules can be read as tables: `pay t1 acme 60.00 INV-000001=60.00`.
//!
//! All amounts are in CNY. A line that begins with `&` shares its commit with the next one. Behind every commit the books
//! are checked: they balance, and they are the fold of the log (I12).

use tallyman_common::ids::StoreId;
use tallyman_common::money::{Currency, Money};
use tallyman_common::time::WallMs;

use super::drafts::draft;
use crate::accounts::command::{Fate, NoteLine, NoteTax, Outcome};
use crate::accounts::document::{Adjusted, Kind};
use crate::accounts::ledger::LedgerAccount;
use crate::accounts::ledger::books::{balance, trial_balance};
use crate::accounts::standing::{Status, standing};
use crate::accounts::{Booked, MoneyCommand, expiry, rebuild};
use crate::aggregator::{Aggregator, Answer, Asker, Event, initialise};
use crate::bills::Books;
use crate::memory::MemoryStore;
use crate::rating::{BillingZone, Day};
use crate::registry::Command;
use crate::registry::money::{Allocation, Granted};

pub struct World {
    pub store: MemoryStore,
    pub aggregator: Aggregator,
    pub now: WallMs,
    waiting: Vec<String>,
}

pub fn money(number: &str) -> Money {
    Money::parse(&format!("{number} CNY")).unwrap()
}

pub fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn instant(text: &str) -> WallMs {
    BillingZone::utc().day_hours(day(text)).unwrap().start.start()
}

impl World {
    pub fn new() -> Self {
        let mut store = MemoryStore::default();
        initialise(&mut store, StoreId([9; 16])).unwrap();
        let now = instant("2026-12-04");
        let aggregator = Aggregator::open(&store, now).unwrap();
        let waiting = Vec::new();
        Self {
            store,
            aggregator,
            now,
            waiting,
        }
    }

    pub fn step(&mut self, command: MoneyCommand) {
        let asker = Asker {
            actor: "test".to_owned(),
            source: "test".to_owned(),
        };
        let event = Event::Money(1, asker, Box::new(command));
        self.aggregator.step(self.now, event, &self.store).unwrap();
    }

    pub fn commit(&mut self) -> Vec<Answer> {
        let done = self.aggregator.commit(self.now, false, &mut self.store).unwrap();
        self.check();
        done.into_inner().into_iter().map(|(_, answer)| answer).collect()
    }

    pub fn ask(&mut self, command: MoneyCommand) -> Answer {
        self.step(command);
        self.commit().remove(0)
    }

    fn decide(&mut self, command: Command) {
        let event = Event::Command {
            ticket: 1,
            actor: "test".to_owned(),
            source: "test".to_owned(),
            command,
        };
        self.aggregator.step(self.now, event, &self.store).unwrap();
        let answers = self.commit();
        assert!(matches!(answers[..], [Answer::Applied(_)]), "{answers:?}");
    }

    /// The books balance, and are what the log says, twice: by the tables and by the journal (I12).
    fn check(&self) {
        let newest = self.aggregator.position();
        let now = trial_balance(&self.store, None, newest).unwrap();
        for total in &now.totals {
            assert_eq!(total.difference, money("0.00").number(), "{now:?}");
        }
        let replayed = trial_balance(&self.store, Some(newest), newest + 1).unwrap();
        assert_eq!(now.lines, replayed.lines);
        assert_eq!(rebuild::faults(&self.store).unwrap(), []);
    }

    /// Obeys each line and compares what it answers with what stands behind the arrow.
    pub fn obey(&mut self, table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (order, expected) = line.split_once("->").unwrap_or((line, ""));
            let (order, expected) = (order.trim(), expected.trim());
            if let Some(order) = order.strip_prefix('&') {
                let words: Vec<&str> = order.split_whitespace().collect();
                self.step(command(&words, self.now));
                self.waiting.push(expected.to_owned());
                continue;
            }
            let found = self.line(order);
            let matches = match expected.split_once("...") {
                Some((from, part)) => found.starts_with(from.trim()) && found.contains(part.trim()),
                None => found == expected,
            };
            assert!(
                matches,
                "\n  line:     {line}\n  found:    {found}\n  expected: {expected}"
            );
        }
    }

    /// Obeys all lines in one commit.
    pub fn obey_all(&mut self, lines: &[String]) -> Vec<Answer> {
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            self.step(command(&words, self.now));
        }
        self.commit()
    }

    fn line(&mut self, order: &str) -> String {
        let words: Vec<&str> = order.split_whitespace().collect();
        match words[..] {
            ["now", date] => {
                self.now = instant(date);
                String::new()
            }
            ["restore"] => {
                let (made, position) = (self.now, 1);
                self.decide(Command::NoteRestore { made, position });
                String::new()
            }
            ["settle"] => {
                let reason = "entered again".to_owned();
                self.decide(Command::SettleRestore { reason });
                String::new()
            }
            ["expire"] => {
                let command = self.expire();
                words_of(&self.ask(command))
            }
            ["standing", number, date] => self.standing(number, date),
            ["balance", account] => self.balance(account),
            _ => {
                self.step(command(&words, self.now));
                let mut answers: Vec<String> = self.commit().iter().map(words_of).collect();
                let last = answers.pop().unwrap();
                assert_eq!(answers, std::mem::take(&mut self.waiting), "before: {order}");
                last
            }
        }
    }

    /// Takes back what the shell finds.
    pub fn expire(&self) -> MoneyCommand {
        let books = Books {
            store: &self.store,
            registry: self.aggregator.registry(),
            marks: self.aggregator.marks(),
            position: self.aggregator.position(),
            now: self.now,
        };
        let upto = self.now;
        let rests = Some(expiry::ended(books, upto).unwrap());
        MoneyCommand::ExpireCredits { upto, rests }
    }

    fn standing(&self, number: &str, date: &str) -> String {
        let Some(it) = standing(&self.store, number, day(date)).unwrap() else {
            return "none".to_owned();
        };
        let mut text = format!(
            "{} total {} paid {} credited {} left {}",
            it.status.name(),
            it.total.number(),
            it.paid.number(),
            it.credited.number(),
            it.left.number()
        );
        if it.disputed.minor_units() != 0 {
            text.push_str(&format!(" disputed {}", it.disputed.number()));
        }
        if it.status == Status::Overdue {
            text.push_str(&format!(" late {}", it.overdue_days));
        }
        text
    }

    pub fn balance(&self, account: &str) -> String {
        let account = LedgerAccount::try_from(account.to_owned()).unwrap();
        let currency = Currency::parse("CNY").unwrap();
        let net = balance(&self.store, &account, currency)
            .unwrap()
            .of_debits()
            .unwrap();
        match net.minor_units() {
            0 => "zero".to_owned(),
            1.. => format!("debit {}", net.number()),
            _ => format!("credit {}", net.number().trim_start_matches('-')),
        }
    }
}

/// What a line asks for.
fn command(words: &[&str], now: WallMs) -> MoneyCommand {
    let today = |now: WallMs| BillingZone::utc().day_of(now.hour()).unwrap().to_string();
    let own = |text: &str| text.to_owned();
    match *words {
        ["issue", account, month, subtotal, ref rest @ ..] => MoneyCommand::IssueInvoices {
            month: own(month),
            documents: vec![draft(account, month, subtotal, rest)],
        },
        ["pay", trace, account, amount, ref rest @ ..] => MoneyCommand::Pay {
            trace: own(trace),
            reference: format!("bank slip {trace}"),
            account: own(account),
            source: own("bank"),
            on: rest
                .iter()
                .find_map(|it| it.strip_prefix("on="))
                .map_or_else(|| today(now), own),
            amount: money(amount),
            allocations: allocations(rest),
            rest_to_balance: rest.contains(&"rest"),
        },
        ["apply", trace, account, ref rest @ ..] => MoneyCommand::ApplyBalance {
            trace: own(trace),
            account: own(account),
            allocations: allocations(rest),
        },
        ["refund", trace, account, amount] => MoneyCommand::Refund {
            trace: own(trace),
            account: own(account),
            reference: own("transfer"),
            source: own("bank"),
            amount: money(amount),
            reason: own("asked for"),
        },
        ["grant", account, key, amount, priority, ref until @ ..] => MoneyCommand::GrantCredit(Granted {
            key: own(key),
            account: own(account),
            title: own(key),
            amount: money(amount),
            priority: priority.parse().unwrap(),
            expires: until.first().map(|end| instant(end)),
            items: Vec::new(),
        }),
        _ => correction(words),
    }
}

/// What a line asks for of what was issued.
fn correction(words: &[&str]) -> MoneyCommand {
    let own = |text: &str| text.to_owned();
    match *words {
        ["credit", trace, number, "line", line, amount] => {
            of_line(note(Kind::CreditNote, trace, number, amount, None), line)
        }
        ["credit", trace, number, amount] => note(Kind::CreditNote, trace, number, amount, None),
        ["less", trace, number, amount, ref rest @ ..] => {
            late_note(Kind::CreditNote, (trace, number, amount), rest)
        }
        ["more", trace, number, amount, ref rest @ ..] => {
            late_note(Kind::DebitNote, (trace, number, amount), rest)
        }
        ["debit", trace, number, amount, due] => note(Kind::DebitNote, trace, number, amount, Some(due)),
        ["void", trace, number] => MoneyCommand::Void {
            trace: own(trace),
            number: own(number),
            reason: own("sent to the wrong company"),
        },
        ["dispute", trace, number, amount] => MoneyCommand::OpenDispute {
            trace: own(trace),
            number: own(number),
            amount: money(amount),
            reason: own("never ordered"),
        },
        ["answer", trace, number, ref text @ ..] => MoneyCommand::AnswerDispute {
            trace: own(trace),
            number: own(number),
            text: text.join(" "),
        },
        ["resolve", trace, number, ref outcome @ ..] => MoneyCommand::ResolveDispute {
            trace: own(trace),
            number: own(number),
            outcome: match outcome {
                ["credited", amount] => Outcome::Credited(money(amount)),
                _ => Outcome::Rejected,
            },
            reason: own("looked at"),
        },
        ["fapiao", trace, number, ref text @ ..] => MoneyCommand::SetExternalTaxNumber {
            trace: own(trace),
            number: own(number),
            text: text.join(" "),
        },
        _ => panic!("not understood: {words:?}"),
    }
}

fn note(kind: Kind, trace: &str, number: &str, amount: &str, due: Option<&str>) -> MoneyCommand {
    MoneyCommand::IssueNote {
        trace: trace.to_owned(),
        kind,
        corrects: number.to_owned(),
        lines: vec![NoteLine {
            title: "correction".to_owned(),
            amount: money(amount),
            line: None,
        }],
        reason: "agreed".to_owned(),
        due: due.map(str::to_owned),
        adjusted: None,
        taxes: Vec::new(),
    }
}

/// A note about a line of what it corrects.
fn of_line(mut command: MoneyCommand, line: &str) -> MoneyCommand {
    if let MoneyCommand::IssueNote { lines, .. } = &mut command {
        lines[0].line = Some(line.parse().unwrap());
        lines[0].title.clear();
    }
    command
}

/// A note over late usage: `2026-11 5 9 6=0.57 13=1.30`, by percent.
fn late_note(kind: Kind, (trace, number, amount): (&str, &str, &str), words: &[&str]) -> MoneyCommand {
    let [month, since, upto, ref rates @ ..] = *words else {
        panic!("{words:?}");
    };
    let pairs = rates.iter().filter_map(|word| word.split_once('='));
    let said = pairs.map(|(percent, tax)| NoteTax {
        title: "VAT".to_owned(),
        percent: percent.to_owned(),
        basis: money(amount),
        amount: money(tax),
    });
    let late = Adjusted {
        month: month.to_owned(),
        since: since.parse().unwrap(),
        upto: upto.parse().unwrap(),
    };
    let due = (kind == Kind::DebitNote).then_some("2027-02-01");
    let mut command = note(kind, trace, number, amount, due);
    if let MoneyCommand::IssueNote { adjusted, taxes, .. } = &mut command {
        (*adjusted, *taxes) = (Some(late), said.collect());
    }
    command
}

fn allocations(words: &[&str]) -> Vec<Allocation> {
    let named = words.iter().filter(|word| !word.starts_with("on="));
    let pairs = named.filter_map(|word| word.split_once('='));
    let pair = |(number, amount): (&str, &str)| Allocation {
        number: number.to_owned(),
        amount: money(amount),
    };
    pairs.map(pair).collect()
}

/// What was answered, in words.
pub fn words_of(answer: &Answer) -> String {
    let booked = match answer {
        Answer::Booked(booked) => booked,
        Answer::Rejected(rejected) => return format!("refused: {rejected}"),
        other => panic!("{other:?}"),
    };
    let Booked {
        position,
        repeated,
        documents,
        to_balance,
    } = booked;
    let mut words = Vec::new();
    if *repeated {
        words.push("again".to_owned());
    }
    for document in documents {
        words.push(match &document.fate {
            Fate::Issued { number } => number.clone(),
            Fate::Existed { number } => format!("existed {number}"),
            Fate::Refused { reason } => format!("refused: {reason}"),
        });
    }
    if let Some(amount) = to_balance {
        words.push(format!("to balance {}", amount.number()));
    }
    match (words.is_empty(), position) {
        (true, Some(_)) => "booked".to_owned(),
        (true, None) => "nothing".to_owned(),
        _ => words.join(", "),
    }
}
