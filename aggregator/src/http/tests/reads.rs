//! Questions and their answers: amounts to the last digit as text, and each wrong question refused by name.

use serde_json::Value;

use super::world::{BOOK, World, run};

/// Every number in an answer that is no text, by its path.
fn numbers(value: &Value, path: &str, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(n) => found.push((path.to_owned(), n.as_f64().unwrap())),
        Value::Array(all) => all.iter().for_each(|v| numbers(v, path, found)),
        Value::Object(all) => all
            .iter()
            .for_each(|(name, v)| numbers(v, &format!("{path}.{name}"), found)),
        _ => {}
    }
}

/// Usage and money are texts; what is left are small counts.
fn check_numbers(answer: &Value) {
    let mut found = Vec::new();
    numbers(answer, "", &mut found);
    for (path, number) in found {
        let name = path.rsplit('.').next().unwrap();
        let is_money = ["value", "peak", "quantity", "total"].contains(&name) || name.contains("amount");
        assert!(!is_money && !name.contains("exact"), "{path} is a number");
        assert!(number.fract() == 0.0 && number.abs() < 9e15, "{path} = {number}");
    }
    assert!(answer["as_of"]["position"].as_u64().is_some(), "{answer}");
    assert!(answer["as_of"]["at"].as_str().is_some(), "{answer}");
}

async fn ok(world: &World, path: &str, token: &str) -> Value {
    let got = world.get(path, token).await;
    assert_eq!(got.status, 200, "{path} {}", got.text);
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("cache-control"), "no-store");
    check_numbers(&got.json);
    got.json
}

fn meter<'a>(answer: &'a Value, name: &str) -> &'a str {
    let usage = answer["usage"].as_array().unwrap();
    let row = usage.iter().find(|row| row["meter"] == name).unwrap();
    row["value"].as_str().unwrap()
}

#[test]
fn bills_of_hour_day_and_month_say_the_same_to_the_last_digit() {
    run(async {
        let world = World::new().await;
        let paths = [
            format!("/api/v1/bills/hourly/{}", world.hour_text()),
            format!("/api/v1/bills/daily/{}", world.day_text()),
            format!("/api/v1/bills/monthly/{}", world.month_text()),
        ];
        for path in paths {
            let bill = ok(&world, &path, &world.acme).await;
            assert_eq!(bill["status"], "preview");
            assert_eq!(
                (&bill["subtotal_exact"], &bill["total"]),
                (&"4.02".into(), &"4.02".into())
            );
            assert_eq!(bill["currency"], "USD");
            let lines = bill["lines"].as_array().unwrap();
            assert_eq!(lines[0]["item"], "cpu");
            assert_eq!(
                (&lines[0]["quantity"], &lines[0]["amount"]),
                (&"40".into(), &"4.00".into())
            );
            assert_eq!(
                (&lines[1]["quantity"], &lines[1]["amount"]),
                (&"1".into(), &"0.02".into())
            );
            assert_eq!(bill["hours"][0]["hour"], world.hour_text());
            assert_eq!(bill["price_books"].as_array().unwrap().len(), 1);
            assert!(bill["completeness"]["expected_node_minutes"].is_u64());
        }
        let path = format!("/api/v1/bills/monthly/{}?tenant=acme", world.month_text());
        let operator = ok(&world, &path, &world.operator).await;
        assert_eq!(operator["total"], "4.02");
    });
}

#[test]
fn usage_now_has_the_month_its_cost_and_a_marked_estimate() {
    run(async {
        let world = World::new().await;
        let now = ok(&world, "/api/v1/usage/current", &world.acme).await;
        assert_eq!(now["month"], world.month_text());
        assert_eq!(meter(&now, "cpu.time"), "40000000000");
        assert_eq!(now["cost"]["total"], "4.02");
        let estimate = &now["estimate"];
        assert_eq!(estimate["is_estimate"], true);
        assert_eq!(estimate["nodes"], 1);
        assert_eq!(meter(estimate, "cpu.time"), "5000000000");
        assert_eq!(estimate["subtotal_exact"], "4.52");
        // The estimate touched nothing.
        let again = ok(&world, "/api/v1/usage/current", &world.acme).await;
        assert_eq!(again["cost"]["subtotal_exact"], "4.02");

        let east = ok(&world, "/api/v1/usage/current", &world.east).await;
        assert_eq!(meter(&east, "cpu.time"), "20000000000");
        assert_eq!(east["cost"], Value::Null);
        assert!(east["cost_unavailable"].as_str().unwrap().contains("CNY"));
        assert_eq!(
            (&east["estimate"]["nodes"], &east["estimate"]["total"]),
            (&0.into(), &Value::Null)
        );
    });
}

