//! Payments, credits and disputes in the simulation: what an office enters by hand, enters again whenever nobody heard the
//! answer, and enters once more, all of it, when the run is over. Chance is a stream of its own, and half the runs are left
//! without.

use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::command::Outcome;
use tallyman_aggregator_core::accounts::ledger::LedgerAccount;
use tallyman_aggregator_core::accounts::ledger::books::{TrialBalance, trial_balance};
use tallyman_aggregator_core::accounts::standing::Receivable;
use tallyman_aggregator_core::aggregator::{Answer, Asker, Event};
use tallyman_aggregator_core::rating::BillingZone;
use tallyman_aggregator_core::registry::money::{Allocation, Granted};
use tallyman_common::money::{Currency, Money};
use tallyman_common::time::{HOUR_MS, Hour, MINUTE_MS, WallMs};

use super::documents::living;
use super::payers::PAYERS;
use super::rng::Rng;
use super::world::{What, World};

/// What makes the stream of a seed another one.
const STREAM: u64 = 0x6361_7368_0000_0001;
/// Commits within which something is entered, though some fail.
const ENTRIES_MAX: u64 = 20;
/// Where money comes from.
const BANK: &str = "bank";

/// What was entered.
pub(super) struct Cash {
    rng: Rng,
    /// Whether anything is.
    pub(super) is_on: bool,
    asked: Vec<Asked>,
}

struct Asked {
    command: MoneyCommand,
    /// An answer said that the store, as it is now, has it.
    is_booked: bool,
}

impl Cash {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ STREAM);
        let is_on = rng.chance(50);
        Self {
            rng,
            is_on,
            asked: Vec::new(),
        }
    }

    /// The store comes back older: what was booked may be gone.
    pub(super) fn forget(&mut self) {
        for asked in &mut self.asked {
            asked.is_booked = false;
        }
    }
}

impl World {
    /// Somebody at the office enters something, and when the next one does.
    pub(super) fn cash(&mut self) {
        if let Err(broken) = self.cash_next() {
            self.fault.get_or_insert(broken);
        }
        let wait = self.cash.rng.between(MINUTE_MS, 2 * HOUR_MS);
        self.plan(wait, What::Cash);
    }

    fn cash_next(&mut self) -> Result<(), String> {
        if self.hub.process.is_none() {
            return Ok(());
        }
        let known = self.cash.asked.len() as u64;
        if known > 0 && self.cash.rng.chance(30) {
            let at = self.cash.rng.below(known) as usize;
            return self.enter_asked(at).map(drop);
        }
        if self.cash.rng.chance(10) {
            return self.expire_credits();
        }
        let Some(command) = self.new_entry(known)? else {
            return Ok(());
        };
        self.cash.asked.push(Asked {
            command,
            is_booked: false,
        });
        self.enter_asked(self.cash.asked.len() - 1).map(drop)
    }

    fn new_entry(&mut self, number: u64) -> Result<Option<MoneyCommand>, String> {
        if self.cash.rng.chance(20) {
            return Ok(Some(self.grant(number)));
        }
        let known = living(&self.hub.store)?;
        if known.is_empty() {
            return Ok(None);
        }
        let of = &known[self.cash.rng.below(known.len() as u64) as usize];
        Ok(if self.cash.rng.chance(60) {
            Some(self.payment(number, of)?)
        } else {
            self.dispute(number, of)
        })
    }

    fn grant(&mut self, number: u64) -> MoneyCommand {
        let payer = &PAYERS[self.cash.rng.below(PAYERS.len() as u64) as usize];
        let ends = self.cash.rng.chance(50);
        let life = self.cash.rng.between(HOUR_MS, 20 * HOUR_MS);
        MoneyCommand::GrantCredit(Granted {
            key: format!("credit {number}"),
            account: payer.account.to_owned(),
            title: "Sorry".to_owned(),
            amount: usd(self.cash.rng.between(1, 300)),
            priority: 1,
            expires: ends.then_some(WallMs(self.now_ms + life)),
            items: Vec::new(),
        })
    }

    /// Of a part, all or more of it.
    fn payment(&mut self, number: u64, of: &Receivable) -> Result<MoneyCommand, String> {
        let total = u64::try_from(of.document.total.minor_units()).map_err(|e| e.to_string())?;
        let amount = usd(self.cash.rng.between(1, total + total / 2 + 2));
        let hour = Hour(u32::try_from(self.now_ms / HOUR_MS).expect("an hour"));
        let on = BillingZone::utc().day_of(hour).map_err(|e| e.to_string())?;
        Ok(MoneyCommand::Pay {
            trace: format!("payment {number}"),
            reference: format!("wire {number}"),
            account: of.document.account.clone(),
            source: BANK.to_owned(),
            on: on.to_string(),
            amount,
            allocations: vec![Allocation {
                number: of.document.number.clone(),
                amount,
            }],
            rest_to_balance: true,
        })
    }

    /// Opens one, or ends the one that is open.
    fn dispute(&mut self, number: u64, of: &Receivable) -> Option<MoneyCommand> {
        let (trace, of_number) = (format!("dispute {number}"), of.document.number.clone());
        let open = of.disputes.last().filter(|it| it.resolved.is_none());
        if let Some(open) = open {
            let cents = u64::try_from(open.amount.minor_units()).expect("above zero");
            let outcome = match self.cash.rng.chance(50) {
                true => Outcome::Rejected,
                false => Outcome::Credited(usd(self.cash.rng.between(1, cents + 1))),
            };
            return Some(MoneyCommand::ResolveDispute {
                trace,
                number: of_number,
                outcome,
                reason: "we looked at it".to_owned(),
            });
        }
        let left = of.left().ok()?.minor_units();
        let left = u64::try_from(left).ok().filter(|it| *it > 0)?;
        Some(MoneyCommand::OpenDispute {
            trace,
            number: of_number,
            amount: usd(self.cash.rng.between(1, left + 1)),
            reason: "too much".to_owned(),
        })
    }

