//! What operators change: each change is in the log with who and from where, and each wrong one changes nothing.

use serde_json::{Value, json};
use tallyman_aggregator_core::log::{decode_decision, position_key};
use tallyman_aggregator_core::ports::Table;

use super::world::{World, request, run};

async fn held(world: &World) -> Value {
    let got = world.get("/api/v1/quarantine", &world.operator).await;
    got.json["held"][0].clone()
}

fn decision(world: &World, position: u64) -> tallyman_aggregator_core::registry::Decision {
    let read = world.handle.read_here(|books| {
        let found = books.store.get(Table::Decisions, &position_key(position));
        decode_decision(&found.unwrap().unwrap()).unwrap()
    });
    read.unwrap()
}

#[test]
fn a_released_batch_counts_and_the_log_says_who_released_it() {
    run(async {
        let world = World::new().await;
        let position = held(&world).await["position"].as_u64().unwrap();
        let path = format!("/api/v1/quarantine/{position}/release");
        let body = json!({"reason": "the clock was set"});
        let got = world.change("POST", &path, &world.operator, &body).await;
        assert_eq!(got.status, 200, "{}", got.text);
        let made = decision(&world, got.json["decision"].as_u64().unwrap());
        assert_eq!(
            (made.actor.as_str(), made.source.as_str()),
            ("token:root", "127.0.0.1")
        );
        assert_eq!(got.json["as_of"]["position"], got.json["decision"]);
        assert_eq!(held(&world).await["status"], "released");
        let again = world.change("POST", &path, &world.operator, &body).await;
        again.problem(409, "conflict");
    });
}

#[test]
fn a_discarded_batch_never_counts() {
    run(async {
        let world = World::new().await;
        let position = held(&world).await["position"].as_u64().unwrap();
        let path = format!("/api/v1/quarantine/{position}/discard");
        let body = json!({"reason": "a test machine"});
        let got = world.change("POST", &path, &world.operator, &body).await;
        assert_eq!(got.status, 200, "{}", got.text);
        assert_eq!(held(&world).await["status"], "discarded");
    });
}

#[test]
fn wrong_decisions_change_nothing() {
    run(async {
        let world = World::new().await;
        let before = world.handle.status().position;
        let good = json!({"reason": "because"});
        #[rustfmt::skip]
        let table = [
            ("/api/v1/quarantine/999999/release", good.clone(),            404, "not-found"),
            ("/api/v1/quarantine/1/discard",      good.clone(),            404, "not-found"),
            ("/api/v1/quarantine/first/release",  good.clone(),            400, "parameter"),
            ("/api/v1/quarantine/1/release?x=1",  good,                    400, "unknown-parameter"),
            ("/api/v1/quarantine/1/release",      json!({"reason": "  "}), 422, "refused"),
            ("/api/v1/quarantine/1/release",      json!({}),               400, "body"),
            ("/api/v1/quarantine/1/release",      json!({"reason": "a", "why": "b"}), 400, "body"),
        ];
        for (path, body, status, kind) in table {
            let got = world.change("POST", path, &world.operator, &body).await;
            got.problem(status, kind);
        }
        let path = "/api/v1/quarantine/1/release";
        let mut plain = request("POST", path, &world.operator, Some("{}".into()));
        plain
            .headers_mut()
            .insert("content-type", "text/plain".parse().unwrap());
        world.send_request(plain).await.problem(415, "body-type");
        let long = "x".repeat(65 << 10);
        let long = world
            .send_request(request("POST", path, &world.operator, Some(long)))
            .await;
        long.problem(413, "body-too-large");
        let cut = request("POST", path, &world.operator, Some("{\"reason\":".into()));
        world.send_request(cut).await.problem(400, "body");
        assert_eq!(world.handle.status().position, before);
    });
}

fn terms(world: &World) -> Value {
    json!({
        "name": "北方",
        "claims": ["stray"],
        "account": "north",
        "zone": "UTC",
        "currency": "USD",
        "language": "zh",
        "from": world.hour_text(),
    })
}

#[test]
fn a_claim_that_is_registered_afterwards_is_the_tenants_from_its_hour_on() {
    run(async {
        let world = World::new().await;
        let got = world
            .change("PUT", "/api/v1/tenants/north", &world.operator, &terms(&world))
            .await;
        assert_eq!(got.status, 200, "{}", got.text);
        assert_eq!(got.json["tenant"]["tenant"], "north");
        let path = format!("/api/v1/bills/monthly/{}?tenant=north", world.month_text());
        let bill = world.get(&path, &world.operator).await;
        assert_eq!(bill.json["total"], "0.20", "{}", bill.text);
        assert_eq!(bill.json["lines"][0]["title"], "CPU 时间");
    });
}

#[test]
fn wrong_terms_are_refused_with_the_reason() {
    run(async {
        let world = World::new().await;
        let change = |name: &str, value: Value| {
            let mut changed = terms(&world);
            changed[name] = value;
            changed
        };
        #[rustfmt::skip]
        let table = [
            ("north", change("zone", "Mars/Olympus".into()),          422, "refused",  "Mars"),
            ("north", change("currency", "EURO".into()),              422, "refused",  "EURO"),
            ("north", change("language", "fr".into()),                422, "refused",  "fr"),
            ("north", change("from", "2026-01-01T00:30:00Z".into()),  422, "refused",  "from"),
            ("north", change("claims", json!(["acme"])),              409, "conflict", "acme"),
            ("North", terms(&world),                                  422, "refused",  "a-z"),
            ("acme",  change("zone", "Europe/Berlin".into()),         409, "conflict", "stay"),
            ("acme",  terms(&world),                                  422, "refused",  "first hour"),
            ("north", change("extra", 1.into()),                      400, "body",     "extra"),
        ];
        let before = world.handle.status().position;
        for (key, body, status, kind, word) in table {
            let path = format!("/api/v1/tenants/{key}");
            let got = world.change("PUT", &path, &world.operator, &body).await;
            let detail = got.problem(status, kind).json["detail"].as_str().unwrap();
            assert!(detail.contains(word), "{detail}");
        }
        assert_eq!(world.handle.status().position, before);
    });
}
