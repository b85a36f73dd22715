//! "Why this amount?", "what if?" and the closing sheet over a month that went from batches to an invoice.

use super::*;
use crate::accounts::explain::{Ask, ExplainError, Of, explain};
use crate::accounts::what_if::{self, Prices, WhatIfError, what_if};
use crate::ingest::Reason;
use crate::rating::{ItemKey, PriceBook};
use crate::sheet::{Row, Sheet, SheetError, csv, sheet};
use std::sync::Arc;
use tallyman_common::money::Currency;

fn invoiced() -> World {
    let mut world = final_month();
    let found = run::drafts(world.books(), month(), &["acme".to_owned()]).unwrap();
    issue(&mut world, found.drafts);
    world
}

fn asked(tenant: Option<&str>, item: Option<&str>, hour: Option<Hour>) -> Ask {
    Ask {
        tenant: tenant.map(str::to_owned),
        item: item.map(|it| ItemKey::parse(it).unwrap()),
        hour,
    }
}

fn invoice() -> Of {
    Of::Invoice("INV-000001".to_owned())
}

fn draft_of(account: &str) -> Of {
    let account = account.to_owned();
    Of::Month {
        account,
        month: month(),
    }
}

#[test]
fn a_line_is_explained_by_its_tiers_and_hours() {
    let world = invoiced();
    let all = explain(
        world.books(),
        invoice(),
        &asked(None, None, None),
        Viewer::Operator,
    )
    .unwrap();
    assert_eq!((all.lines.len(), all.is_final), (1, true));
    assert_eq!((all.lines[0].cause, &*all.lines[0].amount_exact), ("usage", "50"));

    let of_cpu = asked(Some("acme"), Some("cpu"), None);
    let cpu = explain(world.books(), invoice(), &of_cpu, Viewer::Operator).unwrap();
    assert_eq!(cpu.invoice.as_deref(), Some("INV-000001"));
    assert_eq!(cpu.agrees, Some(true), "I7: {cpu:?}");
    assert_eq!(cpu.sum_exact.unwrap().to_string(), "50");
    let tiers: Vec<_> = cpu.lines[0]
        .tiers
        .iter()
        .map(|it| (&*it.quantity, &*it.price, &*it.amount_exact))
        .collect();
    assert_eq!(tiers, [("40", "1", "40"), ("20", "0.5", "10")]);
    let charged = cpu.lines[0].charged.as_deref();
    assert_eq!(
        charged,
        Some("graduated, tiers up to 40 1, above 0.5, over month")
    );
    let hour = &cpu.hours[0];
    assert_eq!(
        (cpu.hours.len(), hour.inferred),
        (1, true),
        "20 of 60 lie in the hole"
    );
    assert_eq!(
        (
            hour.quantity.to_string(),
            hour.before.to_string(),
            hour.parts.len()
        ),
        ("60".into(), "0".into(), 2)
    );
}

/// A credit of 10.00 USD for CPU.
fn grant_sla(world: &mut World) {
    let granted = crate::registry::money::Granted {
        key: "sla".into(),
        account: "acme".into(),
        title: "Outage".into(),
        amount: tallyman_common::money::Money::parse("10.00 USD").unwrap(),
        priority: 50,
        expires: None,
        items: vec!["cpu".into()],
    };
    let event = Event::Money(
        1,
        Asker {
            actor: "test".into(),
            source: "test".into(),
        },
        Box::new(crate::accounts::MoneyCommand::GrantCredit(granted)),
    );
    world.aggregator.step(world.now, event, &world.store).unwrap();
    world.commit();
}