#[test]
fn an_old_live_view_is_not_in_the_estimate() {
    run(async {
        let world = World::new().await;
        let mut seen = world.handle.live().of(world.node).unwrap();
        world.handle.live().remove(world.node);
        seen.received.0 -= 61_000;
        world.handle.live().put(world.node, seen.clone());
        let now = ok(&world, "/api/v1/usage/current", &world.acme).await;
        assert_eq!(now["estimate"]["subtotal_exact"], "4.02", "a minute old");

        // Readings since a window that ended before the counted one: the batch has them already.
        world.handle.live().remove(world.node);
        seen.received = world.handle.now();
        let live = &mut seen.live;
        let window_end = world.hour.start().0 + 20_000;
        live.boot_now.0 = 100_000_000;
        live.window_end.0 = live.boot_now.0 - (live.wall_now.0 - window_end);
        world.handle.live().put(world.node, seen);
        let now = ok(&world, "/api/v1/usage/current", &world.acme).await;
        assert_eq!(now["estimate"]["subtotal_exact"], "4.02", "counted already");
    });
}

#[test]
fn history_has_the_same_sum_at_every_granularity() {
    run(async {
        let world = World::new().await;
        let from = world.hour_text();
        for granularity in ["minute", "hour", "day", "month"] {
            for (token, cpu) in [(&world.acme, "40000000000"), (&world.east, "20000000000")] {
                let to = tallyman_aggregator_core::api::text::instant_text(world.hour.end());
                let path = format!("/api/v1/usage/history?from={from}&to={to}&granularity={granularity}");
                let history = ok(&world, &path, token).await;
                let points = history["points"].as_array().unwrap();
                assert_eq!(points.len(), 1, "{granularity} {history}");
                assert_eq!(meter(&points[0], "cpu.time"), cpu, "{granularity}");
            }
        }
        // Without `to` and granularity: hours until now.
        let history = ok(&world, &format!("/api/v1/usage/history?from={from}"), &world.acme).await;
        assert_eq!(history["points"][0]["start"], world.hour_text());
        assert_eq!(history["zone"], "UTC");
    });
}

#[test]
fn points_are_whole_hours_days_and_months_of_the_tenants_zone() {
    run(async {
        let world = World::new().await;
        let from = format!("{}:30Z", world.hour_text().trim_end_matches(":00Z"));
        let path = format!("/api/v1/usage/history?from={from}&granularity=day");
        let got = world.get(&path, &world.east).await;
        if got.status == 400 {
            // The hour has just begun.
            return;
        }
        let start = got.json["points"][0]["start"].as_str().unwrap().to_owned();
        assert!(start.ends_with("T16:00:00Z"), "{start}: midnight in Shanghai");
    });
}

#[test]
fn summaries_take_hours_days_and_months() {
    run(async {
        let world = World::new().await;
        for period in [world.hour_text(), world.day_text(), world.month_text()] {
            let summary = ok(&world, &format!("/api/v1/usage/summary/{period}"), &world.acme).await;
            assert_eq!(meter(&summary, "cpu.time"), "40000000000", "{period}");
            assert_eq!(summary["tenant"], "acme");
            assert!(summary["completeness"].is_object());
        }
        let empty = ok(&world, "/api/v1/usage/summary/1999-12", &world.acme).await;
        assert_eq!(empty["usage"], serde_json::json!([]));
    });
}

#[test]
fn operators_see_nodes_tenants_held_batches_and_price_books() {
    run(async {
        let world = World::new().await;
        let nodes = ok(&world, "/api/v1/nodes", &world.operator).await;
        let node = &nodes["nodes"][0];
        assert_eq!(node["node"], world.node.to_string());
        assert_eq!(
            (&node["status"], &node["host_name"]),
            (&"active".into(), &"host-1".into())
        );
        assert!(node["live_seen"].is_string() && node["newest_window_end"].is_string());

        let tenants = ok(&world, "/api/v1/tenants", &world.operator).await;
        assert_eq!(tenants["tenants"].as_array().unwrap().len(), 2);
        assert_eq!(tenants["tenants"][0]["name"], "acme 公司");
        let strays = tenants["unconfirmed"].as_array().unwrap();
        let claims: Vec<_> = strays.iter().map(|s| (&s["claim"], &s["status"])).collect();
        let expected: [(&Value, &Value); 2] = [
            (&"unattributed".into(), &"unattributed".into()),
            (&"stray".into(), &"unconfirmed".into()),
        ];
        assert_eq!(claims, expected);
        let own = ok(&world, "/api/v1/tenants", &world.acme).await;
        assert_eq!(own["tenants"].as_array().unwrap().len(), 1);
        assert_eq!(own.get("unconfirmed"), None);

        let held = ok(&world, "/api/v1/quarantine", &world.operator).await;
        assert_eq!(held["held"][0]["reason"], "future");
        assert_eq!(held["held"][0]["status"], "open");
        let none = ok(&world, "/api/v1/quarantine?status=released", &world.operator).await;
        assert_eq!(none["held"], serde_json::json!([]));

        let books = ok(&world, "/api/v1/price-books?text=true", &world.operator).await;
        assert_eq!(books["price_books"][0]["text"], BOOK);
        assert_eq!(
            books["price_books"][0]["items"],
            serde_json::json!(["cpu", "traffic"])
        );
        let own = ok(&world, "/api/v1/price-books", &world.east).await;
        assert_eq!(
            own["price_books"],
            serde_json::json!([]),
            "no prices in its currency"
        );
    });
}

