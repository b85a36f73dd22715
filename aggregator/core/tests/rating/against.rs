//! Random books and usage, rated by the product and by the naive model: every hour and every row of the statement must be
//! equal, to the last digit.

use tallyman_aggregator_core::rating::statement::{Cause, Statement};

use crate::exact::Ratio;
use crate::model::{Rated, rate};
use crate::month::statement;
use crate::product::Outcome;
use crate::worlds::{World, world};

/// How many worlds. Each has up to six items, three tenants and fourteen hours.
const CASES: u64 = 3_000;

/// Protects: everything that docs/PRICES.md says of items and months, together.
#[test]
fn random_months_are_those_of_the_model() {
    let mut hours = 0;
    for seed in 0..CASES {
        let world = world(seed);
        let outcome = std::panic::catch_unwind(|| world.case.run());
        let Ok(outcome) = outcome else {
            panic!("seed {seed} can't be rated\n{}", show(&world));
        };
        hours += outcome.lines.len();
        let rated = rate(&world.versions, &world.usage, world.pools);
        same(seed, &world, "hours", &hours_of(&outcome), &model_hours(&rated));
        let wanted = statement(&world.policies, &world.agreed, world.which, &rated, &world.items);
        same(seed, &world, "statement", &rows_of(&outcome.statement), &wanted);
    }
    assert!(hours > 50_000, "only {hours} hours of items were compared");
}

fn same(seed: u64, world: &World, what: &str, product: &[String], model: &[String]) {
    if product == model {
        return;
    }
    let at = (0..).zip(product.iter().zip(model)).find(|(_, (a, b))| a != b);
    let at = at.map_or(product.len().min(model.len()), |(at, _)| at);
    let row = |rows: &[String]| rows.get(at).cloned().unwrap_or("nothing".to_owned());
    panic!(
        "seed {seed}: row {at} of the {what}\n  product: {}\n  model:   {}\n{}\nproduct {product:#?}\nmodel {model:#?}",
        row(product),
        row(model),
        show(world)
    );
}

/// The books, terms and usage of a case that fails.
fn show(world: &World) -> String {
    let case = &world.case;
    let mut text = format!("{} of {}, ahead {:?}\n", case.month, case.zone, case.ahead);
    for (from, book) in &case.books {
        text.push_str(&format!("=== price book from {from}\n{book}\n"));
    }
    text.push_str(&format!("=== terms\n{}\n=== usage\n", case.terms));
    for it in &case.usage {
        text.push_str(&format!(
            "{} {} {} {}\n",
            it.hour, it.tenant, it.item, it.quantity
        ));
    }
    text
}

fn hours_of(outcome: &Outcome) -> Vec<String> {
    let mut rows: Vec<String> = outcome
        .lines
        .iter()
        .map(|(tenant, it)| {
            let (hour, item, amount) = (it.hour.0, &it.item, it.amount);
            let (used, free) = (it.quantity.decimal(), it.free.decimal());
            format!("{hour} {tenant} {item}: used {used}, free {free}, amount {amount}")
        })
        .collect();
    rows.sort();
    rows
}

fn model_hours(rated: &[Rated]) -> Vec<String> {
    let mut rows: Vec<String> = rated
        .iter()
        .map(|it| {
            let (hour, tenant, item, amount) = (it.at.hour, &it.tenant, &it.item, it.amount);
            format!(
                "{hour} {tenant} {item}: used {}, free {}, amount {amount}",
                it.quantity, it.free
            )
        })
        .collect();
    rows.sort();
    rows
}

fn rows_of(statement: &Statement) -> Vec<String> {
    let number = |text: String| Ratio::read(&text).expect("a number").to_string();
    let mut rows = Vec::new();
    for line in &statement.lines {
        let cause = match &line.cause {
            Cause::Usage(tenant) => format!("usage of {tenant}"),
            Cause::Minimum(tenant) => format!("minimum of {tenant}"),
            Cause::Maximum(tenant) => format!("maximum of {tenant}"),
            Cause::Surcharge => "surcharge".to_owned(),
            Cause::Commitment => "commitment".to_owned(),
            Cause::Fee { .. } => "fee".to_owned(),
            Cause::Late { .. } => "late".to_owned(),
        };
        let (item, amount) = (&line.item, number(line.amount.number()));
        rows.push(format!("{cause}: {item} {} {amount}", line.exact));
    }
    for (kind, list) in [("discount", &statement.discounts), ("credit", &statement.credits)] {
        rows.extend(
            list.iter()
                .map(|it| format!("{kind} {} {}", it.key, number(it.amount.number()))),
        );
    }
    for it in &statement.taxes {
        let (basis, amount) = (number(it.basis.number()), number(it.amount.number()));
        rows.push(format!("tax {} of {basis} {amount}", it.class));
    }
    rows.push(format!("total {}", number(statement.total.number())));
    rows
}