/// Protects: whoever reads why a total is what it is finds every discount, credit and tax there, with where it comes from, and
/// they sum to the total; what is left between the lines of one tenant and a total is nobody's.
#[test]
fn what_lies_between_lines_and_total_is_explained() {
    let agreed = "format = 1\nclass = \"gold\"\n[[coupon]]\nkey = \"gold\"\ntitle = \"Welcome\"\namount = \"2\"\n\
        items = [\"cpu\"]\nfrom = \"2025-11\"\nmonths = \"3\"\n";
    let (mut world, hours) = billed_of(PRICES, agreed);
    grant_sla(&mut world);
    let mut world = until_final((world, hours));
    let drafts = drafts_of(&world, month());
    issue(&mut world, drafts);
    let ask = asked(None, None, None);
    let found = explain(world.books(), invoice(), &ask, Viewer::Operator).unwrap();
    let totals = found.totals.unwrap();
    let rows: Vec<_> = totals
        .taken
        .iter()
        .map(|it| (it.kind, it.key.as_deref(), &*it.amount, &*it.why))
        .collect();
    assert_eq!((&*totals.subtotal, &*totals.total), ("50.00", "34.98"));
    let sla = totals.taken[2].why.clone();
    assert_eq!(
        rows,
        [
            (
                "discount",
                Some("gold"),
                "-5.00",
                "discount of the price book `Plain`, for class gold"
            ),
            (
                "coupon",
                Some("gold"),
                "-2.00",
                "coupon of the account's terms, from 2025-11 for 3 months, on cpu"
            ),
            ("credit", Some("sla"), "-10.00", &*sla),
            (
                "tax",
                Some("standard"),
                "1.98",
                "rate of tax class `standard` in the price book `Plain`"
            ),
        ]
    );
    assert!(
        sla.starts_with("credit `sla` of 10.00 USD, granted at position ")
            && sla.ends_with("without end, on cpu; 0.00 USD is left of it now"),
        "{sla}"
    );
    let of_one = explain(
        world.books(),
        invoice(),
        &asked(Some("acme"), None, None),
        Viewer::Operator,
    )
    .unwrap();
    assert_eq!((of_one.lines.len(), of_one.totals), (1, None));
}

/// Protects: a rate that the account has in place of the price book's is told as its own.
#[test]
fn a_rate_of_the_account_is_explained() {
    let own = "format = 1\n[[tax]]\nclass = \"standard\"\ntitle = \"Reverse charge\"\npercent = \"0\"\n";
    let world = final_month_of(PRICES, own);
    let found = explain(
        world.books(),
        draft_of("acme"),
        &asked(None, None, None),
        Viewer::Operator,
    )
    .unwrap();
    let taken = found.totals.unwrap().taken;
    let whys: Vec<&str> = taken.iter().map(|it| &*it.why).collect();
    assert_eq!(whys, ["rate of tax class `standard` in the account's terms"]);
}

#[test]
fn an_hour_is_explained_down_to_its_batches() {
    let world = invoiced();
    let of_hour = asked(Some("acme"), Some("cpu"), Some(START));
    let deep = explain(world.books(), invoice(), &of_hour, Viewer::Operator).unwrap();
    let from = deep.sources.unwrap();
    assert_eq!(deep.hours.len(), 1);
    let meter = &from.meters[0];
    let second = |n: u128| (n * SECOND).to_string();
    assert_eq!(
        (
            &*meter.meter,
            meter.side,
            meter.value.clone(),
            meter.inferred.clone()
        ),
        ("cpu.time", "plus", second(60), second(20))
    );
    let owner = &from.owners[0];
    let sum = &owner.sums[0];
    assert_eq!(
        (
            sum.group.as_deref(),
            sum.measured.clone(),
            sum.inferred.clone(),
            sum.state
        ),
        (Some("default"), second(40), second(20), "measured")
    );
    let batches = &owner.nodes[0].batches;
    let ranges: Vec<_> = batches.iter().map(|it| (it.first, it.last)).collect();
    assert_eq!((owner.nodes[0].minutes, ranges), (2, vec![(1, 1), (3, 3)]));
    assert_eq!(batches[0].spool, SPOOL.to_string());
    assert_eq!(from.completeness.missing[0].minutes, 1, "{:?}", from.completeness);
}

