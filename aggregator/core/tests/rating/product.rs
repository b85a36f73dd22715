//! Runs the product: texts of price books and terms, rows of usage in; rated hours and a statement out, in the order in
//! which the monthly draft calls it (tenants of an account hour by hour, then the statement).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tallyman_aggregator_core::rating::policy::Titles;
use tallyman_aggregator_core::rating::statement::{
    BilledAhead, FeePeriod, Grant, Input, Statement, statement,
};
use tallyman_aggregator_core::rating::{
    BillingZone, BookVersions, HourUsage, ItemKey, Moment, Moments, Month, MonthSums, Position, PriceBook,
    RatedLine, Terms, rate_hour,
};
use tallyman_common::money::{Money, Quantity};
use tallyman_common::time::Hour;

/// What a tenant used of an item in an hour.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub hour: u32,
    pub tenant: String,
    pub item: String,
    pub quantity: String,
}

/// An account's month, as texts.
#[derive(Clone)]
pub struct Case {
    /// Price books, each with its first hour.
    pub books: Vec<(u32, String)>,
    pub terms: String,
    pub month: String,
    pub zone: String,
    pub usage: Vec<Use>,
    pub grants: Vec<Grant>,
    /// Terms of the month before.
    pub before: Option<String>,
    pub ahead: Vec<Ahead>,
}

/// What other statements have of a fee.
#[derive(Clone, Debug)]
pub struct Ahead {
    pub plan: String,
    pub fee: String,
    pub net: String,
    /// First day, and the first one behind it; of the month's if none.
    pub period: Option<[String; 2]>,
    pub days: Option<[String; 2]>,
    pub is_settled: bool,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// Hours in the order of (hour, tenant), items as they were rated.
    pub lines: Vec<(String, RatedLine)>,
    pub sums: MonthSums,
    pub statement: Statement,
}

/// Books, terms, month: what a case is read into.
pub struct Read {
    pub books: BookVersions,
    pub terms: Terms,
    pub month: Month,
    pub zone: BillingZone,
}

impl Case {
    /// One price book from ever on, no terms, a month of UTC.
    pub fn of(book: &str, month: &str) -> Self {
        Self {
            books: vec![(0, book.to_owned())],
            terms: "format = 1\n".to_owned(),
            month: month.to_owned(),
            zone: "UTC".to_owned(),
            usage: Vec::new(),
            grants: Vec::new(),
            before: None,
            ahead: Vec::new(),
        }
    }

    pub fn read(&self) -> Read {
        let parse = |(from, text): &(u32, String)| {
            let book = PriceBook::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
            (Hour(*from), Arc::new(book))
        };
        let books = BookVersions::new(self.books.iter().map(parse).collect()).expect("rising");
        let newest = &books.versions().last().expect("a book").1;
        let terms = Terms::parse(&self.terms, newest);
        let terms = terms.unwrap_or_else(|faults| panic!("{faults:#?}\n{}", self.terms));
        Read {
            books,
            terms,
            month: Month::parse(&self.month).expect("a month"),
            zone: BillingZone::parse(&self.zone).expect("a zone"),
        }
    }

    /// Rates the month and makes its statement.
    pub fn run(&self) -> Outcome {
        self.run_over(1)
    }

    /// The same, with the lines of the month given to the statement's sums in so many turns, each a run of its own.
    pub fn run_over(&self, runs: usize) -> Outcome {
        let read = self.read();
        let lines = self.rate(&read);
        let mut sums = MonthSums::new(&read.books);
        for turn in 0..runs {
            for (tenant, line) in lines.iter().skip(turn).step_by(runs) {
                let own = read.terms_books(tenant);
                sums.add(&own, tenant, line).expect("it adds up");
            }
        }
        let statement = self.state(&read, &sums);
        Outcome {
            lines,
            sums,
            statement,
        }
    }

    /// The hours of all tenants, rated in the order of (hour, tenant).
    pub fn rate(&self, read: &Read) -> Vec<(String, RatedLine)> {
        let mut hours: BTreeMap<(u32, &str), Vec<(ItemKey, Quantity)>> = BTreeMap::new();
        for it in &self.usage {
            let quantity = Quantity::parse(&it.quantity).expect("a quantity");
            let place = hours.entry((it.hour, &it.tenant)).or_default();
            place.push((key(&it.item), quantity));
        }
        let tenants: BTreeSet<&str> = hours.keys().map(|(_, tenant)| *tenant).collect();
        let own: BTreeMap<&str, BookVersions> =
            tenants.into_iter().map(|it| (it, read.terms_books(it))).collect();
        let mut positions: BTreeMap<&str, Position> = BTreeMap::new();
        let mut lines = Vec::new();
        for ((hour, tenant), quantities) in hours {
            let hour = Hour(hour);
            let usage = HourUsage {
                hour,
                day: read.zone.day_start(hour).expect("a day"),
                quantities,
            };
            let who = if read.terms.pools { "" } else { tenant };
            let book = own[tenant].at(hour).expect("a book in force");
            let rated = rate_hour(book, positions.entry(who).or_default(), &usage);
            let rated = rated.unwrap_or_else(|e| panic!("{e}"));
            lines.extend(rated.into_iter().map(|it| (tenant.to_owned(), it)));
        }
        lines
    }

    fn state(&self, read: &Read, sums: &MonthSums) -> Statement {
        let hours = read.zone.month_hours(read.month).expect("hours");
        let ahead: Vec<BilledAhead> = self.ahead.iter().map(|it| ahead(it, read.month)).collect();
        let newest = &read.books.versions().last().expect("a book").1;
        let before = self
            .before
            .as_ref()
            .map(|text| Terms::parse(text, newest).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}")));
        let made = statement(Input {
            sums,
            books: &read.books,
            until: Hour(hours.end.0 - 1),
            terms: &read.terms,
            before: before.as_ref(),
            month: read.month,
            zone: &read.zone,
            grants: &self.grants,
            late: &[],
            billed_ahead: &ahead,
        });
        made.unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Read {
    pub fn terms_books(&self, tenant: &str) -> BookVersions {
        self.terms
            .books_for(tenant, self.month, &self.books)
            .expect("books")
    }
}

fn ahead(it: &Ahead, month: Month) -> BilledAhead {
    let day = |text: &String| Moment::parse(text).expect("a moment");
    let period = it.period.as_ref().map(|[from, until]| FeePeriod {
        from: day(from),
        until: day(until),
    });
    let period = period.unwrap_or_else(|| FeePeriod::month(month).expect("a month"));
    let days = it
        .days
        .as_ref()
        .map(|[from, until]| Moments::between(day(from), day(until)));
    BilledAhead {
        plan: key(&it.plan),
        titles: Titles {
            own: it.plan.clone(),
            by_language: BTreeMap::new(),
        },
        tax_class: "standard".to_owned(),
        period,
        time: days.unwrap_or_else(|| Moments::between(period.from, period.until)),
        fee: Money::parse(&it.fee).expect("money"),
        net: Money::parse(&it.net).expect("money"),
        is_settled: it.is_settled,
    }
}

/// An item's key.
pub fn key(text: &str) -> ItemKey {
    ItemKey::parse(text).expect("a key")
}
