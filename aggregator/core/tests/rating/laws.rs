//! Laws that every bill keeps, over random books and usage: run twice is run once, a split run is a whole run, the order of
//! arrival does not matter, what is printed sums to what is due, used is free and billed, hours sum to the month (I6, I7).

use std::collections::BTreeMap;

use tallyman_aggregator_core::rating::statement::{Statement, difference};
use tallyman_aggregator_core::rating::{
    Charge, HourUsage, MeterSum, Month, Position, PriceBook, RatedLine, quantity_of, rate_hour, rate_period,
};
use tallyman_common::meter::Meter;
use tallyman_common::money::{Amount, Money, Price, Quantity};
use tallyman_common::record::Dims;
use tallyman_common::time::Hour;

use crate::chance::Chance;
use crate::product::{Case, Outcome, key};
use crate::worlds::{World, world};

const WORLDS: u64 = 400;

fn each(check: impl Fn(u64, &World, &Outcome)) {
    for seed in 0..WORLDS {
        let world = world(seed + 1_000_000);
        let outcome = world.case.run();
        check(seed + 1_000_000, &world, &outcome);
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    Amount::sum(amounts).expect("it adds up")
}

/// Protects: I6. The same files give the same bill.
#[test]
fn run_twice_is_run_once() {
    each(|seed, world, outcome| assert!(world.case.run() == *outcome, "seed {seed}"));
}

/// Protects: a month that is summed in parts, by several runs, is the month that is summed at once.
#[test]
fn a_split_run_is_a_whole_run() {
    each(|seed, world, outcome| {
        for runs in [2, 3, 7] {
            assert!(
                world.case.run_over(runs).statement == outcome.statement,
                "seed {seed} in {runs} runs"
            );
        }
    });
}

/// Protects: nothing depends on the order in which usage came in.
#[test]
fn the_order_of_arrival_does_not_matter() {
    each(|seed, world, outcome| {
        let mut case: Case = world.case.clone();
        let mut chance = Chance::new(seed);
        for at in (1..case.usage.len()).rev() {
            let other = usize::try_from(chance.below(at as u64 + 1)).expect("few");
            case.usage.swap(at, other);
        }
        let shuffled = case.run();
        assert!(shuffled.statement == outcome.statement, "seed {seed}");
        let sorted = |outcome: &Outcome| {
            let mut lines: Vec<String> = outcome.lines.iter().map(|it| format!("{it:?}")).collect();
            lines.sort();
            lines
        };
        assert!(sorted(&shuffled) == sorted(outcome), "seed {seed}");
    });
}

/// Protects: I7. Printed lines sum to the subtotal, and with what is taken off and the tax on top to the total; parts of an
/// hour less what the span had cost before are the hour.
#[test]
fn what_is_printed_adds_up() {
    each(|seed, _, outcome| {
        let made = &outcome.statement;
        let zero = Money::zero(made.currency);
        let add = |list: Vec<Money>| {
            list.into_iter()
                .try_fold(zero, Money::checked_add)
                .expect("it adds up")
        };
        let lines = add(made.lines.iter().map(|it| it.amount).collect());
        assert_eq!(lines, made.subtotal, "seed {seed}");
        let mut printed = vec![lines];
        printed.extend(made.discounts.iter().chain(&made.credits).map(|it| it.amount));
        printed.extend(made.taxes.iter().filter(|it| !it.is_included).map(|it| it.amount));
        assert_eq!(add(printed), made.total, "seed {seed}");
        for (_, line) in outcome.lines.iter().filter(|(_, it)| !it.parts.is_empty()) {
            let parts = sum(line.parts.iter().map(|it| it.amount));
            let less = sum(line.less.iter().map(|it| it.amount));
            assert_eq!(parts.checked_sub(less), Ok(line.amount), "seed {seed}: {line:?}");
        }
    });
}

/// Protects: I7. The hours of a month sum to its unrounded usage lines, to the last digit (percentiles are of the month).
#[test]
fn hours_sum_to_the_month() {
    each(|seed, world, outcome| {
        let month_end = |item: &str| {
            let all = world.items.iter().flat_map(|(_, items)| items);
            let mut own = all.filter(|it| it.key == item);
            own.any(|it| matches!(it.charge, crate::model::Charge::Percentile { .. }))
        };
        for line in &outcome.statement.lines {
            let tallyman_aggregator_core::rating::statement::Cause::Usage(tenant) = &line.cause else {
                continue;
            };
            if month_end(line.item.as_str()) {
                continue;
            }
            let own = outcome
                .lines
                .iter()
                .filter(|(who, it)| who == tenant && it.item == line.item);
            assert_eq!(
                sum(own.map(|(_, it)| it.amount)),
                line.exact,
                "seed {seed}: {}",
                line.item
            );
        }
    });
}

/// Protects: used = free + billed, for every hour that is not raised to a least quantity; then raised = free + billed.
#[test]
fn used_is_free_and_billed() {
    each(|seed, world, outcome| {
        let read = world.case.read();
        for (tenant, line) in &outcome.lines {
            let book = read.terms_books(tenant).at(line.hour).expect("in force").clone();
            let item = book.item(&line.item).expect("an item");
            let Charge::Metered(_) = item.charge() else {
                continue;
            };
            let used = line.raised_to.unwrap_or(line.quantity);
            let of = |parts: &[tallyman_aggregator_core::rating::TierPart]| -> Quantity {
                let quantities = parts.iter().map(|it| it.quantity);
                quantities.fold(Quantity::ZERO, |sum, it| sum.checked_add(it).expect("fits"))
            };
            let billed = of(&line.parts)
                .checked_sub(of(&line.less))
                .expect("a span only grows");
            assert_eq!(line.free.checked_add(billed), Ok(used), "seed {seed}: {line:?}");
        }
    });
}

/// Protects: rating a month again from its beginning after each hour, as previews do, never moves an hour or a cent: a line
/// of an hour depends on earlier hours alone.
#[test]
fn rating_an_open_month_again_and_again_moves_nothing() {
    each(|seed, world, outcome| {
        let mut case = world.case.clone();
        case.usage
            .retain(|it| it.hour <= outcome.lines[outcome.lines.len() / 2].1.hour.0);
        let read = case.read();
        let early = case.rate(&read);
        assert!(
            !early.is_empty() && early[..] == outcome.lines[..early.len()],
            "seed {seed}"
        );
    });
}

/// Protects: late usage rates its own month again from its hour on; hours before it stay, hours behind it move along the
/// tiers, and the month is what it would have been had the usage come in time.
#[test]
fn late_usage_is_rated_in_its_own_place() {
    let book = "format = 1\nname = \"T\"\ncurrency = \"USD\"\n[[item]]\nkey = \"x\"\ntitle = \"X\"\n\
                meters = [\"requests.read\"]\nunit = \"request\"\nmodel = \"graduated\"\ntiers_over = \"month\"\n\
                tiers = [{ up_to = \"10\", price = \"3\" }, { price = \"1\" }]\n";
    let book = std::sync::Arc::new(PriceBook::parse(book).expect("a book"));
    let books = tallyman_aggregator_core::rating::BookVersions::always(book);
    let hours = |used: &[(u32, &str)]| -> Vec<HourUsage> {
        let of = |(hour, quantity): &(u32, &str)| HourUsage {
            hour: Hour(*hour),
            day: Hour(0),
            quantities: vec![(key("x"), Quantity::parse(quantity).expect("a quantity"))],
        };
        used.iter().map(of).collect()
    };
    let amounts = |used: &[(u32, &str)]| -> Vec<String> {
        let lines: Vec<RatedLine> = rate_period(&books, &hours(used)).expect("rated");
        lines
            .iter()
            .map(|it| format!("{} {}", it.hour.0, it.amount))
            .collect()
    };
    #[rustfmt::skip]
    assert_eq!(amounts(&[(0, "4"), (2, "8")]),             ["0 12", "2 20"]); // 4×3, 6×3 + 2×1
    #[rustfmt::skip]
    assert_eq!(amounts(&[(0, "4"), (1, "5"), (2, "8")]),   ["0 12", "1 15", "2 10"]); // 4×3, 5×3, 1×3 + 7×1
}

/// Protects: usage that comes late in two turns is billed by two differences; with what was billed first they are what the
/// month costs had all come in time, to the cent and per tax class.
#[test]
fn corrections_of_a_month_telescope() {
    each(|seed, world, _| {
        let mut case = world.case.clone();
        // What was granted pays a difference where it is billed.
        case.grants.clear();
        let early = |most: u64| {
            let mut part = case.clone();
            let mut chance = Chance::new(seed);
            part.usage.retain(|_| chance.below(10) < most);
            part.run().statement
        };
        let stages = [early(5), early(8), early(10)];
        let month = Month::parse(&case.month).expect("a month");
        let late = |at: usize| difference(month, &stages[at], &stages[at + 1]).expect("a difference");
        let mut classes: BTreeMap<String, i128> = BTreeMap::new();
        let nets = |made: &Statement| -> Vec<(String, i128)> {
            let of = made.lines.iter().zip(&made.net);
            of.map(|(line, net)| (line.tax_class.clone(), net.minor_units()))
                .collect()
        };
        let corrections = [late(0), late(1)].concat();
        let corrections = corrections
            .iter()
            .map(|it| (it.tax_class.clone(), it.amount.minor_units()));
        for (class, units) in nets(&stages[0]).into_iter().chain(corrections) {
            *classes.entry(class).or_insert(0) += units;
        }
        for (class, units) in nets(&stages[2]) {
            *classes.entry(class).or_insert(0) -= units;
        }
        assert!(classes.values().all(|it| *it == 0), "seed {seed}: {classes:?}");
    });
}

/// Protects: a price book that comes into force behind the month changes nothing of it, not even of items that the book in
/// force at its end has no more.
#[test]
fn books_of_later_months_change_nothing() {
    let item = |key: &str, more: &str| {
        format!(
            "[[item]]\nkey = \"{key}\"\ntitle = \"{key}\"\nmeters = [\"requests.read\"]\nunit = \"request\"\n\
             model = \"per_unit\"\nprice = \"1\"\n{more}\n"
        )
    };
    let head = "format = 1\nname = \"T\"\ncurrency = \"USD\"\n";
    let first = format!("{head}{}{}", item("gone", ""), item("stays", ""));
    let second = format!("{head}{}", item("stays", ""));
    let third = format!(
        "{head}{}{}",
        item("gone", "minimum = \"1000\""),
        item("stays", "minimum = \"1000\"")
    );
    let zone = tallyman_aggregator_core::rating::BillingZone::utc();
    let hours = zone
        .month_hours(Month::parse("2026-11").expect("a month"))
        .expect("hours");
    let mut case = Case::of(&first, "2026-11");
    case.books.push((hours.start.0 + 100, second));
    case.usage = ["gone", "stays"]
        .map(|item| crate::product::Use {
            hour: hours.start.0,
            tenant: "acme".to_owned(),
            item: item.to_owned(),
            quantity: "7".to_owned(),
        })
        .to_vec();
    let without = case.run().statement;
    case.books.push((hours.end.0, third));
    assert_eq!(case.run().statement, without);
    assert_eq!(without.total.number(), "14.00");
}

/// Protects: sums of cells are whole numbers, so that their order and how they are cut don't matter; one rounding follows.
#[test]
fn cells_in_any_order_give_the_same_quantity() {
    let text = "format = 1\nname = \"T\"\ncurrency = \"USD\"\n[[item]]\nkey = \"x\"\ntitle = \"X\"\n\
                meters = [\"storage.capacity\"]\nunit = \"GiB-hour\"\nmodel = \"per_unit\"\nprice = \"1\"\n";
    let book = PriceBook::parse(text).expect("a book");
    let (meter, dims) = (Meter::by_name("storage.capacity").expect("a meter"), Dims::new());
    let mut chance = Chance::new(7);
    for _ in 0..500 {
        let sums: Vec<u128> = (0..chance.below(20) + 1)
            .map(|_| u128::from(chance.next() >> chance.below(60)))
            .collect();
        let cell = |sum: u128| MeterSum {
            meter,
            dims: &dims,
            sum,
        };
        let whole = quantity_of(&book.items()[0], [cell(sums.iter().sum())]);
        let forward = quantity_of(&book.items()[0], sums.iter().map(|it| cell(*it)));
        let backward = quantity_of(
            &book.items()[0],
            sums.iter().rev().flat_map(|it| [cell(it / 2), cell(it - it / 2)]),
        );
        assert_eq!((&forward, &backward), (&whole, &whole));
        // Half-up at a billionth, worked out with whole numbers.
        let (unit, all): (u128, u128) = (3_600_000 << 30, sums.iter().sum());
        let billionths = (all * 2_000_000_000 + unit) / (2 * unit);
        let price = Price::ONE;
        let got = whole.expect("fits").times(price).expect("fits").decimal();
        let wanted = crate::exact::Ratio::new(i128::try_from(billionths).expect("fits"), 1_000_000_000);
        assert_eq!(got.to_string(), wanted.to_string());
    }
}

/// Protects: after a fault nothing of the hour was counted: the next hour stands where it would have stood without it.
#[test]
fn a_fault_moves_no_position() {
    each(|seed, world, outcome| {
        let read = world.case.read();
        let (tenant, line) = &outcome.lines[0];
        let book = read.terms_books(tenant).at(line.hour).expect("in force").clone();
        let good = (line.item.clone(), Quantity::parse("1").expect("one"));
        let usage = |quantities: Vec<_>| HourUsage {
            hour: line.hour,
            day: line.hour,
            quantities,
        };
        let mut position = Position::default();
        let bad = vec![good.clone(), (key("nobody-has-it"), good.1)];
        assert!(rate_hour(&book, &mut position, &usage(bad)).is_err());
        assert_eq!(position, Position::default(), "seed {seed}");
    });
}
