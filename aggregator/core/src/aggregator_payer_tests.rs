//! Another account pays for a tenant: each month is on the invoice of who paid for it then.

use std::sync::Arc;

use super::*;
use crate::accounts::what_if::{Ask, Prices, what_if};
use crate::rating::{BillingZone, PriceBook};
use crate::registry::TenantTerms;
use crate::restart::{read_registry_like, read_registry_until};

fn next() -> Month {
    month().next().unwrap()
}

fn hours_of(month: Month) -> std::ops::Range<Hour> {
    BillingZone::utc().month_hours(month).unwrap()
}

/// The tenant's terms, with another account from an hour on.
fn moved(world: &World, account: &str, from: Hour) -> Command {
    let known = world
        .aggregator
        .registry()
        .tenants
        .latest("acme")
        .unwrap()
        .clone();
    Command::SetTenant(TenantTerms {
        account: account.into(),
        from,
        ..known
    })
}

fn register(world: &mut World, account: &str, currency: &str) {
    let known = &world.aggregator.registry().payers.accounts["acme"];
    let account = Account {
        account: account.into(),
        currency: currency.into(),
        ..known.clone()
    };
    applied(world, Command::SetAccount(Box::new(account)));
}

/// Protects: months before the change stay with who paid for them, what comes late for them too; the new payer begins with
/// tiers of its own.
#[test]
fn each_month_is_on_the_invoice_of_who_paid_for_it_then() {
    let mut world = final_month();
    register(&mut world, "beta", "USD");
    let change = moved(&world, "beta", hours_of(next()).start);
    applied(&mut world, change);
    let both = ["acme".to_owned(), "beta".to_owned()];
    let first = run::drafts(world.books(), month(), &both).unwrap();
    assert_eq!(first.nothing, ["beta"]);
    assert_eq!(first.drafts[0].document.account.key, "acme");
    issue(&mut world, first.drafts);
    late_host(&mut world);
    let hours = hours_of(next());
    let (since, until) = (
        u64::from(hours.start.0 - START.0),
        u64::from(hours.end.0 - START.0),
    );
    let in_december = Sent {
        minute: since * 60 + 30,
        ..sent(6, (60 * SECOND, 90 * SECOND))
    };
    assert!(matches!(world.take_batch(in_december), Answer::Ack(_)));
    for (seq, hours) in [(7, until - 1), (8, until)] {
        world.pass(seq, hours, 90 * SECOND);
        world.close();
    }
    let second = run::drafts(world.books(), next(), &both).unwrap();
    assert_eq!(second.not_billed, []);
    let [acme, beta] = &second.drafts[..] else {
        panic!("two invoices: {second:?}");
    };
    assert_eq!(
        rows(acme),
        [(Some(MONTH), "cpu", "10.00"), (Some(MONTH), "discounts", "-1.00")]
    );
    assert_eq!(rows(beta), [(None, "cpu", "30.00")]);
    for (month, account) in [(month(), "acme"), (next(), "beta")] {
        let bill = bill_of(&world, hours_of(month));
        assert_eq!(bill.account, account);
        let ask = Ask {
            month,
            before: Prices::Real,
            after: PriceBook::parse(PRICES).unwrap().into(),
            account: None,
            tenant: Some("acme".into()),
        };
        let found = what_if(world.books(), &ask).unwrap();
        assert_eq!(found.accounts[0].account, account);
    }
}

/// Protects: nobody is made to pay for a part of a month, for a final one, or in another currency.
#[test]
fn who_pays_changes_with_an_open_month() {
    let mut world = final_month();
    register(&mut world, "beta", "USD");
    register(&mut world, "euro", "EUR");
    let start = hours_of(next()).start;
    let table = [
        ("beta", start.next(), "first hour"),
        ("beta", hours_of(month()).start, "2025-11 is final"),
        ("beta", Hour(0), "is final"),
        ("euro", start, "currency EUR"),
    ];
    for (account, from, reason) in table {
        let change = moved(&world, account, from);
        let Answer::Rejected(refused) = world.command(change) else {
            panic!("{account} from {from:?}");
        };
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    let change = moved(&world, "beta", start);
    applied(&mut world, change);
    // Back in the middle of a month, also where only the terms behind these would bring it back.
    let back = moved(&world, "acme", Hour(start.0 + 5));
    assert!(matches!(world.command(back), Answer::Rejected(_)));
    let renamed = moved(&world, "beta", Hour(start.0 + 5));
    applied(&mut world, renamed);
    let back = moved(&world, "acme", start);
    assert!(matches!(world.command(back), Answer::Rejected(_)));
}

/// Protects: the registry of any earlier position is the same whether it shares what did not change or is folded whole.
#[test]
fn a_shared_registry_is_the_folded_one() {
    let mut world = final_month();
    register(&mut world, "beta", "USD");
    let change = moved(&world, "beta", hours_of(next()).start);
    applied(&mut world, change);
    next_month(&mut world);
    let now = world.aggregator.registry();
    let (mut shared, newest) = (0, world.books().position);
    for position in 0..=newest {
        let like = read_registry_like(&world.store, position, now).unwrap();
        let whole = read_registry_until(&world.store, position).unwrap();
        assert_eq!(format!("{like:?}"), format!("{whole:?}"), "position {position}");
        shared += usize::from(Arc::ptr_eq(&like.tenants, &now.tenants));
    }
    assert!(shared > 700 && (shared as u64) < newest, "{shared} of {newest}");
}

/// Protects: usage whose payer nobody registered, or registered too late for the run by itself, is told by every run, and once
/// it is billed no more.
#[test]
fn usage_without_a_payer_that_can_be_billed_is_told() {
    let (world, terms, hours) = with_a_bill_of(PRICES);
    let mut world = until_final((world, u64::from(hours.end.0 - START.0)));
    let idle = TenantTerms {
        tenant: "idle".into(),
        claims: vec!["idle".into()],
        account: "idle".into(),
        ..terms.clone()
    };
    applied(&mut world, Command::SetTenant(idle));
    let told = |world: &World| {
        let looked = run::open(world.books()).unwrap();
        assert_eq!(looked.due, []);
        let told = looked.passed_over.into_iter();
        let told =
            told.flat_map(|(month, all)| all.into_iter().map(move |it| (month, it.account, it.reason)));
        told.collect::<Vec<_>>()
    };
    let ordered = |world: &World| {
        let both = ["acme".to_owned(), "idle".to_owned()];
        run::drafts(world.books(), month(), &both).unwrap()
    };
    for is_packed in [false, true] {
        if is_packed {
            assert!(pack(&mut world) > 0);
        }
        let [(of, account, reason)] = &told(&world)[..] else {
            panic!("{:?}", told(&world));
        };
        assert_eq!((*of, &**account), (month(), "acme"));
        assert!(
            reason.contains("nobody registered the account, which pays for the usage of tenant `acme`")
                && reason.contains("bill run --period 2025-11 --account acme"),
            "{reason}"
        );
        let found = ordered(&world);
        assert_eq!(
            (&*found.not_billed[0].reason, found.not_billed.len()),
            (&**reason, 1)
        );
        assert_eq!(found.nothing, ["idle"]);
    }
    register_payer(&mut world, &terms);
    let reason = &told(&world)[0].2;
    assert!(
        reason.contains("registered when 2025-11 was final already"),
        "{reason}"
    );
    let drafts = ordered(&world).drafts;
    issue(&mut world, drafts);
    assert_eq!(told(&world), []);
}
