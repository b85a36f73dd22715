//! Tables and decisions of money: every act once, through the composer, and every row that it leaves (docs/FORMATS.md).
//!
//! Values are JSON, so that they can be read without this program for as long as they must be kept; the file holds them as
//! they are. A change of it is a change of what old books mean.

use std::fmt::Write;

use tallyman_aggregator_core::accounts::command::{Draft, NoteLine, NoteTax, Outcome};
use tallyman_aggregator_core::accounts::document::{
    Coverage, DOCUMENT_FORMAT, Deduction, Document, Kind, Line, Party, Period, Section, SectionKind, Tax,
};
use tallyman_aggregator_core::accounts::{MoneyCommand, rebuild};
use tallyman_aggregator_core::aggregator::{Aggregator, Answer, Asker, Event, initialise};
use tallyman_aggregator_core::log::decode_decision;
use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::Table;
use tallyman_aggregator_core::rating::{Moment, Moments};
use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::registry::money::{Adjusted, Allocation, BilledFee, Granted, MoneyAct, Rest};
use tallyman_common::money::Money;
use tallyman_common::time::WallMs;

use crate::layout::{folder, updates};
use crate::sample;

pub const FILES: &[&str] = &["money-v1.jsonl"];

/// 2026-12-04 in UTC.
const NOW: WallMs = WallMs(1_796_342_400_000);

