//! Why an amount, what if, and the closing sheet over HTTP and the command line's questions: who may ask, what is answered.

use serde_json::{Value, json};
use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::draft::{Purpose, draft};
use tallyman_aggregator_core::rating::{BillingZone, Month};
use tallyman_aggregator_core::registry::{Account, Command, Seller, TenantTerms};

use super::page::check;
use super::world::{BOOK, Got, World, request, run};
use crate::cli::why::Why;

/// A seller, the account of `acme`, and an invoice of the running month.
async fn invoiced() -> World {
    let world = World::new().await;
    let seller = Seller {
        seller: "cloud".into(),
        name: "Cloud".into(),
        address: vec![],
        tax_id: None,
        contact: vec![],
        bank: vec![],
        prefix: "INV".into(),
    };
    world.decide(Command::SetSeller(Box::new(seller))).await;
    let account = Account {
        account: world.payer("acme"),
        organisation: None,
        name: "Acme".into(),
        seller: "cloud".into(),
        currency: "USD".into(),
        zone: "UTC".into(),
        language: "en".into(),
        address: vec![],
        tax_id: None,
        contact: vec![],
        due_days: 30,
    };
    world.decide(Command::SetAccount(Box::new(account))).await;
    let (account, month) = (world.payer("acme"), world.month_text());
    let of = Month::parse(&month).unwrap();
    let drafted = world
        .handle
        .read(move |books| draft(books, &account, of, Purpose::Preview));
    let documents = vec![drafted.await.unwrap().unwrap()];
    let issue = MoneyCommand::IssueInvoices { month, documents };
    let booked = world.handle.money("test".into(), "test".into(), issue).await;
    assert!(booked.unwrap().position.is_some());
    world
}

const EXPLAIN: &str = "/api/v1/billing/invoices/INV-000001/explain";
const WHAT_IF: &str = "/api/v1/admin/what-if";

fn member<'a>(got: &'a Got, path: &str) -> &'a str {
    let found = got.json.pointer(path).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("{path}: {}", got.text))
}

#[test]
fn a_line_is_explained_to_who_may_see_it() {
    run(async {
        let world = invoiced().await;
        let all = world.get(EXPLAIN, &world.operator).await;
        assert_eq!(all.json["lines"].as_array().unwrap().len(), 2, "{}", all.text);
        let hour = format!("{EXPLAIN}?tenant=acme&item=cpu&hour={}", world.hour_text());
        let deep = world.get(&hour, &world.operator).await;
        check("GET /api/v1/billing/invoices/{id}/explain", &deep);
        assert_eq!(deep.json["agrees"], true, "{}", deep.text);
        assert_eq!(member(&deep, "/sum_exact"), "4");
        let node = world.node.to_string();
        assert_eq!(member(&deep, "/sources/owners/0/nodes/0/node"), node);

        let own = world.get(&hour, &world.acme).await;
        assert_eq!(own.status, 200, "{}", own.text);
        assert!(!own.text.contains(&node), "a tenant sees opaque names");
        assert_eq!(member(&own, "/lines/0/amount"), "4.00");
        world.get(&hour, &world.east).await.problem(404, "not-found");
        let others = world.get(EXPLAIN, &world.east).await;
        others.problem(404, "not-found");
        #[rustfmt::skip]
        let wrong = [
            ("?tenant=acme&item=disk",      404, "not-found"),
            ("?tenant=acme&hour=2026-01",   400, "parameter"),
            ("?item=cpu",                   400, "parameter"),
            ("?tenant=nobody",              404, "not-found"),
            ("?tenant_id=acme",             400, "unknown-parameter"),
        ];
        for (query, status, kind) in wrong {
            let got = world.get(&format!("{EXPLAIN}{query}"), &world.operator).await;
            got.problem(status, kind);
        }
        let none = world.get(&EXPLAIN.replace("000001", "000009"), &world.acme).await;
        none.problem(404, "not-found");
    });
}

