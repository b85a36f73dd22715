//! docs/API.md against the program: every address is there, and its examples have the members of real answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tallyman_aggregator_core::reconcile::Day;
use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::registry::clones::{CloneEvidence, CloneHost};
use tallyman_common::ids::Nonce;

use super::world::{Got, World, run};
use crate::reconciler::reconcile_copy;

const PAGE: &str = include_str!("../../../../docs/API.md");
const ROUTES: &str = include_str!("../mod.rs");

#[test]
fn the_page_names_every_address() {
    let routes = ROUTES.split(".route(\"").skip(1);
    let mut count = 0;
    for route in routes.filter_map(|rest| rest.split('"').next()) {
        assert!(
            PAGE.contains(&format!(" {route}`\n")),
            "docs/API.md lacks {route}"
        );
        count += 1;
    }
    assert!(count > 10);
}

/// The example under a heading: the JSON block before the next heading.
fn example(heading: &str) -> Option<Value> {
    let (_, section) = PAGE.split_once(&format!("### `{heading}`\n"))?;
    let section = section.split("\n### ").next()?;
    let (_, block) = section.split_once("```json\n")?;
    serde_json::from_str(block.split("```").next()?).ok()
}

/// Members with their paths; those of all of a list's entries together. What an empty list would hold is not known.
#[derive(Default)]
struct Members {
    named: BTreeSet<String>,
    empty: Vec<String>,
}

impl Members {
    fn of(value: &Value) -> Self {
        let mut members = Self::default();
        members.add(value, "");
        members
    }

    fn add(&mut self, value: &Value, path: &str) {
        match value {
            Value::Object(all) => {
                for (name, inner) in all {
                    // Meters' names are values there.
                    let name = if path.ends_with(".unconfirmed[].usage") {
                        "*"
                    } else {
                        name
                    };
                    let path = format!("{path}.{name}");
                    self.add(inner, &path);
                    self.named.insert(path);
                }
            }
            Value::Array(all) if all.is_empty() => self.empty.push(format!("{path}[]")),
            Value::Array(all) => all.iter().for_each(|v| self.add(v, &format!("{path}[]"))),
            _ => {}
        }
    }

    fn without(mut self, unknown: &[String]) -> BTreeSet<String> {
        let is_known = |path: &String| !unknown.iter().any(|list| path.starts_with(list));
        self.named.retain(is_known);
        self.named
    }
}

pub fn check(heading: &str, got: &Got) {
    let answer = serde_json::to_string_pretty(&got.json).unwrap();
    let Some(example) = example(heading) else {
        panic!("{heading} has no example in docs/API.md; it answers\n{answer}");
    };
    let (shown, given) = (Members::of(&example), Members::of(&got.json));
    let unknown = [shown.empty.clone(), given.empty.clone()].concat();
    let (shown, given) = (shown.without(&unknown), given.without(&unknown));
    assert_eq!(shown, given, "{heading} answers\n{answer}");
}

#[test]
fn the_examples_have_the_members_of_real_answers() {
    run(async {
        let world = World::new().await;
        let (hour, day, month) = (world.hour_text(), world.day_text(), world.month_text());
        let (acme, operator) = (&world.acme, &world.operator);
        #[rustfmt::skip]
        let table = [
            ("GET /api/v1/usage/current",           "/api/v1/usage/current".to_owned(),           acme),
            ("GET /api/v1/usage/history",           format!("/api/v1/usage/history?from={hour}"), acme),
            ("GET /api/v1/usage/summary/{period}",  format!("/api/v1/usage/summary/{month}"),     acme),
            ("GET /api/v1/bills/hourly/{hour}",     format!("/api/v1/bills/hourly/{hour}"),       acme),
            ("GET /api/v1/bills/daily/{day}",       format!("/api/v1/bills/daily/{day}"),         acme),
            ("GET /api/v1/bills/monthly/{month}",   format!("/api/v1/bills/monthly/{month}"),     acme),
            ("GET /api/v1/nodes",                   "/api/v1/nodes".to_owned(),                   operator),
            ("GET /api/v1/tenants",                 "/api/v1/tenants".to_owned(),                 operator),
            ("GET /api/v1/quarantine",              "/api/v1/quarantine".to_owned(),              operator),
            ("GET /api/v1/holes",                   "/api/v1/holes".to_owned(),                   operator),
            ("GET /api/v1/seals",                   "/api/v1/seals".to_owned(),                   operator),
            ("GET /api/v1/price-books",             "/api/v1/price-books".to_owned(),             operator),
            ("GET /ready",                          "/ready".to_owned(),                          operator),
        ];
        for (heading, path, token) in table {
            let got = world.get(&path, token).await;
            assert_eq!(got.status, 200, "{}", got.text);
            check(heading, &got);
        }
        let position = world.get("/api/v1/quarantine", operator).await.json["held"][0]["position"].clone();
        let path = format!("/api/v1/quarantine/{position}/release");
        let body = json!({"reason": "the host's clock was set"});
        let released = world.change("POST", &path, operator, &body).await;
        check("POST /api/v1/quarantine/{position}/release", &released);
        let host = |n: u8| CloneHost {
            process: Nonce([n; 16]),
            address: format!("192.0.2.{n}:40000"),
        };
        world
            .decide(Command::NoteClone {
                node: world.node,
                evidence: CloneEvidence::Alternating,
                hosts: vec![host(2), host(1)],
            })
            .await;
        let clones = world.get("/api/v1/admin/clones", operator).await;
        check("GET /api/v1/admin/clones", &clones);
        let path = format!("/api/v1/admin/clones/{}/resolve", world.node);
        for (keep, status) in [("first", 422), ("03030303030303030303030303030303", 422)] {
            let body = json!({"keep": keep, "reason": "host 2 is a copy"});
            let wrong = world.change("POST", &path, operator, &body).await;
            wrong.problem(status, "refused");
        }
        let body = json!({"keep": host(1).process.to_string(), "reason": "host 2 is a copy"});
        let resolved = world.change("POST", &path, operator, &body).await;
        check("POST /api/v1/admin/clones/{node}/resolve", &resolved);
        world
            .change("POST", &path, operator, &body)
            .await
            .problem(404, "not-found");
        let terms = json!({
            "name": "北方", "claims": ["stray"], "account": "north", "zone": "Asia/Shanghai",
            "currency": "CNY", "language": "zh", "from": hour,
        });
        let set = world
            .change("PUT", "/api/v1/tenants/north", operator, &terms)
            .await;
        check("PUT /api/v1/tenants/{key}", &set);
    });
}

#[test]
fn the_examples_of_daily_books_have_the_members_of_real_answers() {
    run(async {
        let world = World::new().await;
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        world.handle.checkpoint(copy.clone()).await.unwrap();
        let day = Day::of(world.hour.start());
        let result = reconcile_copy(&copy, day).unwrap();
        world.handle.reconciliations().write(day, &result).unwrap();
        let all = "/api/v1/admin/reconciliations".to_owned();
        for (heading, path) in [
            (
                "GET /api/v1/admin/reconciliations/{day}",
                format!("{all}/{}", day.text()),
            ),
            ("GET /api/v1/admin/reconciliations", all),
        ] {
            let got = world.get(&path, &world.operator).await;
            assert_eq!(got.status, 200, "{}", got.text);
            check(heading, &got);
        }
    });
}