#[test]
fn every_act_and_what_it_leaves() {
    let mut store = MemoryStore::default();
    initialise(&mut store, sample::STORE).unwrap();
    let mut aggregator = Aggregator::open(&store, NOW).unwrap();
    let mut at = NOW;
    for (ticket, command) in (0..).zip(commands()) {
        if matches!(command, MoneyCommand::ExpireCredits { .. }) {
            at = WallMs(NOW.0 + 1_000);
        }
        let asker = Asker {
            actor: "alice".to_owned(),
            source: "cli".to_owned(),
        };
        let event = Event::Money(ticket, asker, Box::new(command.clone()));
        aggregator.step(at, event, &store).unwrap();
        let answers = aggregator.commit(at, true, &mut store).unwrap().into_inner();
        let done = matches!(&answers[..], [(_, Answer::Booked(booked))] if booked.position.is_some());
        assert!(done, "{command:?}\n{answers:?}");
    }
    assert_eq!(rebuild::faults(&store).unwrap(), []);
    let mut acts = [false; 12];
    for (_, value) in store.table(Table::Decisions) {
        let Command::Money(money) = decode_decision(value).unwrap().command else {
            panic!("only money was moved");
        };
        acts[place(&money.act)] = true;
    }
    assert_eq!(acts, [true; 12], "an act is not in the file");
    let path = folder().join("money-v1.jsonl");
    let text = rows(&store);
    if updates() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

/// A new act does not compile until it is here; then it belongs into the file.
fn place(act: &MoneyAct) -> usize {
    match act {
        MoneyAct::Issue { .. } => 0,
        MoneyAct::Pay { .. } => 1,
        MoneyAct::ApplyBalance { .. } => 2,
        MoneyAct::Refund { .. } => 3,
        MoneyAct::Grant(_) => 4,
        MoneyAct::Expire { .. } => 5,
        MoneyAct::Note { .. } => 6,
        MoneyAct::Void { .. } => 7,
        MoneyAct::OpenDispute { .. } => 8,
        MoneyAct::AnswerDispute { .. } => 9,
        MoneyAct::ResolveDispute { .. } => 10,
        MoneyAct::SetExternalTaxNumber { .. } => 11,
    }
}

fn rows(store: &MemoryStore) -> String {
    let mut text = String::new();
    let tables = [
        Table::Decisions,
        Table::Documents,
        Table::Receivables,
        Table::Balances,
        Table::Journal,
        Table::MoneyIndex,
    ];
    for table in tables {
        for (key, value) in store.table(table) {
            let value = match std::str::from_utf8(value).unwrap() {
                "" => "null",
                json => json,
            };
            let key = serde_json::to_string(&key.escape_ascii().to_string()).unwrap();
            writeln!(
                text,
                "{{\"table\":\"{}\",\"key\":{key},\"value\":{value}}}",
                table.name()
            )
            .unwrap();
        }
    }
    text
}

fn money(number: &str) -> Money {
    Money::parse(&format!("{number} CNY")).unwrap()
}

fn own(text: &str) -> String {
    text.to_owned()
}

fn account() -> String {
    own("acme-group")
}

fn number() -> String {
    own("INV-000001")
}

fn reason() -> String {
    own("agreed by telephone")
}

fn commands() -> Vec<MoneyCommand> {
    [movements(), corrections()].concat()
}

fn movements() -> Vec<MoneyCommand> {
    let allocation = |amount| Allocation {
        number: number(),
        amount: money(amount),
    };
    vec![
        MoneyCommand::GrantCredit(Granted {
            key: own("welcome"),
            account: account(),
            title: own("新用户赠金"),
            amount: money("20.00"),
            priority: 50,
            expires: Some(WallMs(NOW.0 + 1_000)),
            items: vec![own("storage")],
        }),
        MoneyCommand::IssueInvoices {
            month: own("2026-11"),
            documents: vec![draft()],
        },
        MoneyCommand::Pay {
            trace: own("bank-77"),
            reference: own("slip 77"),
            account: account(),
            source: own("bank"),
            on: own("2026-12-04"),
            amount: money("60.00"),
            allocations: vec![allocation("40.00")],
            rest_to_balance: true,
        },
        MoneyCommand::ApplyBalance {
            trace: own("apply-1"),
            account: account(),
            allocations: vec![allocation("10.00")],
        },
        MoneyCommand::Refund {
            trace: own("refund-1"),
            account: account(),
            reference: own("transfer 9"),
            source: own("bank"),
            amount: money("5.00"),
            reason: reason(),
        },
    ]
}

fn corrections() -> Vec<MoneyCommand> {
    vec![
        MoneyCommand::OpenDispute {
            trace: own("dispute-1"),
            number: number(),
            amount: money("12.00"),
            reason: own("never ordered"),
        },
        MoneyCommand::AnswerDispute {
            trace: own("dispute-2"),
            number: number(),
            text: own("we look at it"),
        },
        MoneyCommand::ResolveDispute {
            trace: own("dispute-3"),
            number: number(),
            outcome: Outcome::Credited(money("10.60")),
            reason: reason(),
        },
        MoneyCommand::IssueNote {
            trace: own("note-1"),
            kind: Kind::DebitNote,
            corrects: number(),
            lines: vec![NoteLine {
                title: own("补计流量"),
                amount: money("5.30"),
                line: None,
            }],
            reason: reason(),
            due: Some(own("2027-01-31")),
            // What came late between two positions of the log.
            adjusted: Some(Adjusted {
                month: own("2026-11"),
                since: 1,
                upto: 900,
            }),
            taxes: vec![NoteTax {
                title: own("增值税"),
                percent: own("6"),
                basis: money("5.30"),
                amount: money("0.30"),
            }],
        },
        MoneyCommand::SetExternalTaxNumber {
            trace: own("tax-1"),
            number: number(),
            text: own("24312000000012345678"),
        },
        MoneyCommand::Void {
            trace: own("void-1"),
            number: number(),
            reason: own("sent to the wrong company"),
        },
        MoneyCommand::ExpireCredits {
            upto: WallMs(NOW.0 + 1_000),
            rests: Some(vec![Rest {
                account: own("acme-group"),
                key: own("welcome"),
                amount: money("20.00"),
            }]),
        },
    ]
}

fn party(key: &str, name: &str) -> Party {
    Party {
        key: key.to_owned(),
        name: name.to_owned(),
        address: vec!["上海市".to_owned()],
        tax_id: Some("91310000MA1FL5120X".to_owned()),
        contact: Vec::new(),
        bank: Vec::new(),
    }
}

fn line() -> Line {
    Line {
        number: 1,
        item: own("storage"),
        title: own("存储容量"),
        unit: Some(own("GiB-hour")),
        quantity: Some(own("100000")),
        unit_price: Some(own("0.0011")),
        tiers: Vec::new(),
        amount_exact: own("110"),
        amount: own("110.00"),
        tax_class: own("standard"),
        note: None,
        corrects_line: None,
    }
}

fn fee() -> BilledFee {
    let moment = |text: &str| Moment::parse(text).expect("a moment");
    let (from, until) = (moment("2026-12-01"), moment("2027-01-01"));
    BilledFee {
        plan: own("pro"),
        title: own("专业版"),
        tax_class: own("standard"),
        from,
        until,
        more: Moments::between(from, until),
        less: Moments::none(),
        fee: Money::parse("10.00 CNY").expect("money"),
        net: Money::parse("8.00 CNY").expect("money"),
    }
}

fn deduction(key: &str, amount: &str) -> Deduction {
    Deduction {
        key: own(key),
        title: own(key),
        percent: None,
        basis: None,
        amount: own(amount),
    }
}

fn draft() -> Draft {
    let document = Document {
        format: DOCUMENT_FORMAT,
        kind: Kind::Invoice,
        id: own("00112233445566778899aabbccddeeff"),
        number: None,
        corrects: None,
        reason: None,
        issued: None,
        due: None,
        seller: party("cloud", "云海存储有限公司"),
        account: party("acme-group", "华东 Acme"),
        period: Period {
            month: own("2026-11"),
            start: own("2026-10-31T16:00:00Z"),
            end: own("2026-11-30T16:00:00Z"),
            zone: own("Asia/Shanghai"),
        },
        language: own("zh"),
        currency: own("CNY"),
        rounding: own("half_up"),
        order: vec![own("discounts"), own("credits"), own("tax")],
        sections: vec![Section {
            kind: SectionKind::Usage,
            tenant: Some(own("acme")),
            title: own("Acme"),
            month: None,
            lines: vec![line()],
            subtotal: own("110.00"),
        }],
        subtotal: own("110.00"),
        discounts: vec![deduction("annual", "-10.00")],
        credits: vec![deduction("welcome", "-15.00")],
        taxes: vec![Tax {
            title: own("增值税"),
            percent: own("6"),
            basis: own("85.00"),
            amount: own("5.10"),
            included: false,
        }],
        total: own("90.10"),
        coverage: Coverage {
            complete: true,
            expected_node_minutes: 43_200,
            received_node_minutes: 43_200,
            held_node_minutes: 0,
            missing: Vec::new(),
            inferred: Vec::new(),
        },
        faults: Vec::new(),
        price_books: Vec::new(),
        position: 1,
        adjusted: Vec::new(),
        fees: vec![fee()],
    };
    Draft {
        prefix: own("INV"),
        issued: own("2026-12-04"),
        due: own("2027-01-03"),
        document,
    }
}
