//! The monthly run of a running aggregator: by itself when months have become final, and when somebody asks for it.
//!
//! The accounts go through in pieces, drafted on all processors over one snapshot while those before are issued. Killed
//! anywhere and begun again it goes on, for what is issued is found; nobody gets two invoices for a month, however many
//! runs there are (I12).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::expiry::ended;
use tallyman_aggregator_core::accounts::run::{self, Due, NotBilled, Void};
use tallyman_aggregator_core::rating::Month;
use tallyman_common::time::Hour;
use tokio::sync::mpsc;

use crate::handle::{Handle, Unavailable};
use crate::limits::{BILL_LOGGED_MAX, BILL_PERIOD, BILL_TOLD_MAX};
use crate::monthly::{self, Asked, MonthlyError, Piece};
pub use crate::progress::{Progress, Runs, UnderWay};

/// Who runs by itself, as it stands in the log.
const ACTOR: &str = "clock";
const SOURCE: &str = "aggregator";

/// What whoever follows a run is told, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It began.
    Begun {
        /// Its number; nothing if it issues nothing.
        run: Option<u64>,
        /// Accounts that it is for.
        accounts: usize,
    },
    /// These are durable.
    Done(Piece),
    /// It ended.
    Ended {
        /// Why early.
        fault: Option<String>,
    },
}

/// Begins a run and returns its number; it goes on by itself.
pub fn begin(handle: &Handle, asked: Asked, due: Due) -> Result<u64, UnderWay> {
    let run = handle.runs().begin_alone(&asked, &due, handle.now())?;
    let handle = handle.clone();
    tokio::spawn(async move { carry_out(&handle, &asked, run, (due, Vec::new()), |_| {}).await });
    Ok(run)
}

/// Begins a run and tells of each piece; without anybody who asks it issues nothing, and no run is noted. Who does not listen
/// is told no more, but the run goes on.
pub fn follow(handle: &Handle, asked: Option<Asked>, due: Due) -> Result<mpsc::Receiver<Told>, UnderWay> {
    let run = match &asked {
        Some(asked) => Some(handle.runs().begin_alone(asked, &due, handle.now())?),
        None => None,
    };
    let (told, listener) = mpsc::channel(BILL_TOLD_MAX);
    let accounts = due.accounts.len();
    // There is room: it is the first.
    let _ = told.try_send(Told::Begun { run, accounts });
    let (handle, mut told) = (handle.clone(), Some(told));
    tokio::spawn(async move {
        let mut tell = |what: Told| {
            // What is full is not waited for: others wait for the run.
            if told.as_ref().is_some_and(|it| it.try_send(what).is_err()) {
                told = None;
            }
        };
        let done = |piece: &Piece| tell(Told::Done(piece.clone()));
        let fault = match asked.zip(run) {
            Some((asked, run)) => carry_out(&handle, &asked, run, (due, Vec::new()), done).await.1,
            None => {
                let mut done = done;
                let drafted = monthly::bill(&handle, due, None, |piece| done(&piece)).await;
                drafted.err().map(|error| error.to_string())
            }
        };
        tell(Told::Ended { fault });
    });
    Ok(listener)
}

/// Bills what is due, again and again, until the writer is gone.
pub async fn run(handle: Handle) {
    let mut ticks = tokio::time::interval(BILL_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        ticks.tick().await;
        match watch.bill(&handle).await {
            Ok(_) => {}
            Err(MonthlyError::Unavailable(Unavailable::Stopping)) => return,
            Err(error) => {
                tracing::error!(%error, "no invoices are issued: what the message names is to be mended")
            }
        }
    }
}

/// What the run by itself has seen.
#[derive(Debug, Default)]
pub struct Watch {
    /// Newest sealed hour when it looked last: months become final with a seal.
    sealed: Option<Hour>,
    /// Had nothing to bill; a final month stays so.
    nothing: BTreeSet<(Month, String)>,
    /// Void and not billed again when it looked last, and told.
    void: BTreeSet<Void>,
    /// Had usage and could not be billed, and told.
    passed_over: BTreeSet<(Month, NotBilled)>,
}

