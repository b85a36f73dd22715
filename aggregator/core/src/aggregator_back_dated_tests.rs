//! Claims that are set for months that are final: what they change is on the next invoice, as late usage is.

use super::*;
use crate::registry::TenantTerms;

fn claims(world: &mut World, claims: &[&str], from: Hour) {
    let known = world
        .aggregator
        .registry()
        .tenants
        .latest("acme")
        .unwrap()
        .clone();
    let changed = TenantTerms {
        claims: claims.iter().map(|it| (*it).to_owned()).collect(),
        from,
        ..known
    };
    applied(world, Command::SetTenant(changed));
}

fn november() -> Hour {
    crate::rating::BillingZone::utc()
        .month_hours(month())
        .unwrap()
        .start
}

/// Protects: usage of nobody becomes a tenant's after the month is final, and is billed once, in that month's tiers.
#[test]
fn a_claim_found_late_is_on_the_next_invoice_once() {
    let (mut world, hours) = billed();
    claims(&mut world, &[], Hour(0));
    world.pass(4, hours - 1, 60 * SECOND);
    world.close();
    world.pass(5, hours, 60 * SECOND);
    world.close();
    assert_eq!(drafts_of(&world, month()), [], "nothing is its own yet");
    claims(&mut world, &["acme"], november());
    next_month(&mut world);
    let next = month().next().unwrap();
    let drafts = drafts_of(&world, next);
    assert_eq!(
        rows(&drafts[0]),
        [(Some(MONTH), "cpu", "50.00"), (Some(MONTH), "discounts", "-5.00")]
    );
    let upto = drafts[0].document.adjusted[0].upto;
    issue(&mut world, drafts);
    let billed = adjust::accounted(&world.store, "acme", MONTH).unwrap();
    assert_eq!(billed, Accounted::Upto(upto));
}

/// Protects: what a tenant should not have had comes back, whole, and the invoice stays.
#[test]
fn a_claim_taken_away_late_comes_back() {
    let mut world = final_month();
    let first = drafts_of(&world, month());
    issue(&mut world, first);
    claims(&mut world, &[], november());
    next_month(&mut world);
    let drafts = drafts_of(&world, month().next().unwrap());
    assert_eq!(
        rows(&drafts[0]),
        [(Some(MONTH), "cpu", "-50.00"), (Some(MONTH), "discounts", "5.00")]
    );
}