#[test]
fn a_tenant_sees_opaque_names() {
    let world = invoiced();
    let ask = asked(Some("acme"), Some("cpu"), Some(START));
    let own = explain(world.books(), invoice(), &ask, Viewer::Tenant).unwrap();
    let own = serde_json::to_string(&own).unwrap();
    for secret in [
        SPOOL.to_string(),
        world.node.to_string(),
        "\"default\"".to_owned(),
    ] {
        assert!(!own.contains(&secret), "{own}");
    }
}

#[test]
fn late_usage_changes_no_explanation_of_an_invoice() {
    let mut world = invoiced();
    let ask = asked(Some("acme"), Some("cpu"), Some(START));
    let before = explain(world.books(), invoice(), &ask, Viewer::Operator).unwrap();
    assert!(matches!(
        world.take_batch(sent(2, (30 * SECOND, 45 * SECOND))),
        Answer::Ack(_)
    ));
    world.flush();
    let mut after = explain(world.books(), invoice(), &ask, Viewer::Operator).unwrap();
    after.as_of = before.as_of.clone();
    assert_eq!(after, before, "I9");
}

#[test]
fn a_running_month_is_explained_too_and_wrong_questions_are_refused() {
    let (mut world, _) = billed();
    world.flush();
    let ask = asked(Some("acme"), Some("cpu"), None);
    let found = explain(world.books(), draft_of("acme"), &ask, Viewer::Operator).unwrap();
    assert_eq!((found.agrees, found.is_final), (Some(true), false));
    assert_eq!(
        found.sum_exact.unwrap().to_string(),
        "40",
        "the hole is not judged yet"
    );
    let refused = |of: Of, ask: Ask| {
        let found = explain(world.books(), of, &ask, Viewer::Operator);
        found.unwrap_err()
    };
    assert!(matches!(
        refused(invoice(), asked(None, None, None)),
        ExplainError::NoDocument(_)
    ));
    assert!(matches!(
        refused(draft_of("acme"), asked(None, Some("cpu"), None)),
        ExplainError::Question(_)
    ));
    let none = refused(draft_of("acme"), asked(Some("acme"), Some("disk"), None));
    assert!(matches!(none, ExplainError::NoLine { .. }), "{none}");
    let other = asked(Some("acme"), Some("cpu"), Some(Hour(START.0 + 24 * 40)));
    assert!(matches!(
        refused(draft_of("acme"), other),
        ExplainError::Question(_)
    ));
    let nobody = refused(draft_of("nobody"), asked(None, None, None));
    assert!(nobody.to_string().contains("account set"), "{nobody}");
}

fn book(text: &str) -> Arc<PriceBook> {
    Arc::new(PriceBook::parse(text).unwrap_or_else(|faults| panic!("{faults:?}")))
}

fn asks(before: Prices, after: &str) -> what_if::Ask {
    what_if::Ask {
        month: month(),
        before,
        after: book(after),
        account: None,
        tenant: None,
    }
}

#[test]
fn a_month_under_other_prices_stands_beside_the_real_one() {
    let world = invoiced();
    let before = world.store.clone();
    let dearer = PRICES.replace("price = \"0.5\"", "price = \"0.75\"");
    let found = what_if(world.books(), &asks(Prices::Real, &dearer)).unwrap();
    let row = &found.rows[0];
    assert_eq!(
        (&*row.account, row.tenant.as_deref(), &*row.item),
        ("acme", Some("acme"), "cpu")
    );
    assert_eq!(
        (row.exact_before.to_string(), row.exact_after.to_string()),
        ("50".into(), "55".into())
    );
    // 10 % off and 6 % tax on both sides.
    let total = &found.total;
    assert_eq!(
        (&*total.before, &*total.after, &*total.difference),
        ("47.70", "52.47", "4.77")
    );
    assert_eq!((found.rows.len(), found.not_rated.len()), (1, 0));
    assert_eq!(world.store, before, "it touches nothing");

    let same = what_if(world.books(), &asks(Prices::Real, PRICES)).unwrap();
    assert_eq!((same.rows.len(), same.same_rows), (0, 1));
    assert_eq!(same.total.difference, "0.00");

    let mut of_tenant = asks(Prices::Book(book(&dearer)), PRICES);
    of_tenant.tenant = Some("acme".to_owned());
    let back = what_if(world.books(), &of_tenant).unwrap();
    assert_eq!(back.total.difference, "-5.00", "of a tenant its lines");
}