impl Watch {
    /// Bills what became due since it looked last; returns how many invoices were issued.
    pub async fn bill(&mut self, handle: &Handle) -> Result<usize, MonthlyError> {
        let registry = handle.registry();
        let sealed = registry.seals.newest();
        if sealed == self.sealed || registry.open_restore().is_some() {
            return Ok(0);
        }
        let mut issued = 0;
        let asked = Asked {
            actor: ACTOR.to_owned(),
            source: SOURCE.to_owned(),
        };
        let open = handle.read(run::open).await??;
        self.note(open.void.into_iter().collect());
        for (mut due, passed_over) in with_passed_over(open.due, open.passed_over) {
            let month = due.month;
            due.accounts
                .retain(|account| !self.nothing.contains(&(month, account.clone())));
            let passed_over = self.untold(month, passed_over);
            if due.accounts.is_empty() && passed_over.is_empty() {
                continue;
            }
            let accounts = due.accounts.len() + passed_over.len();
            let run = handle.runs().begin(ACTOR, (month, accounts), handle.now());
            let all = (due, passed_over);
            let (nothing, _) = carry_out(handle, &asked, run, all, |_| {}).await;
            self.nothing
                .extend(nothing.into_iter().map(|account| (month, account)));
            issued += handle.runs().get(run).map_or(0, |it| it.issued);
        }
        expire(handle).await?;
        self.sealed = sealed;
        Ok(issued)
    }

    /// Those of whom no run told yet: they are told once, not with every seal.
    fn untold(&mut self, month: Month, passed_over: Vec<NotBilled>) -> Vec<NotBilled> {
        let told = &mut self.passed_over;
        let is_new = |it: &NotBilled| told.insert((month, it.clone()));
        passed_over.into_iter().filter(is_new).collect()
    }

    /// Says once of each void month that it is billed again only when somebody asks.
    fn note(&mut self, void: BTreeSet<Void>) {
        for it in void.difference(&self.void) {
            let what = run::void_text(&it.number, &it.account, &it.month.to_string());
            tracing::warn!(month = %it.month, account = it.account, "VOID: {what}");
        }
        if void != self.void {
            // Late usage that waited for such a month can be on a later one now.
            self.nothing.clear();
            self.void = void;
        }
    }
}

/// What is due with who is passed over, by month; some months have only one of both.
fn with_passed_over(
    due: Vec<Due>,
    mut passed_over: BTreeMap<Month, Vec<NotBilled>>,
) -> Vec<(Due, Vec<NotBilled>)> {
    let of = |due: Due| {
        let others = passed_over.remove(&due.month);
        (due, others.into_iter().flatten().collect())
    };
    let mut all: Vec<(Due, Vec<NotBilled>)> = due.into_iter().map(of).collect();
    all.extend(passed_over.into_iter().map(|(month, others)| {
        let (accounts, again) = (Vec::new(), false);
        (
            Due {
                month,
                accounts,
                again,
            },
            others,
        )
    }));
    all.sort_by_key(|(due, _)| due.month);
    all
}

/// Takes back what is left of credits whose end has come, behind the invoices that could use them.
async fn expire(handle: &Handle) -> Result<(), MonthlyError> {
    let upto = handle.now();
    let rests = handle.read(move |books| ended(books, upto)).await??;
    if rests.is_empty() {
        return Ok(());
    }
    let credits = rests.len();
    let rests = Some(rests);
    let command = MoneyCommand::ExpireCredits { upto, rests };
    handle.money(ACTOR.to_owned(), SOURCE.to_owned(), command).await?;
    tracing::info!(
        credits,
        "what was left of credits whose end has come was taken back"
    );
    Ok(())
}

/// Carries a run out, and tells of those that it passes over; the accounts without anything to bill, and why it ended early
/// if it did.
async fn carry_out(
    handle: &Handle,
    asked: &Asked,
    run: u64,
    (due, passed_over): (Due, Vec<NotBilled>),
    mut told: impl FnMut(&Piece) + Send,
) -> (Vec<String>, Option<String>) {
    let turn = handle.runs().turn.clone();
    let turn = turn.lock().await;
    let (begun, month, mut nothing) = (Instant::now(), due.month, Vec::new());
    let mut tell = |piece: Piece| {
        handle.runs().change(run, |it| it.add(&piece));
        told(&piece);
        nothing.extend(piece.nothing);
    };
    if !passed_over.is_empty() {
        tell(Piece {
            not_billed: passed_over,
            ..Piece::default()
        });
    }
    let ended = match due.accounts.is_empty() {
        true => Ok(()),
        false => monthly::bill(handle, due, Some(asked), tell).await,
    };
    let fault = ended.err().map(|error| {
        tracing::error!(%error, %month, "the monthly run ended early; it can be asked for again");
        error.to_string()
    });
    let ended = handle.now();
    handle.runs().change(run, |it| {
        it.ended = Some(ended);
        it.fault.clone_from(&fault);
    });
    drop(turn);
    if let Some(it) = handle.runs().get(run) {
        log_end(&it, begun);
    }
    (nothing, fault)
}