#[test]
fn where_tiers_are_shared_a_tenant_is_not_told_what_the_others_use() {
    run(async {
        let world = invoiced().await;
        let month = Month::parse(&world.month_text()).unwrap();
        let from = BillingZone::utc().month_hours(month).unwrap().start;
        let other = TenantTerms {
            tenant: "zoe".into(),
            name: "Zoe".into(),
            claims: vec!["zoe".into()],
            account: world.payer("acme"),
            zone: "UTC".into(),
            currency: "USD".into(),
            language: "en".into(),
            from,
        };
        world.decide(Command::SetTenant(other)).await;
        let path = format!("{EXPLAIN}?tenant=acme&item=cpu");
        let own = world.get(&path, &world.acme).await;
        assert_eq!(own.status, 200, "tiers of its own: {}", own.text);
        let pooled = Command::SetTerms {
            account: world.payer("acme"),
            text: "format = 1\npools = true\n".into(),
            from,
        };
        world.decide(pooled).await;
        let own = world.get(&path, &world.acme).await;
        own.problem(403, "operator-only");
        let operators = world.get(&path, &world.operator).await;
        assert_eq!(operators.json["agrees"], true, "{}", operators.text);
    });
}

#[test]
fn what_was_agreed_is_shown_to_operators() {
    run(async {
        let world = invoiced().await;
        let account = world.payer("acme");
        let month = Month::parse(&world.month_text()).unwrap();
        let agreed = |text: &str| Command::SetTerms {
            account: account.clone(),
            text: text.to_owned(),
            from: BillingZone::utc().month_hours(month).unwrap().start,
        };
        for text in ["format = 1\n", "format = 1\npools = true\n"] {
            world.decide(agreed(text)).await;
        }
        let path = format!("/api/v1/admin/accounts/{account}/terms");
        let terms = world.get(&path, &world.operator).await;
        check("GET /api/v1/admin/accounts/{account}/terms", &terms);
        for (at, status, text) in [
            (0, "replaced", "format = 1\n"),
            (1, "in force", "format = 1\npools = true\n"),
        ] {
            assert_eq!(member(&terms, &format!("/terms/{at}/status")), status);
            assert_eq!(member(&terms, &format!("/terms/{at}/text")), text);
            assert_eq!(member(&terms, &format!("/terms/{at}/month")), month.to_string());
        }
        let accounts = world.get("/api/v1/admin/accounts", &world.operator).await;
        check("GET /api/v1/admin/accounts", &accounts);
        let draft = format!("/api/v1/admin/accounts/{account}/draft");
        let made = world
            .get(&format!("{draft}?month={month}"), &world.operator)
            .await;
        check("GET /api/v1/admin/accounts/{account}/draft", &made);
        assert_eq!(made.json["document"]["number"], serde_json::Value::Null);
        world.get(&draft, &world.operator).await.problem(400, "parameter");
        for path in ["/api/v1/admin/accounts", &path, &format!("{draft}?month={month}")] {
            world.get(path, &world.acme).await.problem(403, "operator-only");
        }
        for path in ["accounts/nobody/terms", "ledger/statements/nobody"] {
            let got = world.get(&format!("/api/v1/admin/{path}"), &world.operator).await;
            got.problem(404, "not-found");
        }
    });
}

async fn post_book(world: &World, query: &str, token: &str, book: &str) -> Got {
    let path = format!("{WHAT_IF}?{query}");
    world
        .send_request(request("POST", &path, token, Some(book.to_owned())))
        .await
}

#[test]
fn a_month_is_rated_under_a_book_that_is_sent() {
    run(async {
        let world = invoiced().await;
        let month = format!("period={}", world.month_text());
        let dearer = BOOK.replace("price = \"0.1\"", "price = \"0.15\"");
        let got = post_book(&world, &month, &world.operator, &dearer).await;
        check("POST /api/v1/admin/what-if", &got);
        assert_eq!(member(&got, "/total/difference"), "2.00");
        let one = format!("{month}&tenant=acme");
        let one = post_book(&world, &one, &world.operator, &dearer).await;
        assert_eq!(member(&one, "/total/before"), "4.02");
        let tenants = post_book(&world, &month, &world.acme, &dearer).await;
        tenants.problem(403, "operator-only");
        let faulty = BOOK.replace("price = \"0.1\"", "price = \"-1\"");
        let refused = post_book(&world, &month, &world.operator, &faulty).await;
        let words = refused.problem(422, "refused").json["detail"].as_str().unwrap();
        assert!(words.contains("line 15"), "{words}");
        let nobodys = BOOK.replace("\"USD\"", "\"EUR\"");
        let refused = post_book(&world, &month, &world.operator, &nobodys).await;
        refused.problem(422, "refused");
        let no_month = post_book(&world, "tenant=acme", &world.operator, &dearer).await;
        no_month.problem(400, "parameter");
        // Longer than other bodies may be.
        let long = format!("{dearer}\n# {}\n", "x".repeat(100_000));
        let long = post_book(&world, &month, &world.operator, &long).await;
        assert_eq!(long.status, 200, "{}", long.text);
        let much = "#".repeat(2 << 20);
        let much = post_book(&world, &month, &world.operator, &much).await;
        much.problem(413, "body-too-large");
    });
}