#[test]
fn a_book_that_does_not_fit_is_refused_or_told() {
    let world = invoiced();
    let euros = PRICES.replace("USD", "EUR");
    let refused = |ask: what_if::Ask| what_if(world.books(), &ask).unwrap_err();
    assert!(matches!(
        refused(asks(Prices::Real, &euros)),
        WhatIfError::Nobody(_)
    ));
    let mut named = asks(Prices::Real, &euros);
    named.account = Some("acme".to_owned());
    assert!(matches!(refused(named), WhatIfError::Currency { .. }));
    let mut nobody = asks(Prices::Real, PRICES);
    nobody.tenant = Some("nobody".to_owned());
    assert!(matches!(refused(nobody), WhatIfError::NoTenant(_)));
    let mixed = asks(Prices::Book(book(&euros)), PRICES);
    assert!(matches!(refused(mixed), WhatIfError::TwoCurrencies(..)));
    let mut ahead = asks(Prices::Real, PRICES);
    ahead.month = Month::parse("2030-01").unwrap();
    let told = what_if(world.books(), &ahead).unwrap();
    assert!(
        told.not_rated[0].reason.contains("has not begun"),
        "{:?}",
        told.not_rated
    );
}

fn closing(world: &World) -> Sheet {
    sheet(world.books(), month(), None).unwrap()
}

/// Metered, billed, free, late, unconfirmed, quarantined, discarded CPU time in seconds.
fn cpu_seconds(row: &Row) -> [i128; 7] {
    let parts = &row.usage;
    let texts = [
        &parts.metered,
        &parts.billed,
        &parts.free,
        &parts.late,
        &parts.unconfirmed,
        &parts.quarantined,
        &parts.discarded,
    ];
    texts.map(|it| it.parse::<i128>().unwrap() / SECOND.cast_signed())
}

#[test]
fn a_closed_month_balances_and_says_what_it_comes_to() {
    let mut world = invoiced();
    let closed = closing(&world);
    assert!(closed.balances && closed.is_final, "{closed:?}");
    assert!(
        closed.verdict.starts_with("balances, 1 of 1 rows: "),
        "{}",
        closed.verdict
    );
    assert_eq!(cpu_seconds(&closed.rows[0]), [60, 60, 0, 0, 0, 0, 0]);
    // At list price all is at 1; the second tier's prices made it 50.
    assert_eq!((&*closed.at_list.billed, &*closed.at_list.metered), ("60", "60"));
    assert_eq!(closed.amount_exact.to_string(), "50");
    let account = &closed.accounts[0];
    let money = [account.subtotal, account.discounts, account.taxes, account.total].map(|it| it.number());
    assert_eq!(money, ["50.00", "-5.00", "2.70", "47.70"]);
    assert_eq!(
        (account.status, account.number.as_deref()),
        ("invoiced", Some("INV-000001"))
    );

    // What was inferred of the hole is taken back, and 15 of the 20 seconds are measured: less by 5 waits.
    world.take_batch(sent(2, (30 * SECOND, 45 * SECOND)));
    world.flush();
    let late = closing(&world);
    let of = |sheet: &Sheet| cpu_seconds(&sheet.rows[0]);
    assert!(late.balances, "{late:?}");
    assert_eq!(late.accounts, closed.accounts, "I9");
    assert_eq!(of(&late), [55, 60, 0, -5, 0, 0, 0]);
}