#[test]
fn a_wrong_parameter_is_named_with_what_was_expected() {
    run(async {
        let world = World::new().await;
        #[rustfmt::skip]
        let table = [
            // question                                                              parameter
            ("usage/history",                                                        "from"),
            ("usage/history?from=yesterday",                                         "from"),
            ("usage/history?from=2026-01-01T00:00:00+08:00",                         "from"),
            ("usage/history?from=1960-01-01T00:00:00Z",                              "from"),
            ("usage/history?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",      "to"),
            ("usage/history?from=2026-01-01T00:00:00Z&to=2028-01-01T00:00:00Z",      "to"),
            ("usage/history?from=2026-01-01T00:00:00Z&to=2026-01-03T00:00:00Z&granularity=minute", "to"),
            ("usage/history?from=2026-01-01T00:00:00Z&granularity=week",             "granularity"),
            ("usage/history?from=2026-01-01T00:00:00Z&from=2026-01-01T00:00:00Z",    "from"),
            ("usage/summary/lately",                                                 "period"),
            ("bills/hourly/2026-01-01T00:30:00Z",                                    "hour"),
            ("bills/daily/2026-02-30",                                               "day"),
            ("bills/monthly/2026-13",                                                "month"),
        ];
        for (question, parameter) in table {
            let got = world.get(&format!("/api/v1/{question}"), &world.acme).await;
            got.problem(400, "parameter");
            assert_eq!(got.json["parameter"], parameter, "{question} {}", got.text);
            assert!(got.json["expected"].is_string(), "{question}");
        }
        let plus = world
            .get(
                "/api/v1/usage/history?from=2026-01-01T00:00:00+08:00",
                &world.acme,
            )
            .await;
        assert!(plus.json["detail"].as_str().unwrap().contains("%2B"));
        for question in [
            "quarantine?status=new",
            "tenants?from=2026-01-01T00:00:00Z",
            "price-books?text=1",
        ] {
            let got = world.get(&format!("/api/v1/{question}"), &world.operator).await;
            got.problem(400, "parameter");
        }
    });
}

#[test]
fn an_unknown_parameter_is_refused_by_name() {
    run(async {
        let world = World::new().await;
        let (hour, day, month) = (world.hour_text(), world.day_text(), world.month_text());
        let paths = [
            "/api/v1/usage/current?tenant=acme".into(),
            format!("/api/v1/usage/history?tenant=acme&from={hour}"),
            format!("/api/v1/usage/summary/{month}?tenant=acme"),
            format!("/api/v1/bills/hourly/{hour}?tenant=acme"),
            format!("/api/v1/bills/daily/{day}?tenant=acme"),
            format!("/api/v1/bills/monthly/{month}?tenant=acme"),
            "/api/v1/nodes?".into(),
            "/api/v1/tenants?".into(),
            "/api/v1/quarantine?".into(),
            "/api/v1/price-books?".into(),
        ];
        for path in paths {
            let got = world.get(&format!("{path}&form=x"), &world.operator).await;
            got.problem(400, "unknown-parameter");
            assert_eq!(got.json["parameter"], "form", "{path}");
        }
    });
}

#[test]
fn a_bill_without_prices_is_a_conflict_that_says_what_to_do() {
    run(async {
        let world = World::new().await;
        let path = format!("/api/v1/bills/monthly/{}", world.month_text());
        let got = world.get(&path, &world.east).await;
        got.problem(409, "no-price-book");
        assert_eq!(got.json["instance"], path);
        assert!(got.json["detail"].as_str().unwrap().contains("price-book add"));
    });
}

#[test]
fn strange_addresses_and_methods_get_problem_documents() {
    run(async {
        let world = World::new().await;
        for path in [
            "/",
            "/api/v1",
            "/api/v2/nodes",
            "/api/v1/nodes/",
            "/api/v1/bills/monthly/",
        ] {
            world.get(path, &world.operator).await.problem(404, "no-route");
        }
        let nothing = serde_json::json!({});
        for (method, path, allow) in [
            ("POST", "/api/v1/nodes", "GET,HEAD"),
            ("DELETE", "/api/v1/tenants/acme", "PUT"),
            ("PUT", "/health", "GET,HEAD"),
        ] {
            let got = world.change(method, path, &world.operator, &nothing).await;
            got.problem(405, "method");
            assert_eq!(got.header("allow"), allow);
        }
        let malformed = world.get("/api/v1/bills/monthly/%ff", &world.acme).await;
        assert!(malformed.status.is_client_error());
        assert_eq!(malformed.header("content-type"), "application/problem+json");
    });
}