    /// The clock takes back what is left of credits that ended; done twice, it finds nothing.
    fn expire_credits(&mut self) -> Result<(), String> {
        let command = MoneyCommand::ExpireCredits {
            upto: self.wall(),
            rests: None,
        };
        let filled = self.read(|books| command.filled(books))?;
        self.ask(filled.map_err(|e| e.to_string())?);
        self.hit("credits expired");
        Ok(())
    }

    fn ask(&mut self, command: MoneyCommand) -> Option<Vec<Answer>> {
        let asker = Asker {
            actor: "office".to_owned(),
            source: "sim".to_owned(),
        };
        let times = 1 + u64::from(self.cash.rng.chance(20));
        let event = |_| Event::Money(u64::MAX, asker.clone(), Box::new(command.clone()));
        self.enter((0..times).map(event).collect())
    }

    /// Enters it, for the first time or again; whether there was an answer.
    fn enter_asked(&mut self, at: usize) -> Result<bool, String> {
        let command = self.cash.asked[at].command.clone();
        let what = format!("{command:?}");
        let Some(answers) = self.ask(command) else {
            return Ok(false);
        };
        for answer in answers {
            let is_booked = self.cash.asked[at].is_booked;
            match answer {
                Answer::Booked(booked) if booked.repeated => self.hit("money entered twice"),
                Answer::Booked(_) if is_booked => return Err(format!("I12: booked again: {what}")),
                Answer::Booked(_) => {
                    let hit = self.cash.asked[at].hit();
                    self.hit(hit);
                }
                // It was paid or made void meanwhile, a restore took it, or numbers are fenced.
                Answer::Rejected(_) if !is_booked => {
                    self.hit("money refused");
                    continue;
                }
                other => return Err(format!("I12: {what} was booked, and is answered {other:?}")),
            }
            self.cash.asked[at].is_booked = true;
        }
        Ok(true)
    }

    /// All of it is entered once more: what is there is not booked again, and the bank has what was booked.
    pub(super) fn settle_cash(&mut self) -> Result<(), String> {
        for at in 0..self.cash.asked.len() {
            let mut is_heard = false;
            for _ in 0..ENTRIES_MAX {
                is_heard = self.enter_asked(at)?;
                if is_heard {
                    break;
                }
            }
            if !is_heard {
                return Err("I12: nothing can be entered".to_owned());
            }
        }
        let process = self.hub.process.as_ref().ok_or("the aggregator is down")?;
        let trial = trial_balance(&self.hub.store, None, process.position()).map_err(|e| e.to_string())?;
        let booked = self.cash.asked.iter().filter(|it| it.is_booked);
        let paid = booked.filter_map(|it| match &it.command {
            MoneyCommand::Pay { amount, .. } => Some(amount.minor_units()),
            _ => None,
        });
        let (paid, bank) = (
            paid.sum::<i128>(),
            net(&trial, &LedgerAccount::Cash(BANK.to_owned()))?,
        );
        if paid != bank {
            return Err(format!("I12: {paid} cents were paid, the bank has {bank}"));
        }
        never_below(&trial)?;
        let over = living(&self.hub.store)?
            .into_iter()
            .find(|it| !it.left().is_ok_and(|it| it.minor_units() >= 0));
        over.map_or(Ok(()), |it| {
            Err(format!(
                "I12: {} is paid more than once: {it:?}",
                it.document.number
            ))
        })
    }
}

impl Asked {
    fn hit(&self) -> &'static str {
        match &self.command {
            MoneyCommand::Pay { .. } => "payment booked",
            MoneyCommand::GrantCredit(_) => "credit granted",
            MoneyCommand::OpenDispute { .. } => "dispute opened",
            _ => "dispute resolved",
        }
    }
}

/// Nobody's prepaid money or credit is below nothing.
fn never_below(trial: &TrialBalance) -> Result<(), String> {
    let below = trial.lines.iter().find(|it| {
        let is_owed = matches!(it.account, LedgerAccount::Prepaid(_) | LedgerAccount::Grant(..));
        is_owed && it.debit.is_some()
    });
    below.map_or(Ok(()), |it| {
        Err(format!("I12: more was used than there was: {it:?}"))
    })
}

/// Debits less credits, in cents.
fn net(trial: &TrialBalance, account: &LedgerAccount) -> Result<i128, String> {
    let Some(line) = trial.lines.iter().find(|it| it.account == *account) else {
        return Ok(0);
    };
    let cents = |text: &str| {
        let money = Money::parse(&format!("{text} USD")).map_err(|e| e.to_string())?;
        Ok::<_, String>(money.minor_units())
    };
    match (&line.debit, &line.credit) {
        (Some(debit), _) => cents(debit),
        (None, Some(credit)) => Ok(-cents(credit)?),
        (None, None) => Ok(0),
    }
}

fn usd(cents: u64) -> Money {
    Money::from_minor_units(i128::from(cents), Currency::parse("USD").expect("a currency"))
}