#[test]
fn a_month_is_closed_as_json_and_as_a_table() {
    run(async {
        let world = invoiced().await;
        let path = format!("/api/v1/admin/closing-sheet/{}", world.month_text());
        let got = world.get(&path, &world.operator).await;
        check("GET /api/v1/admin/closing-sheet/{month}", &got);
        assert_eq!(got.json["balances"], true, "{}", got.text);
        let cpu = &got.json["rows"][0]["usage"];
        // acme, who pays in USD; east, who does not; a stray claim; nobody.
        assert_eq!(
            (&cpu["billed"], &cpu["other_currencies"]),
            (&json!("40000000000"), &json!("20000000000"))
        );
        assert_eq!(
            (&cpu["unconfirmed"], &cpu["unattributed"], &cpu["metered"]),
            (&json!("2000000000"), &json!("1000000000"), &json!("63000000000"))
        );
        let mut as_csv = request("GET", &path, &world.operator, None);
        as_csv.headers_mut().insert("accept", "text/csv".parse().unwrap());
        let csv = world.send_request(as_csv).await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        assert!(
            csv.text.starts_with("table,name,title,unit,metered,"),
            "{}",
            csv.text
        );
        assert!(csv.text.contains("account,acme-account,"), "{}", csv.text);
        world.get(&path, &world.acme).await.problem(403, "operator-only");
        let wrong = world
            .get("/api/v1/admin/closing-sheet/soon", &world.operator)
            .await;
        wrong.problem(400, "parameter");
        let euro = world.get(&format!("{path}?currency=EUR"), &world.operator).await;
        euro.problem(409, "no-price-book");
        let ahead = world
            .get("/api/v1/admin/closing-sheet/2099-01", &world.operator)
            .await;
        ahead.problem(409, "conflict");
    });
}

#[test]
fn the_command_line_asks_the_same() {
    run(async {
        let world = invoiced().await;
        let month = world.month_text();
        let ask = |why: Why| world.handle.read(move |books| why.answer(books));
        let explained = ask(Why::Explain {
            invoice: None,
            account: Some(world.payer("acme")),
            month: Some(month.clone()),
            tenant: Some("acme".into()),
            item: Some("traffic".into()),
            hour: None,
        });
        let explained = explained.await.unwrap().unwrap();
        assert_eq!(
            (&explained["sum_exact"], &explained["agrees"]),
            (&json!("0.02"), &json!(true))
        );
        let name = "Test, USD".to_owned();
        let text = ask(Why::BookText { name }).await.unwrap().unwrap();
        assert_eq!(text["text"], BOOK);
        let unknown = ask(Why::BookText { name: "none".into() }).await.unwrap();
        assert!(unknown.unwrap_err().to_string().contains("price-book list"));
        let other = BOOK.replace("0.02", "0.03");
        let found = ask(Why::WhatIf {
            before: Some(BOOK.into()),
            after: other,
            month: month.clone(),
            account: None,
            tenant: None,
        });
        assert_eq!(found.await.unwrap().unwrap()["total"]["difference"], "0.01");
        let (currency, csv) = (Some("USD".into()), true);
        let sheet = ask(Why::Sheet { month, currency, csv }).await.unwrap().unwrap();
        assert_eq!(sheet["sheet"]["balances"], true);
        assert!(sheet["csv"].as_str().unwrap().contains("balances"));
    });
}