fn log_end(it: &Progress, begun: Instant) {
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        month = %it.month, run = it.run, issued = it.issued, existing = it.existing, nothing = it.nothing,
        not_billed = it.not_billed, millis, "the monthly run ended"
    );
    for one in it.reasons.iter().take(BILL_LOGGED_MAX) {
        tracing::warn!(month = %it.month, run = it.run, account = one.account, reason = one.reason, "an account has no invoice");
    }
    if it.reasons.len() > BILL_LOGGED_MAX {
        tracing::warn!(
            month = %it.month, run = it.run, accounts = it.not_billed + it.void,
            "more accounts have no invoice; /api/v1/admin/invoice-runs and `bill run --period` tell each with its reason"
        );
    }
}

#[cfg(test)]
mod tests {
    use tallyman_aggregator_core::accounts::reads::{Filter, documents};
    use tallyman_aggregator_core::limits::SEAL_GRACE_MS;
    use tallyman_aggregator_core::rating::{BillingZone, Day};
    use tallyman_aggregator_core::registry::{Account, Command, Seller, TenantTerms};
    use tallyman_common::time::{MINUTE_MS, WallMs};

    use super::*;
    use crate::closer::close;
    use crate::io::clock;
    use crate::testing::{Node, Running, answer, check, upto};

    const PRICES: &str = "format = 1\nname = \"Plain\"\ncurrency = \"USD\"\n[[item]]\nkey = \"cpu\"\ntitle = \"CPU\"\n\
        meters = [\"cpu.time\"]\nunit = \"CPU-second\"\nmodel = \"per_unit\"\nprice = \"1000\"\n";

    /// Two accounts of which one has usage, and what they are billed with.
    async fn commerce(on: &Running) {
        let seller = Seller {
            seller: "cloud".into(),
            name: "Cloud".into(),
            address: vec!["1 Main Street".into()],
            tax_id: None,
            contact: vec![],
            bank: vec![],
            prefix: "INV".into(),
        };
        on.command(Command::SetSeller(Box::new(seller))).await.unwrap();
        for key in ["acme", "idle"] {
            let account = Account {
                account: key.into(),
                organisation: None,
                name: key.into(),
                seller: "cloud".into(),
                currency: "USD".into(),
                zone: "UTC".into(),
                language: "en".into(),
                address: vec![],
                tax_id: None,
                contact: vec![],
                due_days: 30,
            };
            on.command(Command::SetAccount(Box::new(account))).await.unwrap();
        }
        let text = PRICES.to_owned();
        let from = Hour(0);
        on.command(Command::AddPriceBook { text, from }).await.unwrap();
        let terms = TenantTerms {
            tenant: "acme".into(),
            name: "Acme".into(),
            claims: vec!["acme".into()],
            account: "acme".into(),
            zone: "UTC".into(),
            currency: "USD".into(),
            language: "en".into(),
            from,
        };
        on.command(Command::SetTenant(terms)).await.unwrap();
    }

    /// The newest month of which the grace is over, and its last hour.
    fn final_month() -> (Month, Hour) {
        let zone = BillingZone::utc();
        let settled = WallMs(clock::now().0 - SEAL_GRACE_MS - 2 * 60 * MINUTE_MS);
        let month = zone.month_of(settled.hour()).unwrap().previous().unwrap();
        (month, Hour(zone.month_hours(month).unwrap().end.0 - 1))
    }

    async fn invoices(on: &Running) -> Vec<String> {
        let found = on.handle.read(|books| {
            let today = Day::parse("2026-01-01").unwrap();
            documents(books.store, &Filter::default(), today, (None, 10)).unwrap()
        });
        let rows = found.await.unwrap().rows;
        rows.into_iter()
            .map(|row| format!("{} {}", row.account, row.number))
            .collect()
    }

    /// Who follows a run is told of each piece and of the end; one that issues nothing is no run.
    async fn is_followed(on: &Running, asked: Asked, due: Due) {
        let runs = on.handle.runs().list().len();
        for asked in [Some(asked), None] {
            let number = asked.is_some().then_some(runs as u64 + 1);
            let mut listener = follow(&on.handle, asked, due.clone()).unwrap();
            let mut all = Piece::default();
            let begun = listener.recv().await.unwrap();
            assert_eq!(
                begun,
                Told::Begun {
                    run: number,
                    accounts: 3
                }
            );
            loop {
                match listener.recv().await.unwrap() {
                    Told::Done(piece) => all.add(piece),
                    Told::Ended { fault } => break assert_eq!(fault, None),
                    Told::Begun { .. } => panic!("it began already"),
                }
            }
            assert_eq!((all.existing.len(), all.nothing.len(), all.accounts()), (1, 1, 3));
            assert_eq!(on.handle.runs().list().len(), runs + 1);
        }
    }

