//! The alert rules that are shipped, by Prometheus' own tool: they are valid, fire on what they are for and on nothing in
//! good times; each has its case, asks for metrics that exist, and names a heading of the page for operators.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const RULES: &str = include_str!("../../deploy/prometheus/tallyman.rules.yml");
const CASES: &str = include_str!("../../deploy/prometheus/tallyman.rules.test.yml");
const PAGE: &str = include_str!("../../docs/OPERATING.md");
/// Where metrics are registered.
const SOURCES: [&str; 2] = [
    include_str!("../../aggregator/src/metrics.rs"),
    include_str!("../../aggregator/src/http/observe.rs"),
];
const PREFIX: &str = "tallyman_aggregator_";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus")
}

/// What follows a key, of every line that has it.
fn values<'t>(text: &'t str, key: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| line.trim().strip_prefix(key))
}

#[test]
fn the_rules_fire_on_what_they_are_for() {
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "no promtool, and in CI nothing may be skipped"
        );
        eprintln!("skipped: no promtool; scripts/setup.sh test installs it");
        return;
    }
    for (what, file) in [
        ("check", "tallyman.rules.yml"),
        ("test", "tallyman.rules.test.yml"),
    ] {
        let output = Command::new("promtool")
            .args([what, "rules", file])
            .current_dir(folder())
            .output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "promtool {what}: {said}");
    }
}

#[test]
fn every_rule_has_a_case_and_a_place_on_the_page() {
    let alerts: BTreeSet<&str> = values(RULES, "- alert: ").collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(
            CASES.contains(&format!("alertname=\"{alert}\"")),
            "{alert} has no case that fires"
        );
    }
    for heading in values(RULES, "page: ") {
        let is_there = PAGE
            .lines()
            .any(|line| line.trim_start_matches('#') == format!(" {heading}"));
        assert!(is_there, "docs/OPERATING.md has no heading `{heading}`");
    }
}

#[test]
fn every_metric_of_the_rules_exists() {
    let ends = |c: char| !(c.is_ascii_lowercase() || c == '_');
    let asked: BTreeSet<&str> = RULES
        .split(PREFIX)
        .skip(1)
        .filter_map(|rest| rest.split(ends).next())
        .collect();
    assert!(asked.len() > 10, "{asked:?}");
    for metric in asked {
        let suffixes = ["_bucket", "_total", "_seconds", "_bytes"];
        let name = suffixes
            .iter()
            .fold(metric, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
        let is_there = SOURCES
            .iter()
            .any(|source| source.contains(&format!("\"{name}\"")));
        assert!(is_there, "nothing registers {metric}");
    }
}
