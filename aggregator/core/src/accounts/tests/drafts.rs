//! Small documents, made by hand.

use tallyman_common::ids::{Digest, hex};
use tallyman_common::money::{Money, Percent, Rounding, WideAmount};

use super::world::{day, money};
use crate::accounts::command::Draft;
use crate::accounts::document::{
    Adjusted, BilledFee, Coverage, DOCUMENT_FORMAT, Deduction, Document, Kind, Line, Party, Period, Section,
    SectionKind, Tax,
};
use crate::rating::Moments;

/// A draft: one line of `subtotal`, and what the words add: `tax 6.00`, `included 6.00`, `rate 13 50.00`, `discount 1.00`, `credit KEY 5.00`,
/// `seller KEY`, `prefix INV`, `again INV-000001`, `late 2026-10 5 9`, `ahead 2026-12`.
pub fn draft(account: &str, month: &str, subtotal: &str, words: &[&str]) -> Draft {
    let mut document = blank(account, month);
    let mut total = money(subtotal);
    let mut prefix = "INV".to_owned();
    let less = |amount: &str| money("0.00").checked_sub(money(amount)).unwrap();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || *words.next().unwrap();
        match *word {
            "tax" => {
                let amount = next();
                document.taxes.push(tax(amount, false));
                total = total.checked_add(money(amount)).unwrap();
            }
            "included" => document.taxes.push(tax(next(), true)),
            // A rate with what it is taken from.
            "rate" => {
                let rated = rated(next(), money(next()));
                total = total.checked_add(money(&rated.amount)).unwrap();
                document.taxes.push(rated);
            }
            "discount" => {
                let amount = less(next());
                total = total.checked_add(amount).unwrap();
                document.discounts.push(deduction("annual", amount));
            }
            "credit" => {
                let key = next();
                let amount = less(next());
                total = total.checked_add(amount).unwrap();
                document.credits.push(deduction(key, amount));
            }
            "seller" => document.seller.key = next().to_owned(),
            "prefix" => prefix = next().to_owned(),
            // In the place of a void one.
            "again" => {
                let void = next().to_owned();
                document.id = hex(&Digest::of(&[document.id.as_bytes(), void.as_bytes()]).0[..16]);
                document.corrects = Some(void);
            }
            // Late usage of a month, from one position to another.
            "late" => {
                let (month, since, upto) = (next().to_owned(), next().parse(), next().parse());
                let (since, upto) = (since.unwrap(), upto.unwrap());
                document.adjusted.push(Adjusted { month, since, upto });
            }
            // A fee of a month ahead.
            "ahead" => {
                document.fees.push(fee_ahead(next()));
            }
            other => panic!("not understood: {other}"),
        }
    }
    document.sections[0].lines[0].amount = subtotal.to_owned();
    document.sections[0].subtotal = subtotal.to_owned();
    document.subtotal = subtotal.to_owned();
    document.total = total.number();
    Draft {
        prefix,
        issued: "2026-12-04".to_owned(),
        due: "2027-01-03".to_owned(),
        document,
    }
}

/// A fee that is billed a month ahead.
fn fee_ahead(month: &str) -> BilledFee {
    let from = day(&format!("{month}-01"));
    let until = from.next().unwrap();
    BilledFee {
        plan: "pro".to_owned(),
        title: "Pro".to_owned(),
        tax_class: "standard".to_owned(),
        from: from.into(),
        until: until.into(),
        more: Moments::none(),
        less: Moments::none(),
        fee: money("20.00"),
        net: money("20.00"),
    }
}

fn rated(percent: &str, basis: Money) -> Tax {
    let rate = Percent::parse(percent).unwrap();
    let amount = WideAmount::of_money(basis).percent(rate, 1, basis.currency(), Rounding::HalfUp);
    Tax {
        percent: percent.to_owned(),
        basis: basis.number(),
        ..tax(&amount.unwrap().number(), false)
    }
}

fn tax(amount: &str, included: bool) -> Tax {
    Tax {
        title: "增值税".to_owned(),
        percent: "6".to_owned(),
        basis: "0.00".to_owned(),
        amount: amount.to_owned(),
        included,
    }
}

fn deduction(key: &str, amount: Money) -> Deduction {
    Deduction {
        key: key.to_owned(),
        title: key.to_owned(),
        percent: None,
        basis: None,
        amount: amount.number(),
    }
}

fn party(key: &str) -> Party {
    Party {
        key: key.to_owned(),
        name: key.to_owned(),
        address: Vec::new(),
        tax_id: None,
        contact: Vec::new(),
        bank: Vec::new(),
    }
}

fn blank(account: &str, month: &str) -> Document {
    let id = Digest::of(&[account.as_bytes(), month.as_bytes()]);
    let line = Line {
        number: 1,
        item: "storage".to_owned(),
        title: "Storage".to_owned(),
        unit: None,
        quantity: None,
        unit_price: None,
        tiers: Vec::new(),
        amount_exact: "0".to_owned(),
        amount: "0.00".to_owned(),
        tax_class: "standard".to_owned(),
        note: None,
        corrects_line: None,
    };
    Document {
        format: DOCUMENT_FORMAT,
        kind: Kind::Invoice,
        id: hex(&id.0[..16]),
        number: None,
        corrects: None,
        reason: None,
        issued: None,
        due: None,
        seller: party("cloud"),
        account: party(account),
        period: Period {
            month: month.to_owned(),
            start: "2026-11-01T00:00:00Z".to_owned(),
            end: "2026-12-01T00:00:00Z".to_owned(),
            zone: "UTC".to_owned(),
        },
        language: "en".to_owned(),
        currency: "CNY".to_owned(),
        rounding: "half_up".to_owned(),
        order: Vec::new(),
        sections: vec![Section {
            kind: SectionKind::Usage,
            tenant: Some(account.to_owned()),
            title: account.to_owned(),
            month: None,
            lines: vec![line],
            subtotal: "0.00".to_owned(),
        }],
        subtotal: "0.00".to_owned(),
        discounts: Vec::new(),
        credits: Vec::new(),
        taxes: Vec::new(),
        total: "0.00".to_owned(),
        coverage: Coverage {
            complete: true,
            expected_node_minutes: 0,
            received_node_minutes: 0,
            held_node_minutes: 0,
            missing: Vec::new(),
            inferred: Vec::new(),
        },
        faults: Vec::new(),
        price_books: Vec::new(),
        position: 1,
        adjusted: Vec::new(),
        fees: Vec::new(),
    }
}
