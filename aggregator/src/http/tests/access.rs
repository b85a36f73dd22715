//! Who may see what: tokens, scopes, and a tenant's view of another tenant.

use tallyman_aggregator_core::registry::{Command, Scope};
use tallyman_common::time::WallMs;

use super::world::{World, from_address, request, run};

/// Addresses of one tenant's data, with a valid value for each part.
fn tenant_paths(world: &World) -> Vec<String> {
    let (hour, day, month) = (world.hour_text(), world.day_text(), world.month_text());
    vec![
        "/api/v1/usage/current".into(),
        format!("/api/v1/usage/history?from={hour}"),
        format!("/api/v1/usage/summary/{month}"),
        format!("/api/v1/bills/hourly/{hour}"),
        format!("/api/v1/bills/daily/{day}"),
        format!("/api/v1/bills/monthly/{month}"),
        "/api/v1/tenants".into(),
        "/api/v1/price-books".into(),
    ]
}

const OPERATOR_PATHS: [&str; 2] = ["/api/v1/nodes", "/api/v1/quarantine"];
const OPERATOR_CHANGES: [(&str, &str); 3] = [
    ("POST", "/api/v1/quarantine/1/release"),
    ("POST", "/api/v1/quarantine/1/discard"),
    ("PUT", "/api/v1/tenants/acme"),
];

fn of_tenant(path: &str, tenant: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}tenant={tenant}")
}

#[test]
fn a_tenant_sees_itself_and_nobody_else_on_every_address() {
    run(async {
        let world = World::new().await;
        for path in tenant_paths(&world) {
            for (token, own, other) in [(&world.acme, "acme", "east"), (&world.east, "east", "acme")] {
                let mine = world.get(&path, token).await;
                // Without a price book in its currency the second tenant has no bills.
                let expected = if own == "east" && path.contains("/bills/") {
                    409
                } else {
                    200
                };
                assert_eq!(mine.status, expected, "{path} {}", mine.text);
                let named = world.get(&of_tenant(&path, own), token).await;
                assert_eq!(named.status, expected, "{path}");
                assert!(!mine.text.contains(other), "{path} {}", mine.text);
                let foreign = world.get(&of_tenant(&path, other), token).await;
                let absent = world.get(&of_tenant(&path, "nobody"), token).await;
                foreign.problem(404, "not-found");
                absent.problem(404, "not-found");
                let (told, not) = (&foreign.json["detail"], &absent.json["detail"]);
                assert_eq!(
                    told.as_str().unwrap().replace(other, "nobody"),
                    not.as_str().unwrap()
                );
            }
        }
    });
}

#[test]
fn a_tenant_gets_nothing_that_is_an_operators() {
    run(async {
        let world = World::new().await;
        for path in OPERATOR_PATHS {
            for path in [path.to_owned(), of_tenant(path, "east"), of_tenant(path, "acme")] {
                world.get(&path, &world.acme).await.problem(403, "operator-only");
            }
        }
        let before = world.handle.status().position;
        for (method, path) in OPERATOR_CHANGES {
            let body = serde_json::json!({"reason": "mine"});
            let got = world.change(method, path, &world.acme, &body).await;
            got.problem(403, "operator-only");
        }
        assert_eq!(world.handle.status().position, before);
    });
}

#[test]
fn an_operator_names_the_tenant() {
    run(async {
        let world = World::new().await;
        for path in tenant_paths(&world) {
            let named = world.get(&of_tenant(&path, "acme"), &world.operator).await;
            assert_eq!(named.status, 200, "{path} {}", named.text);
            let absent = world.get(&of_tenant(&path, "nobody"), &world.operator).await;
            absent.problem(404, "not-found");
            if !["/api/v1/tenants", "/api/v1/price-books"].contains(&path.as_str()) {
                let unnamed = world.get(&path, &world.operator).await;
                assert_eq!(unnamed.problem(400, "parameter").json["parameter"], "tenant");
            }
        }
    });
}

#[test]
fn without_a_good_token_there_is_nothing() {
    run(async {
        let world = World::new().await;
        let past = WallMs(world.handle.now().0 - 1);
        let expired = world.token("old", Scope::Operator, Some(past)).await;
        let revoked = world.token("gone", Scope::Operator, None).await;
        let works = world.get("/api/v1/nodes", &revoked).await;
        assert_eq!(works.status, 200);
        world.decide(Command::RevokeToken { id: "gone".into() }).await;
        let unknown = format!("tally_{}", "0".repeat(64));
        let mut paths = tenant_paths(&world);
        paths.extend(OPERATOR_PATHS.map(str::to_owned));
        for path in paths {
            for token in ["", &expired, &revoked, &unknown, "other"] {
                let got = world.get(&path, token).await;
                got.problem(401, "no-token");
                assert!(got.header("www-authenticate").starts_with("Bearer"));
            }
        }
        for (method, path) in OPERATOR_CHANGES {
            let got = world.change(method, path, "", &serde_json::json!({})).await;
            got.problem(401, "no-token");
        }
        let mut basic = request("GET", "/api/v1/nodes", "", None);
        let value = format!("Basic {}", world.operator).parse().unwrap();
        basic.headers_mut().insert("authorization", value);
        world.send_request(basic).await.problem(401, "no-token");
    });
}

#[test]
fn counters_are_for_this_machine_and_for_operators() {
    run(async {
        let world = World::new().await;
        for (token, expected) in [("", 401), (&world.acme, 403), (&world.operator, 200)] {
            let mut remote = request("GET", "/metrics", token, None);
            from_address(&mut remote, "192.0.2.7:5000");
            assert_eq!(world.send_request(remote).await.status, expected);
        }
        assert_eq!(world.get("/metrics", "").await.status, 200);
        let mut remote = request("GET", "/health", "", None);
        from_address(&mut remote, "192.0.2.7:5000");
        assert_eq!(world.send_request(remote).await.status, 200);
    });
}
