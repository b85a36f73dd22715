//! Random movements of a few accounts. Whatever happens: the books balance and are the fold of the log (the world checks
//! that behind every commit), every document stands at total − paid − credited, what all documents leave to pay is what
//! the receivable accounts say, numbers are gapless, and what is refused changes nothing (I12).

use std::collections::BTreeMap;

use super::world::{World, day, money, words_of};
use crate::accounts::document::Kind;
use crate::accounts::ledger::books::prepaid;
use crate::accounts::reads::{Filter, document, documents, grants_of};
use crate::accounts::standing::Status;
use crate::aggregator::Answer;
use tallyman_common::money::{Currency, Money};

/// SplitMix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn amount(&mut self) -> String {
        // Small ones find room in large ones.
        let end = [20_000, 3_000][self.below(2) as usize];
        let cents = self.below(end);
        format!("{}.{:02}", cents / 100, cents % 100)
    }

    fn number(&mut self) -> String {
        let prefix = ["INV", "INV", "INV", "DN", "CN"][self.below(5) as usize];
        format!("{prefix}-{:06}", 1 + self.below(7))
    }

    /// An invoice with two rates of tax, and something untaxed.
    fn rated(&mut self, account: &str, month: &str) -> String {
        let parts = [self.below(5_000), self.below(5_000), self.below(3_000)];
        let text = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
        let subtotal = text(parts.iter().sum());
        let [six, thirteen, _] = parts.map(text);
        format!("issue {account} {month} {subtotal} rate 6 {six} rate 13 {thirteen}")
    }

    /// A line of [`World::obey`].
    fn line(&mut self, turn: u64) -> String {
        let account = ["acme", "beta", "gamma"][self.below(3) as usize];
        // Now and then the trace of an earlier turn.
        let trace = format!(
            "t{}",
            if self.below(10) == 0 {
                self.below(turn + 1)
            } else {
                turn
            }
        );
        let (amount, number) = (self.amount(), self.number());
        match self.below(18) {
            0 | 1 => {
                let month = format!("2026-{:02}", 1 + self.below(12));
                let sign = if self.below(8) == 0 { "-" } else { "" };
                let again = match self.below(6) {
                    0 => format!(" again INV-{:06}", 1 + self.below(7)),
                    _ => String::new(),
                };
                if self.below(3) == 0 {
                    return self.rated(account, &month);
                }
                let tax = self.below(500);
                let credit = match self.below(3) {
                    0 => format!(" credit k{} {}", self.below(3), self.amount()),
                    _ => String::new(),
                };
                format!(
                    "issue {account} {month} {sign}{amount} tax {}.{:02}{credit}{again}",
                    tax / 100,
                    tax % 100
                )
            }
            2 | 3 => format!("pay {trace} {account} {amount} {number}={amount}"),
            4 => format!("pay {trace} {account} {amount} {number}={amount} rest"),
            5 => format!("pay {trace} {account} {amount} rest"),
            6 => format!("apply {trace} {account} {number}={amount}"),
            7 => format!("refund {trace} {account} {amount}"),
            8 => format!(
                "grant {account} k{} {amount} {} 2027-01-01",
                self.below(3),
                self.below(9)
            ),
            9 if self.below(3) == 0 => format!("credit {trace} {number} line 1 {amount}"),
            9 => format!("credit {trace} {number} {amount}"),
            10 => format!("debit {trace} {number} {amount} 2027-02-01"),
            11 if self.below(3) == 0 => format!("void {trace} {number}"),
            11 => format!("dispute {trace} {number} {amount}"),
            12 | 13 => format!("apply {trace} {account} {number}={amount}"),
            14 => format!("dispute {trace} {number} {amount}"),
            _ => format!("resolve {trace} {number} credited {amount}"),
        }
    }
}

#[test]
fn whatever_happens_the_books_hold() {
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..24 {
        let (mut world, mut chance) = (World::new(), Chance(seed));
        for turn in 0..150 {
            let lines: Vec<String> = (0..=chance.below(3)).map(|_| chance.line(turn)).collect();
            let before = world.store.clone();
            let answers = world.obey_all(&lines);
            for (line, answer) in lines.iter().zip(&answers) {
                let kind = line.split(' ').next().unwrap();
                let kind = [
                    "issue", "pay", "apply", "refund", "grant", "credit", "debit", "void", "dispute",
                    "resolve",
                ]
                .into_iter()
                .find(|known| *known == kind);
                let done = matches!(answer, Answer::Booked(b) if b.position.is_some() && !b.repeated);
                *reached.entry(kind.unwrap()).or_default() += u64::from(done);
            }
            let refused = |answer: &Answer| {
                matches!(answer, Answer::Rejected(_))
                    || matches!(answer, Answer::Booked(b) if b.position.is_none() || b.repeated)
            };
            if answers.iter().all(refused) {
                assert_eq!(world.store, before, "seed {seed}: {lines:?} {answers:?}");
            }
        }
        *reached.entry("note by rates").or_default() += check_books(&mut world);
    }
    for (kind, count) in &reached {
        assert!(*count > 10, "{kind} was done only {count} times: {reached:?}");
    }
}