#[test]
fn an_open_month_shows_what_has_accrued_and_what_is_held() {
    let (mut world, _) = billed();
    let possible = u128::from(MINUTE_MS + crate::limits::CPU_SLACK_MS) * 2_000_000;
    let lie = world.take_batch(sent(5, (60 * SECOND, 60 * SECOND + possible + SECOND)));
    assert_eq!(reason_of(&lie), Some(Reason::Implausible));
    let held = world.aggregator.position();
    world.flush();
    let open = closing(&world);
    assert!(open.balances && !open.is_final, "{open:?}");
    let much = ((possible + SECOND) / SECOND).cast_signed();
    assert_eq!(cpu_seconds(&open.rows[0]), [40 + much, 40, 0, 0, 0, much, 0]);
    let accrued = &open.accounts[0];
    assert_eq!(
        (accrued.status, accrued.total.number()),
        ("accrued", "38.16".to_owned())
    );
    assert_eq!(open.sums[3].total, accrued.total);

    let reason = "a lie".to_owned();
    applied(
        &mut world,
        Command::DiscardBatch {
            position: held,
            reason,
        },
    );
    world.flush();
    let refused = closing(&world);
    assert_eq!(cpu_seconds(&refused.rows[0]), [40 + much, 40, 0, 0, 0, 0, much]);
    let text = csv(&refused);
    assert_eq!(text.lines().count(), 1 + 1 + 1 + 1 + 1 + 4, "{text}");
    let columns = text.lines().map(|it| it.split(',').count());
    assert!(columns.into_iter().all(|it| it == 24), "{text}");
}

#[test]
fn what_is_free_rounded_or_nobodys_has_its_place() {
    let hours = "format = 1\nname = \"Hours\"\ncurrency = \"USD\"\n\
        [[item]]\nkey = \"cpu\"\ntitle = \"CPU\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-hour\"\n\
        model = \"package\"\nprice = \"2\"\nsize = \"1\"\npackage_over = \"month\"\nallowance = \"0.01\"\n\
        allowance_over = \"month\"\n";
    let (mut world, terms, month_hours) = with_a_bill_of(hours);
    // 40 seconds and one nanosecond: 0.011111111 hours, rounded once.
    world.take_batch(sent(4, (60 * SECOND, 60 * SECOND + 1)));
    world.flush();
    let open = closing(&world);
    let row = &open.rows[0];
    assert!(open.balances, "{open:?}");
    let parts = &row.usage;
    assert_eq!((&*parts.metered, &*parts.free), ("40000000001", "36000000000"));
    // 0.001111111 hours are 3.9999996 seconds; the rest was less than a thousand-millionth of an hour.
    assert_eq!((&*parts.billed, &*parts.rounding), ("3999999600", "401"));
    assert_eq!(
        (&*row.at_list.free, &*row.at_list.billed),
        ("2", "2"),
        "whole packages"
    );
    assert_eq!(row.amount_exact.to_string(), "2");
    assert!(open.not_billed[0].reason.contains("account set"), "{open:?}");

    // The claim is given up from the month's second half on: what comes then is nobody's.
    let nobody = crate::registry::TenantTerms {
        claims: vec!["other".into()],
        from: START,
        ..terms
    };
    applied(&mut world, Command::SetTenant(nobody));
    let sheet = closing(&world);
    assert!(sheet.balances, "{sheet:?}");
    assert_eq!(sheet.rows[0].usage.unconfirmed, "40000000001");
    assert!(month_hours.contains(&START));
    let euro = Currency::parse("EUR").unwrap();
    let none = crate::sheet::sheet(world.books(), month(), Some(euro)).unwrap_err();
    assert!(none.to_string().contains("EUR"), "{none}");
    let ahead = crate::sheet::sheet(world.books(), Month::parse("2030-01").unwrap(), None);
    assert!(matches!(ahead, Err(SheetError::NotBegun(_))));
}
