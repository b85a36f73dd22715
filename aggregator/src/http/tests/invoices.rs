//! Invoices and ledger over HTTP: who sees what, pages, movements that count once, and the page's examples.

use serde_json::{Value, json};
use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::accounts::command::Draft;
use tallyman_aggregator_core::rating::BillingZone;
use tallyman_aggregator_core::registry::{Command, TenantTerms};

use super::page::check;
use super::world::{World, run};

/// An invoice of one line.
fn draft(account: &str, month: &str, id: u8) -> Draft {
    let party = |key: &str| json!({"key": key, "name": key, "address": ["1 Main Street"], "tax_id": null, "contact": [], "bank": []});
    let document = json!({
        "format": 1, "kind": "invoice", "id": format!("{id:032x}"), "number": null, "corrects": null, "reason": null,
        "issued": null, "due": null, "seller": party("cloud"), "account": party(account),
        "period": {"month": month, "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "zone": "UTC"},
        "language": "en", "currency": "USD", "rounding": "half_up", "order": ["discounts", "credits", "tax"],
        "sections": [{
            "kind": "usage", "tenant": account, "title": account, "month": null,
            "lines": [{
                "number": 1, "item": "cpu", "title": "CPU time", "unit": "CPU-second", "quantity": "1000",
                "unit_price": "0.1", "tiers": [], "amount_exact": "100", "amount": "100.00", "tax_class": "standard",
                "note": null
            }],
            "subtotal": "100.00"
        }],
        "subtotal": "100.00", "discounts": [], "credits": [],
        "taxes": [{"title": "VAT", "percent": "6", "basis": "100.00", "amount": "6.00", "included": false}],
        "total": "106.00",
        "coverage": {
            "complete": true, "expected_node_minutes": 43200, "received_node_minutes": 43200, "held_node_minutes": 0,
            "missing": [], "inferred": []
        },
        "faults": [], "price_books": [], "position": 7
    });
    Draft {
        prefix: "INV".to_owned(),
        issued: "2026-12-04".to_owned(),
        due: "2027-01-03".to_owned(),
        document: serde_json::from_value(document).unwrap(),
    }
}

async fn issue(world: &World, account: &str, month: &str, id: u8) {
    let command = MoneyCommand::IssueInvoices {
        month: month.to_owned(),
        documents: vec![draft(account, month, id)],
    };
    let booked = world.handle.money("test".into(), "test".into(), command).await;
    assert!(booked.unwrap().position.is_some());
}

/// Registers the account that pays for a tenant.
async fn register(world: &World, tenant: &str) {
    let seller = json!({
        "seller": "cloud", "name": "Cloud", "address": [], "tax_id": null, "contact": [], "bank": [], "prefix": "INV"
    });
    let seller = serde_json::from_value(seller).unwrap();
    world.decide(Command::SetSeller(Box::new(seller))).await;
    let registry = world.handle.registry();
    let known = registry.tenants.latest(tenant).unwrap();
    let account = json!({
        "account": known.account, "organisation": null, "name": "Acme", "seller": "cloud", "currency": known.currency,
        "zone": known.zone, "language": "en", "address": [], "tax_id": null, "contact": [], "due_days": 30
    });
    let account = serde_json::from_value(account).unwrap();
    world.decide(Command::SetAccount(Box::new(account))).await;
}

fn numbers(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["number"].as_str().unwrap()).collect()
}

const INVOICES: &str = "/api/v1/billing/invoices";
const COMMANDS: &str = "/api/v1/admin/ledger/commands";

#[test]
fn a_tenant_sees_what_its_payer_owes_and_nothing_else() {
    run(async {
        let world = World::new().await;
        issue(&world, &world.payer("acme"), "2026-10", 1).await;
        issue(&world, &world.payer("acme"), "2026-11", 2).await;
        issue(&world, &world.payer("east"), "2026-11", 3).await;
        let all = world.get(INVOICES, &world.operator).await;
        assert_eq!(numbers(&all.json).len(), 3);
        let own = world.get(INVOICES, &world.acme).await;
        assert_eq!(numbers(&own.json), ["INV-000001", "INV-000002"]);
        let named = world
            .get(&format!("{INVOICES}?tenant_id=east"), &world.operator)
            .await;
        assert_eq!(numbers(&named.json), ["INV-000003"]);
        let others = world
            .get(&format!("{INVOICES}?tenant_id=east"), &world.acme)
            .await;
        others.problem(404, "not-found");
        for name in ["INV-000003", &format!("{:032x}", 3), "INV-000009"] {
            world
                .get(&format!("{INVOICES}/{name}"), &world.acme)
                .await
                .problem(404, "not-found");
        }
        let own = world.get(&format!("{INVOICES}/{:032x}", 2), &world.acme).await;
        assert_eq!(own.json["document"]["number"], "INV-000002");
        world
            .get("/api/v1/admin/ledger/trial-balance", &world.acme)
            .await
            .problem(403, "operator-only");
        let some = format!("{INVOICES}?period_start=2026-10-02&period_end=2026-12-01&status=overdue");
        assert_eq!(world.get(&some, &world.acme).await.status, 200);
        let page = world.get(&format!("{INVOICES}?limit=1"), &world.acme).await;
        assert_eq!(numbers(&page.json), ["INV-000001"]);
        let link = page.header("link").to_owned();
        let next = link.trim_start_matches('<').split('>').next().unwrap();
        let page = world.get(next, &world.acme).await;
        assert_eq!(numbers(&page.json), ["INV-000002"]);
        for wrong in ["status=late", "limit=0", "after=x", "period_start=soon"] {
            let got = world.get(&format!("{INVOICES}?{wrong}"), &world.acme).await;
            got.problem(400, "parameter");
        }
        let wrong = world.get(&format!("{INVOICES}?tenant=acme"), &world.acme).await;
        wrong.problem(400, "unknown-parameter");
    });
}