/// Numbers of books and terms: in which table, under which name. A model that did not look at one of them, or worlds in which
/// it never matters, would let a wrong product pass.
const NUMBERS: &[(&str, &str)] = &[
    ("item", "price"),
    ("item", "up_to"),
    ("item", "fee"),
    ("item", "amount"),
    ("item", "size"),
    ("item", "allowance"),
    ("item", "at_least"),
    ("item", "minimum"),
    ("item", "maximum"),
    ("item", "percent"),
    ("item", "percentile"),
    ("discount", "percent"),
    ("discount", "amount"),
    ("discount", "above"),
    ("surcharge", "above"),
    ("surcharge", "percent"),
    ("plan", "fee"),
    ("plan", "credits"),
    ("tax", "percent"),
    ("terms", "commitment"),
    ("coupon", "percent"),
    ("coupon", "amount"),
    ("terms", "pools"),
    ("terms", "tax_exempt"),
];
/// Worlds in which a number must matter at least once.
const MUTATED: u64 = 600;

/// Protects: this test itself. Each number that a price book or terms can have, changed for the product alone, is noticed.
#[test]
fn a_wrong_number_is_noticed() {
    let mut missed: Vec<_> = NUMBERS.to_vec();
    for seed in 0..MUTATED {
        let world = world(seed);
        missed.retain(|(table, name)| !is_noticed(&world, table, name));
    }
    assert_eq!(missed, [], "nothing told that the product had another number");
}

fn is_noticed(world: &World, table: &str, name: &str) -> bool {
    let mut case = world.case.clone();
    for (_, book) in &mut case.books {
        *book = changed(book, table, name);
    }
    case.terms = changed(&case.terms, table, name);
    if (&case.books, &case.terms) == (&world.case.books, &world.case.terms) {
        return false;
    }
    // What can't be rated with the changed number proves nothing.
    let Ok(outcome) = std::panic::catch_unwind(|| case.run()) else {
        return false;
    };
    let rated = rate(&world.versions, &world.usage, world.pools);
    let wanted = statement(&world.policies, &world.agreed, world.which, &rated, &world.items);
    hours_of(&outcome) != model_hours(&rated) || rows_of(&outcome.statement) != wanted
}

/// A text with every number of this name in tables of a kind changed, and every yes a no.
fn changed(text: &str, table: &str, name: &str) -> String {
    let (mut here, mut lines) = ("terms", Vec::new());
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("[[") {
            here = heading.trim_end_matches(']');
        }
        let own = [format!("{name} = "), format!(" {name} = ")];
        let is_here = here == table && (line.starts_with(&own[0]) || line.contains(&own[1]));
        lines.push(if is_here {
            other(line, name)
        } else {
            line.to_owned()
        });
    }
    lines.join("\n") + "\n"
}

fn other(line: &str, name: &str) -> String {
    match line.split_once(" = ") {
        Some((key, "true")) => return format!("{key} = false"),
        Some((key, "false")) => return format!("{key} = true"),
        _ => {}
    }
    let head = format!("{name} = \"");
    let mut parts = line.split(&head);
    let mut text = parts.next().expect("one part at least").to_owned();
    for part in parts {
        let (number, rest) = part.split_once('"').expect("a number in quotes");
        let (whole, places) = number.split_at(number.find('.').map_or(number.len(), |it| it));
        let whole = whole.parse::<u64>().expect("a whole number");
        let whole = match name {
            // Of few hours with usage in a month only the highest percentiles see any.
            "percentile" => 90,
            // Steps are far apart.
            "above" => whole * 2 + 1,
            _ => whole + 1,
        };
        text.push_str(&format!("{head}{whole}{places}\"{rest}"));
    }
    text
}
