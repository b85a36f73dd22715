//! The monthly run killed again and again in its middle, however it was ordered: in the end every account has one invoice,
//! numbers have no gap, the ledger is balanced, and each amount is that of a run that nobody disturbed (I12).
//!
//! `KILLS=15` kills more often, `KILL_SEED=n` chooses other moments.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tallyman_tests::e2e::month::tenant;
use tallyman_tests::e2e::office::Office;
use tallyman_tests::e2e::process::pass;
use tallyman_tests::sim::rng::Rng;

const KILLS: u64 = 5;
const SEED: u64 = 1;
/// Accounts for each kill: some pieces of a run.
const ACCOUNTS_PER_KILL: u64 = 600;
/// A list has not many more rows.
const ACCOUNTS_MAX: usize = 9_600;
/// Hours with usage.
const HOURS: u32 = 30;
/// Microseconds from what is seen of a run to the kill at most.
const MOMENT_US: u64 = 20_000;
/// A run that shows no invoice by then never will.
const SHOWN: Duration = Duration::from_secs(60);

/// Who runs, and who sees how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The program, asked over its API.
    Api,
    /// The program, ordered by the command line.
    Ordered,
    /// The command line itself: no program runs.
    Alone,
}

const WAYS: [Way; 3] = [Way::Api, Way::Ordered, Way::Alone];

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

fn order_run(office: &Office) -> Result<Child> {
    let mut command = office.command();
    command.args(["bill", "run", "--period", &office.month]);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?)
}

/// Reads the progress of the terminal until it tells of a new invoice, or to its end.
fn see_on_terminal(ordered: &mut Child) -> Result<()> {
    let (mut text, mut piece) = (String::new(), [0; 256]);
    let said = ordered.stderr.as_mut().context("it has one")?;
    loop {
        let read = said.read(&mut piece)?;
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
        let issued = |line: &str| line.contains(" issued") && !line.contains(", 0 issued");
        if read == 0 || text.split('\r').any(issued) {
            return Ok(());
        }
    }
}

/// Asks the API how far the run is until it tells of a new invoice, or of the end.
fn see_by_api(office: &Office, place: &str) -> Result<()> {
    let end = Instant::now() + SHOWN;
    while Instant::now() < end {
        let run = office.ask(place)?;
        if run["issued"].as_u64().is_some_and(|it| it > 0) || run["status"] != "running" {
            return Ok(());
        }
    }
    anyhow::bail!("nothing was issued in {SHOWN:?}")
}

/// Begins a run and kills whoever carries it out once it has issued something, and a moment later.
fn kill_in_its_middle(office: &mut Office, way: Way, moment_us: u64) -> Result<()> {
    if way == Way::Alone {
        let mut alone = order_run(office)?;
        see_on_terminal(&mut alone)?;
        pass(Duration::from_micros(moment_us));
        alone.kill()?;
        alone.wait()?;
        return Ok(());
    }
    office.start()?;
    if way == Way::Api {
        let place = office.begin_run()?;
        see_by_api(office, &place)?;
        pass(Duration::from_micros(moment_us));
        return office.kill();
    }
    let mut ordered = order_run(office)?;
    see_on_terminal(&mut ordered)?;
    pass(Duration::from_micros(moment_us));
    office.kill()?;
    ordered.wait()?;
    Ok(())
}

/// Numbers of all invoices with account and total; each account and each number once.
fn invoices(rows: &Value) -> Result<BTreeMap<String, (String, String)>> {
    let mut found = BTreeMap::new();
    for row in rows.as_array().context("rows")? {
        let text = |key: &str| -> Result<String> {
            let value = row[key].as_str();
            Ok(value.with_context(|| format!("{key} in {row}"))?.to_owned())
        };
        ensure!(row["kind"] == "invoice" && row["status"] != "void", "{row}");
        let other = found.insert(text("account")?, (text("number")?, text("total")?));
        ensure!(
            other.is_none(),
            "two invoices of one account: {other:?} and {row}"
        );
    }
    Ok(found)
}