#[test]
fn an_invoice_is_a_file_too_and_the_same_one_each_time() {
    run(async {
        let world = World::new().await;
        issue(&world, &world.payer("acme"), "2026-11", 1).await;
        issue(&world, &world.payer("east"), "2026-11", 2).await;
        let path = format!("{INVOICES}/INV-000001/download");
        let pdf = world.get(&path, &world.acme).await;
        assert_eq!(pdf.status, 200);
        assert_eq!(pdf.header("content-type"), "application/pdf");
        assert_eq!(
            pdf.header("content-disposition"),
            "attachment; filename=\"INV-000001.pdf\""
        );
        assert!(pdf.bytes.starts_with(b"%PDF-"));
        assert!(world.get(&path, &world.operator).await.bytes == pdf.bytes);
        let page = world.get(&format!("{path}?format=html"), &world.acme).await;
        assert!(page.text.contains("INV-000001") && page.text.contains("106.00"));
        let data = world.get(&format!("{path}?format=json"), &world.acme).await;
        assert_eq!(data.json["total"], "106.00");
        let rows = world.get(&format!("{path}?format=csv"), &world.acme).await;
        assert_eq!(rows.header("content-type"), "text/csv; charset=utf-8");
        let rows: Vec<&str> = rows.text.lines().collect();
        assert!(rows[0].starts_with("number,account,month,kind,tenant,"));
        assert_eq!(
            rows[1],
            "INV-000001,acme-account,2026-11,usage,acme-account,,1,cpu,CPU time,CPU-second,1000,0.1,100,100.00,USD,standard"
        );
        assert_eq!(
            rows[3],
            "INV-000001,acme-account,2026-11,total,,,,,,,,,,106.00,USD,"
        );
        let others = format!("{INVOICES}/INV-000002/download");
        world.get(&others, &world.acme).await.problem(404, "not-found");
        let wrong = world.get(&format!("{path}?format=doc"), &world.acme).await;
        wrong.problem(400, "parameter");
    });
}

#[test]
fn a_run_is_begun_and_told_how_far_it_is() {
    const BEGIN: &str = "/api/v1/admin/generate-invoices";
    run(async {
        let world = World::new().await;
        let month = world.month_text();
        let wrong = world.change("POST", BEGIN, &world.operator, &json!(null)).await;
        wrong.problem(400, "parameter");
        let path = format!("{BEGIN}?period={month}");
        let tenants = world.change("POST", &path, &world.acme, &json!(null)).await;
        tenants.problem(403, "operator-only");
        let nobody = format!("{path}&account_id=nobody");
        let nobody = world.change("POST", &nobody, &world.operator, &json!(null)).await;
        nobody.problem(404, "not-found");
        let begun = world.change("POST", &path, &world.operator, &json!(null)).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        assert_eq!(begun.json["accounts"].as_u64().map(|n| n > 0), Some(true));
        let place = begun.header("location").to_owned();
        let mut now = world.get(&place, &world.operator).await;
        for _ in 0..10_000 {
            if now.json["status"] != "running" {
                break;
            }
            now = world.get(&place, &world.operator).await;
        }
        assert_eq!(now.json["status"], "ended", "{}", now.text);
        assert_eq!(
            (&now.json["done"], &now.json["issued"]),
            (&now.json["accounts"], &json!(0))
        );
        check("GET /api/v1/admin/invoice-runs/{run}", &now);
        let all = world.get("/api/v1/admin/invoice-runs", &world.operator).await;
        assert_eq!(all.json.as_array().unwrap()[0], now.json);
        let unknown = world.get("/api/v1/admin/invoice-runs/77", &world.operator).await;
        unknown.problem(404, "not-found");
    });
}