    #[test]
    fn a_month_is_billed_by_itself_once_it_is_final_and_never_twice() {
        check(async {
            let folder = tempfile::tempdir().unwrap();
            let on = Running::start(folder.path());
            commerce(&on).await;
            let mut node = Node::new(1);
            node.enrol(&on, "t1").await;
            let connection = node.open(&on).await;
            node.welcome(&connection).await.unwrap();
            let (month, last) = final_month();
            for (seq, end) in [(1, WallMs(last.start().0 + 2 * MINUTE_MS)), (2, clock::now())] {
                let taken = answer(&connection, node.batch_until(seq, end)).await;
                assert_eq!(upto(&taken), Some(seq));
            }
            on.handle.checkpoint(folder.path().join("copy")).await.unwrap();
            let mut watch = Watch::default();
            assert_eq!(watch.bill(&on.handle).await.unwrap(), 0, "nothing is sealed");
            assert!(close(&on.handle, SEAL_GRACE_MS).await.unwrap() > 0);
            assert_eq!(watch.bill(&on.handle).await.unwrap(), 1);
            let runs = on.handle.runs().list();
            let [run] = runs.as_slice() else {
                panic!("{runs:?}");
            };
            assert_eq!(
                (
                    run.month,
                    run.accounts,
                    run.done,
                    run.issued,
                    run.nothing,
                    run.not_billed
                ),
                (month, 2, 2, 1, 1, 0)
            );
            assert!(run.ended.is_some() && run.fault.is_none());
            assert_eq!(invoices(&on).await, ["acme INV-000001"]);
            // Asked for again, by anybody, in another process: there is one.
            assert_eq!(Watch::default().bill(&on.handle).await.unwrap(), 0);
            let asked = Asked {
                actor: "test".into(),
                source: "test".into(),
            };
            let all = vec!["acme".to_owned(), "idle".to_owned(), "nobody".to_owned()];
            let due = Due {
                month,
                accounts: all,
                again: false,
            };
            let run = on.handle.runs().begin_alone(&asked, &due, clock::now()).unwrap();
            let refused = begin(&on.handle, asked.clone(), due.clone());
            assert_eq!(refused, Err(UnderWay(run)));
            carry_out(&on.handle, &asked, run, (due.clone(), Vec::new()), |_| {}).await;
            let run = on.handle.runs().get(run).unwrap();
            assert_eq!((run.existing, run.nothing, run.issued), (1, 1, 0));
            assert_eq!(run.reasons[0].account, "nobody");
            is_followed(&on, asked, due).await;
            on.stop().await;
            let on = Running::start(folder.path());
            assert_eq!(Watch::default().bill(&on.handle).await.unwrap(), 0);
            assert_eq!(invoices(&on).await, ["acme INV-000001"]);
            on.stop().await;
        });
    }

    /// Protects: usage whose payer nobody registered is told by the run by itself, once.
    #[test]
    fn usage_whose_payer_nobody_registered_is_told_once() {
        check(async {
            let folder = tempfile::tempdir().unwrap();
            let on = Running::start(folder.path());
            commerce(&on).await;
            let orphan = TenantTerms {
                tenant: "orphan".into(),
                name: "Orphan".into(),
                claims: vec!["acme".into()],
                account: "orphan".into(),
                zone: "UTC".into(),
                currency: "USD".into(),
                language: "en".into(),
                from: Hour(0),
            };
            let nobody = TenantTerms {
                claims: vec![],
                tenant: "acme".into(),
                account: "acme".into(),
                ..orphan.clone()
            };
            on.command(Command::SetTenant(nobody)).await.unwrap();
            on.command(Command::SetTenant(orphan)).await.unwrap();
            let mut node = Node::new(1);
            node.enrol(&on, "t1").await;
            let connection = node.open(&on).await;
            node.welcome(&connection).await.unwrap();
            let (month, last) = final_month();
            for (seq, end) in [(1, WallMs(last.start().0 + 2 * MINUTE_MS)), (2, clock::now())] {
                assert_eq!(
                    upto(&answer(&connection, node.batch_until(seq, end)).await),
                    Some(seq)
                );
            }
            on.handle.checkpoint(folder.path().join("copy")).await.unwrap();
            assert!(close(&on.handle, SEAL_GRACE_MS).await.unwrap() > 0);
            let mut watch = Watch::default();
            assert_eq!(watch.bill(&on.handle).await.unwrap(), 0);
            let runs = on.handle.runs().list();
            let [run] = &runs[..] else {
                panic!("{runs:?}");
            };
            let counts = (run.accounts, run.done, run.nothing, run.not_billed);
            assert_eq!((run.month, counts), (month, (3, 3, 2, 1)));
            let told = &run.reasons[0];
            assert!(
                told.account == "orphan" && told.reason.contains("account set orphan"),
                "{told:?}"
            );
            // The next seal tells it no more.
            watch.sealed = None;
            assert_eq!(watch.bill(&on.handle).await.unwrap(), 0);
            assert_eq!(on.handle.runs().list().len(), 1);
            on.stop().await;
        });
    }
}
