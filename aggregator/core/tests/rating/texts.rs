//! Writes the model's books and terms as the TOML that the product reads.

use std::fmt::Write;

use tallyman_aggregator_core::rating::hour_text;
use tallyman_common::time::Hour;

use crate::exact::Ratio;
use crate::fees::{self, Subscription};
use crate::model::{Charge, Item, Metered, Shape, Span, Tier};
use crate::month::{Agreed, Cut, Policies};

/// Writing into a text can't fail.
macro_rules! put {
    ($text:expr, $($rest:tt)*) => { writeln!($text, $($rest)*).expect("text") };
}

/// A month of its number, counted from the year 0 on.
pub fn month(number: u32) -> String {
    format!("{:04}-{:02}", number / 12, number % 12 + 1)
}

/// A numbered half day.
pub fn day(number: u32) -> String {
    let (month_number, own, half) = fees::month_of(number);
    let time = if half > 0 { "T12:00:00" } else { "" };
    format!("{}-{:02}{time}", month(month_number), own + 1)
}

pub fn money(amount: Ratio, currency: &str) -> String {
    format!("{amount} {currency}")
}

fn list(keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().map(|it| format!("\"{it}\"")).collect();
    format!("[{}]", keys.join(", "))
}

pub fn book(from: u32, currency: &str, items: &[Item], policies: &Policies) -> String {
    let mut text = String::new();
    put!(
        text,
        "format = 1\nname = \"From {from}\"\ncurrency = \"{currency}\""
    );
    let discounts = if policies.in_turn {
        "in_turn"
    } else {
        "each_on_raw"
    };
    put!(
        text,
        "discounts = \"{discounts}\"\ntax_included = {}",
        policies.tax_included
    );
    for it in items {
        put!(text, "\n[[item]]");
        text.push_str(&item(it));
    }
    text.push_str(&months(items, policies));
    text
}

/// What a book says of months.
fn months(items: &[Item], policies: &Policies) -> String {
    let mut text = String::new();
    for it in &policies.discounts {
        put!(text, "\n[[discount]]\nkey = \"{0}\"\ntitle = \"{0}\"", it.key);
        put!(
            text,
            "items = {}\nclasses = {}\nplans = {}",
            list(&it.items),
            list(&it.classes),
            list(&it.plans)
        );
        for (name, hour) in [("from", it.from), ("until", it.until)] {
            if let Some(hour) = hour {
                put!(text, "{name} = \"{}\"", hour_text(Hour(hour)));
            }
        }
        text.push_str(&cut(&it.cut));
    }
    for it in &policies.surcharges {
        put!(
            text,
            "\n[[surcharge]]\nkey = \"{0}\"\ntitle = \"{0}\"\nitems = {1}",
            it.key,
            list(&it.items)
        );
        put!(
            text,
            "above = \"{}\"\npercent = \"{}\"\ntax_class = \"{}\"",
            it.above,
            it.percent,
            it.tax_class
        );
    }
    for it in &policies.plans {
        put!(
            text,
            "\n[[plan]]\nkey = \"{0}\"\ntitle = \"{0}\"\nfee = \"{1}\"",
            it.key,
            it.fee
        );
        let per = if it.is_yearly { "year" } else { "month" };
        let due = if it.in_advance { "in_advance" } else { "in_arrears" };
        put!(
            text,
            "per = \"{per}\"\ndue = \"{due}\"\ncredits = \"{}\"\ntax_class = \"{}\"",
            it.credits,
            it.tax_class
        );
        let quantities = it.quantities.iter().filter(|(key, _)| can_include(items, key));
        let quantities: Vec<String> = quantities.map(|(key, it)| format!("{key} = \"{it}\"")).collect();
        put!(text, "quantities = {{ {} }}", quantities.join(", "));
    }
    for (class, rate) in &policies.taxes {
        put!(
            text,
            "\n[[tax]]\nclass = \"{class}\"\ntitle = \"Tax\"\npercent = \"{rate}\""
        );
    }
    text
}

/// Whether a plan can include a quantity of an item: it is metered and has no allowance of its own.
pub fn can_include(items: &[Item], key: &str) -> bool {
    let item = items.iter().find(|it| it.key == key);
    item.is_some_and(|it| match &it.charge {
        Charge::Metered(tariff) => tariff.free.is_none(),
        Charge::OfPrice { .. } => true,
        _ => false,
    })
}

/// An item without its heading.
fn item(it: &Item) -> String {
    let mut text = String::new();
    put!(
        text,
        "key = \"{0}\"\ntitle = \"{0}\"\ntax_class = \"{1}\"",
        it.key,
        it.tax_class
    );
    for (name, bound) in [("minimum", it.minimum), ("maximum", it.maximum)] {
        if let Some(bound) = bound {
            put!(text, "{name} = \"{bound}\"");
        }
    }
    match &it.charge {
        Charge::Percentile { .. } => {
            put!(text, "meters = [\"network.transmit.bytes\"]\nunit = \"Mbit/s\"");
        }
        Charge::OfAmounts { .. } => {}
        _ => put!(text, "meters = [\"requests.read\"]\nunit = \"request\""),
    }
    match &it.charge {
        Charge::Free => put!(text, "model = \"free\""),
        Charge::Metered(tariff) => text.push_str(&metered(tariff)),
        Charge::OfPrice { of, percent } => {
            put!(
                text,
                "model = \"percent_of_price\"\nof = \"{of}\"\npercent = \"{percent}\""
            );
        }
        Charge::OfAmounts { of, percent } => {
            put!(
                text,
                "model = \"percent_of_amount\"\nof = {}\npercent = \"{percent}\"",
                list(of)
            );
        }
        Charge::Percentile {
            percentile,
            tiers: it,
        } => {
            put!(text, "model = \"percentile\"\npercentile = \"{percentile}\"");
            put!(text, "{}", tiers(it));
        }
    }
    text
}