#[test]
fn a_tenant_does_not_see_what_others_of_its_payer_use() {
    run(async {
        let world = World::new().await;
        issue(&world, &world.payer("acme"), "2026-11", 1).await;
        let second = TenantTerms {
            tenant: "acme-two".into(),
            claims: vec!["acme-two".into()],
            ..world.handle.registry().tenants.latest("acme").unwrap().clone()
        };
        world.decide(Command::SetTenant(second.clone())).await;
        let zone = BillingZone::parse(&second.zone).unwrap();
        let month = zone.month_of(second.from).unwrap().next().unwrap();
        let gone = TenantTerms {
            account: "acme-two".into(),
            from: zone.month_hours(month).unwrap().start,
            ..second
        };
        let one = format!("{INVOICES}/INV-000001");
        // Also once the other has another payer: what it used is on the invoices before.
        for change in [None, Some(gone)] {
            if let Some(terms) = change {
                world.decide(Command::SetTenant(terms)).await;
            }
            for path in [INVOICES, &one, &format!("{one}/download")] {
                world.get(path, &world.acme).await.problem(403, "operator-only");
                assert_eq!(world.get(path, &world.operator).await.status, 200);
            }
        }
    });
}

#[test]
fn a_month_of_all_tenants_is_a_table() {
    run(async {
        let world = World::new().await;
        let path = format!("/api/v1/admin/usage-report?month={}", world.month_text());
        world.get(&path, &world.acme).await.problem(403, "operator-only");
        let got = world.get(&path, &world.operator).await;
        assert_eq!(got.header("content-type"), "text/csv; charset=utf-8");
        let rows: Vec<&str> = got.text.lines().collect();
        assert!(
            rows[0].starts_with("month,tenant,tenant_name,account,zone,item,"),
            "{}",
            got.text
        );
        let bill = format!("/api/v1/bills/monthly/{}", world.month_text());
        let bill = world.get(&bill, &world.acme).await.json;
        let line = &bill["lines"][0];
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let wanted = format!(
            ",{},{},{},{},{},{},",
            text("item"),
            text("title"),
            text("unit"),
            text("quantity"),
            text("amount_exact"),
            text("amount")
        );
        assert!(
            rows.iter().any(|row| row.contains(&wanted)),
            "{wanted}\n{}",
            got.text
        );
        let wrong = world.get("/api/v1/admin/usage-report", &world.operator).await;
        wrong.problem(400, "parameter");
    });
}

#[test]
fn movements_count_once_and_the_page_shows_them() {
    run(async {
        let world = World::new().await;
        let account = world.payer("acme");
        register(&world, "acme").await;
        issue(&world, &account, "2026-11", 1).await;
        let pay = json!({
            "what": "pay", "trace": "bank-77", "reference": "slip 77", "account": account, "source": "bank",
            "on": "2026-11-10", "amount": "50.00 USD",
            "allocations": [{"number": "INV-000001", "amount": "40.00 USD"}], "rest_to_balance": true
        });
        let first = world.change("POST", COMMANDS, &world.operator, &pay).await;
        check("POST /api/v1/admin/ledger/commands", &first);
        let again = world.change("POST", COMMANDS, &world.operator, &pay).await;
        assert_eq!(again.json["repeated"], true);
        let other = json!({
            "what": "void", "trace": "bank-77", "number": "INV-000001", "reason": "wrong company"
        });
        let other = world.change("POST", COMMANDS, &world.operator, &other).await;
        other.problem(409, "conflict");
        let dispute = json!({
            "what": "open_dispute", "trace": "d-1", "number": "INV-000001", "amount": "10.00 USD",
            "reason": "never ordered"
        });
        let opened = world.change("POST", COMMANDS, &world.operator, &dispute).await;
        assert_eq!(opened.status, 200, "{}", opened.text);
        let tenants = world.change("POST", COMMANDS, &world.acme, &dispute).await;
        tenants.problem(403, "operator-only");
        #[rustfmt::skip]
        let table = [
            ("GET /api/v1/billing/invoices",                      INVOICES.to_owned()),
            ("GET /api/v1/billing/invoices/{id}",                 format!("{INVOICES}/INV-000001")),
            ("GET /api/v1/billing/invoices/{id}/adjustment",      format!("{INVOICES}/INV-000001/adjustment")),
            ("GET /api/v1/admin/ledger/trial-balance",            "/api/v1/admin/ledger/trial-balance".to_owned()),
            ("GET /api/v1/admin/ledger/journal",                  "/api/v1/admin/ledger/journal".to_owned()),
            ("GET /api/v1/admin/ledger/statements/{account}",     format!("/api/v1/admin/ledger/statements/{account}")),
            ("GET /api/v1/admin/ledger/receivables",              "/api/v1/admin/ledger/receivables".to_owned()),
        ];
        for (heading, path) in table {
            let got = world.get(&path, &world.operator).await;
            assert_eq!(got.status, 200, "{}", got.text);
            check(heading, &got);
        }
    });
}