/// What must hold of the whole ledger; how many credit notes took back tax of several rates.
fn check_books(world: &mut World) -> u64 {
    let today = day("2027-03-01");
    let page = documents(&world.store, &Filter::default(), today, (None, usize::MAX)).unwrap();
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut left: BTreeMap<String, i128> = BTreeMap::new();
    let mut living = BTreeMap::new();
    for row in &page.rows {
        let it = &row.standing;
        if row.kind == Kind::Invoice && it.status != Status::Void {
            let other = living.insert((&row.account, &row.month), &row.number);
            assert_eq!(other, None, "two living invoices of a month: {row:?}");
        }
        let units = |money: Money| money.minor_units();
        assert_eq!(
            units(it.left),
            units(it.total) - units(it.paid) - units(it.credited)
        );
        assert!(units(it.left) >= 0, "{row:?}");
        let (prefix, ordinal) = row.number.rsplit_once('-').unwrap();
        numbers
            .entry(prefix.to_owned())
            .or_default()
            .push(ordinal.parse().unwrap());
        *left.entry(row.account.clone()).or_default() += units(it.left);
    }
    for (prefix, mut given) in numbers {
        given.sort_unstable();
        let wanted: Vec<u64> = (1..=given.len() as u64).collect();
        assert_eq!(given, wanted, "{prefix} has holes or doubles");
    }
    let cny = Currency::parse("CNY").unwrap();
    for (account, units) in left {
        let text = match units {
            0 => "zero".to_owned(),
            _ => format!("debit {}", Money::from_minor_units(units, cny).number()),
        };
        assert_eq!(world.balance(&format!("receivable/{account}")), text);
        assert!(prepaid(&world.store, &account, cny).unwrap().minor_units() >= 0);
        for grant in grants_of(&world.store, &account, world.now).unwrap() {
            let name = format!("grant/{account}/{}", grant.granted.key);
            assert_eq!(world.balance(&name), format!("credit {}", grant.left.number()));
        }
    }
    let corrected = page.rows.iter().filter(|it| it.kind != Kind::CreditNote);
    let by_rates = corrected.map(|row| check_notes(world, &row.number)).sum();
    world.obey("now 2027-01-01");
    let command = world.expire();
    let expired = world.ask(command);
    assert!(words_of(&expired) != "refused", "{expired:?}");
    by_rates
}

/// All credit notes of a document together take back no more than it has: as a whole, of each rate its basis and its tax, and
/// of a line that they name; of a void one, all of it. How many of them have several rates.
fn check_notes(world: &World, number: &str) -> u64 {
    let (original, record) = document(&world.store, number).unwrap().unwrap();
    let units = |text: &str| money(text).minor_units();
    let (mut total, mut of_line, mut by_rates) = (0, 0, 0);
    let mut rates: BTreeMap<(String, String), [i128; 2]> = BTreeMap::new();
    for tax in &original.taxes {
        let amount = units(&tax.amount);
        let basis = units(&tax.basis) + if tax.included { 0 } else { amount };
        rates.insert((tax.title.clone(), tax.percent.clone()), [basis, amount]);
    }
    for name in &record.notes {
        let (note, _) = document(&world.store, name).unwrap().unwrap();
        if note.kind != Kind::CreditNote {
            continue;
        }
        by_rates += u64::from(note.taxes.len() > 1);
        total += units(&note.total);
        for tax in &note.taxes {
            let basis = units(&tax.basis) + if tax.included { 0 } else { units(&tax.amount) };
            let left = rates.get_mut(&(tax.title.clone(), tax.percent.clone())).unwrap();
            (left[0], left[1]) = (left[0] + basis, left[1] + units(&tax.amount));
        }
        let lines = note.sections.iter().flat_map(|it| &it.lines);
        let named = lines.filter(|it| it.corrects_line == Some(1));
        of_line -= named.map(|it| units(&it.amount)).sum::<i128>();
    }
    let (all, is_void) = (units(&original.total), record.voided.is_some());
    assert!(all + total >= 0 || all < 0, "{number}: {total} of {all}");
    assert!(!is_void || all + total == 0, "{number} is void: {total} of {all}");
    // An invoice below zero, or with a tax that is no share of it, says no rates.
    if original.taxes.iter().all(|it| it.basis != "0.00") {
        for (rate, [basis, tax]) in &rates {
            assert!(
                *basis >= 0 && *tax >= 0,
                "{number}: {basis} and {tax} are left of {rate:?}"
            );
            assert!(
                !is_void || *tax == 0,
                "{number} is void: {tax} is left of {rate:?}"
            );
        }
    }
    let line = units(&original.sections[0].lines[0].amount);
    assert!(
        of_line * 100 <= line * 113 || of_line == 0,
        "{number}: {of_line} of a line of {line}"
    );
    by_rates
}