fn span(span: Span) -> &'static str {
    match span {
        Span::Hour => "hour",
        Span::Day => "day",
        Span::Month => "month",
    }
}

fn metered(it: &Metered) -> String {
    let mut text = String::new();
    let over = span(it.over);
    match &it.shape {
        Shape::Flat(price) => put!(
            text,
            "model = \"flat\"\nprice = \"{price}\"\nflat_over = \"{over}\""
        ),
        Shape::PerUnit(price) => put!(text, "model = \"per_unit\"\nprice = \"{price}\""),
        Shape::Graduated(it) => put!(
            text,
            "model = \"graduated\"\ntiers_over = \"{over}\"\n{}",
            tiers(it)
        ),
        Shape::Volume(it) => put!(text, "model = \"volume\"\ntiers_over = \"{over}\"\n{}", tiers(it)),
        Shape::Steps(it) => put!(
            text,
            "model = \"stairstep\"\ntiers_over = \"{over}\"\n{}",
            steps(it)
        ),
        Shape::Package { size, price } => {
            put!(
                text,
                "model = \"package\"\nsize = \"{size}\"\nprice = \"{price}\"\npackage_over = \"{over}\""
            );
        }
    }
    if let Some((quantity, over)) = it.free {
        put!(
            text,
            "allowance = \"{quantity}\"\nallowance_over = \"{}\"",
            span(over)
        );
    }
    put!(text, "at_least = \"{}\"\nreset = {}", it.at_least, it.reset);
    text
}

fn bound(tier: &Tier) -> String {
    tier.up_to
        .map_or(String::new(), |it| format!("up_to = \"{it}\", "))
}

fn tiers(tiers: &[Tier]) -> String {
    let rows = tiers.iter().map(|it| {
        format!(
            "{{ {}price = \"{}\", fee = \"{}\" }}",
            bound(it),
            it.price,
            it.fee
        )
    });
    format!("tiers = [{}]", rows.collect::<Vec<_>>().join(", "))
}

fn steps(tiers: &[Tier]) -> String {
    let rows = tiers
        .iter()
        .map(|it| format!("{{ {}amount = \"{}\" }}", bound(it), it.fee));
    format!("tiers = [{}]", rows.collect::<Vec<_>>().join(", "))
}

fn cut(cut: &Cut) -> String {
    match cut {
        Cut::Percent(percent) => format!("percent = \"{percent}\"\n"),
        Cut::Amount(amount) => format!("amount = \"{amount}\"\n"),
        Cut::Steps(steps) => {
            let rows = steps
                .iter()
                .map(|(above, it)| format!("{{ above = \"{above}\", percent = \"{it}\" }}"));
            format!("steps = [{}]\n", rows.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Plans, each in a table of its own.
pub fn subscriptions(these: &[Subscription]) -> String {
    let mut text = String::new();
    for it in these {
        put!(
            text,
            "\n[[subscription]]\nplan = \"{}\"\nfrom = \"{}\"",
            it.plan,
            day(it.from)
        );
        if let Some(until) = it.until {
            put!(text, "until = \"{}\"", day(until));
        }
    }
    text
}

pub fn terms(agreed: &Agreed, pools: bool, overrides: &[(Option<String>, Item)]) -> String {
    let mut text = String::new();
    put!(
        text,
        "format = 1\npools = {pools}\ntax_exempt = {}",
        agreed.tax_exempt
    );
    if let Some(class) = &agreed.class {
        put!(text, "class = \"{class}\"");
    }
    if let [own] = &agreed.subscriptions[..] {
        put!(text, "plan = \"{}\"\nplan_from = \"{}\"", own.plan, day(own.from));
        if let Some(until) = own.until {
            put!(text, "plan_until = \"{}\"", day(until));
        }
    }
    if let Some(commitment) = agreed.commitment {
        put!(text, "commitment = \"{commitment}\"");
    }
    if agreed.subscriptions.len() > 1 {
        text.push_str(&subscriptions(&agreed.subscriptions));
    }
    for it in &agreed.coupons {
        put!(
            text,
            "\n[[coupon]]\nkey = \"{0}\"\ntitle = \"{0}\"\nitems = {1}",
            it.key,
            list(&it.items)
        );
        put!(text, "from = \"{}\"", month(it.from));
        if let Some(months) = it.months {
            put!(text, "months = \"{months}\"");
        }
        text.push_str(&cut(&it.cut));
    }
    for (class, rate) in &agreed.taxes {
        put!(
            text,
            "\n[[tax]]\nclass = \"{class}\"\ntitle = \"Own\"\npercent = \"{rate}\""
        );
    }
    for (tenant, own) in overrides {
        put!(text, "\n[[item]]");
        if let Some(tenant) = tenant {
            put!(text, "tenant = \"{tenant}\"");
        }
        text.push_str(&item(own));
    }
    text
}