/// One invoice each, gapless numbers, and a ledger that is what the log says.
fn is_whole(office: &Office, accounts: usize) -> Result<BTreeMap<String, (String, String)>> {
    let found = invoices(&office.json(&["invoice", "list"])?)?;
    let all: Vec<String> = (0..accounts).map(tenant).collect();
    ensure!(found.keys().eq(&all), "{} of {accounts} accounts", found.len());
    let mut numbers: Vec<&str> = found.values().map(|(number, _)| number.as_str()).collect();
    numbers.sort_unstable();
    let gapless = (1..=accounts).map(|it| format!("INV-{it:06}"));
    ensure!(gapless.eq(numbers), "a number is missing or stands twice");
    let checked = office.order(&["ledger", "check"])?;
    ensure!(checked.contains("the ledger is what the log says"), "{checked}");
    Ok(found)
}

fn trial_balance(found: &Value) -> Result<&Value> {
    let totals = found["totals"].as_array().context("totals")?;
    ensure!(
        totals.len() == 1 && totals[0]["debit"] == totals[0]["credit"],
        "the ledger is not balanced: {totals:?}"
    );
    Ok(&found["lines"])
}

#[test]
fn a_run_that_is_killed_again_and_again_bills_everybody_once() -> Result<()> {
    let (kills, seed) = (number("KILLS", KILLS)?, number("KILL_SEED", SEED)?);
    eprintln!("KILLS={kills} KILL_SEED={seed}");
    let accounts = usize::try_from(ACCOUNTS_PER_KILL * (kills + 1))?.min(ACCOUNTS_MAX);
    let mut office = Office::fill(accounts, HOURS)?;
    let undisturbed = office.copy("undisturbed")?;
    let whole = office.json_on(&undisturbed, &["bill", "run", "--period", &office.month])?;
    ensure!(whole["issued"].as_array().map(Vec::len) == Some(accounts));

    let (mut rng, mut before, mut in_the_middle) = (Rng::new(seed), 0, 0);
    for round in 0..kills {
        let way = WAYS[usize::try_from(round)? % WAYS.len()];
        let moment_us = rng.below(MOMENT_US);
        kill_in_its_middle(&mut office, way, moment_us).with_context(|| format!("{way:?}"))?;
        let found = invoices(&office.json(&["invoice", "list"])?)?;
        eprintln!("killed {way:?}, {moment_us} us later: {} invoices", found.len());
        ensure!(
            found.len() >= before,
            "invoices went away: {before}, then {}",
            found.len()
        );
        in_the_middle += u64::from(found.len() > before && found.len() < accounts);
        before = found.len();
    }
    ensure!(in_the_middle > 0, "no kill met a run in its middle");
    eprintln!("{in_the_middle} of {kills} kills met a run in its middle");

    let last = office.json(&["bill", "run", "--period", &office.month])?;
    let count = |key: &str| last[key].as_array().map(Vec::len);
    ensure!(
        count("existing") == Some(before) && count("issued") == Some(accounts - before),
        "{last}"
    );
    let found = is_whole(&office, accounts)?;
    let expected = invoices(&office.json_on(&undisturbed, &["invoice", "list"])?)?;
    ensure!(
        found == expected,
        "amounts or numbers differ from those of an undisturbed run"
    );
    let ours = office.json(&["ledger", "trial-balance"])?;
    let theirs = office.json_on(&undisturbed, &["ledger", "trial-balance"])?;
    ensure!(
        trial_balance(&ours)? == trial_balance(&theirs)?,
        "{ours}\n{theirs}"
    );

    // Once more, by the program: nothing is left to do.
    office.start()?;
    let again = office.json(&["bill", "run", "--period", &office.month])?;
    ensure!(
        again["existing"].as_array().map(Vec::len) == Some(accounts),
        "{again}"
    );
    let runs = office.ask("/api/v1/admin/invoice-runs")?;
    ensure!(
        runs[0]["existing"] == accounts && runs[0]["issued"] == 0,
        "{runs}"
    );
    office.stop()?;
    is_whole(&office, accounts).map(drop)
}
