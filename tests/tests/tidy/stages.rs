//! Who may know whom: stages inside a core, and packages.

use std::collections::BTreeSet;
use std::process::Command;

use crate::files::{is_comment, root, rust};
use crate::require_none;

/// (stage, what it may import from its own core). The path goes from top to bottom; what stands beside it follows.
type Stages = &'static [(&'static str, &'static [&'static str])];

const AGENT: Stages = &[
    ("sources", &[]),
    ("mapping", &["sources"]),
    ("windows", &["sources", "mapping", "event", "limits", "notice"]),
    ("spool", &["ports", "limits", "notice"]),
    ("ship", &["spool", "ports", "event", "limits", "notice"]),
    // Beside the path: what goes in and out, and what holds it together.
    ("limits", &[]),
    ("notice", &[]),
    ("ports", &[]),
    ("status", &["ship"]),
    ("event", &["sources", "mapping", "notice"]),
    (
        "checkpoint",
        &[
            "windows", "spool", "mapping", "event", "ports", "limits", "notice",
        ],
    ),
    ("agent", &["*"]),
    ("lib", &["*"]),
];

const AGGREGATOR: Stages = &[
    ("ingest", &["registry", "limits"]),
    ("log", &["ingest", "registry"]),
    ("rollup", &["log", "ports", "limits"]),
    ("rating", &["rollup"]),
    (
        "bills",
        &[
            "rating", "rollup", "registry", "restart", "ingest", "log", "ports", "limits",
        ],
    ),
    (
        "accounts",
        &["bills", "rating", "registry", "log", "ports", "limits", "restart"],
    ),
    (
        "sheet",
        &[
            "accounts",
            "bills",
            "csv",
            "reconcile",
            "restart",
            "rating",
            "rollup",
            "registry",
            "log",
            "ports",
        ],
    ),
    (
        "api",
        &[
            "accounts", "bills", "seal", "headers", "restart", "rating", "rollup", "registry", "ingest",
            "log", "ports", "limits", "csv",
        ],
    ),
    // Beside the path.
    ("csv", &[]),
    ("limits", &[]),
    ("ports", &[]),
    ("registry", &["rating", "limits"]),
    ("memory", &["ports"]),
    ("headers", &["log", "ports", "rollup"]),
    (
        "restart",
        &["ingest", "log", "memory", "ports", "registry", "rollup"],
    ),
    (
        "seal",
        &[
            "bills", "headers", "restart", "rollup", "registry", "ingest", "log", "ports", "limits",
        ],
    ),
    ("recompute", &["restart", "memory", "ports", "rollup"]),
    (
        "reconcile",
        &[
            "bills",
            "headers",
            "ingest",
            "limits",
            "log",
            "ports",
            "rating",
            "recompute",
            "registry",
            "rollup",
        ],
    ),
    ("aggregator", &["*"]),
    ("lib", &["*"]),
];

/// (file, imported stage, why it does no harm)
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn a_stage_knows_only_what_is_left_of_it() {
    let mut findings = Vec::new();
    for (core, stages) in [("agent/core/src/", AGENT), ("aggregator/core/src/", AGGREGATOR)] {
        for file in rust().iter().filter(|f| f.path.starts_with(core)) {
            let inside = &file.path[core.len()..];
            let stage = inside.split(['/', '.']).next().unwrap();
            let Some((_, allowed)) = stages.iter().find(|(name, _)| *name == stage) else {
                if file.code().next().is_some() {
                    findings.push(format!("{}: stage `{stage}` is not in the table", file.path));
                }
                continue;
            };
            // `super` of these files is the whole core.
            let at_top =
                !inside.contains('/') || inside.ends_with("/mod.rs") && inside.matches('/').count() == 1;
            for (number, line) in file.code().filter(|(_, line)| !is_comment(line)) {
                let mut found = imported(line, "crate::");
                if at_top {
                    found.extend(imported(line, "super::"));
                }
                for name in found.iter().filter(|name| *name != stage) {
                    let explained = EXCEPTIONS
                        .iter()
                        .any(|(path, stage, _)| *path == file.path && stage == name);
                    if !allowed.contains(&name.as_str()) && !allowed.contains(&"*") && !explained {
                        findings.push(format!("{}:{number}: `{stage}` imports `{name}`", file.path));
                    }
                }
            }
        }
    }
    require_none(
        "a stage imports what is left of it, and what stands beside the path",
        findings,
    );
}

/// First names behind `prefix`; a brace behind it can't be judged and is named as it is.
fn imported(line: &str, prefix: &str) -> Vec<String> {
    let names = line.split(prefix).skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if end == 0 {
            rest.chars().take(1).collect()
        } else {
            rest[..end].to_owned()
        }
    });
    // `crate::Name` is a re-export of the core's own root; only modules are stages.
    names
        .filter(|name: &String| !name.starts_with(char::is_uppercase) && !name.starts_with(' '))
        .collect()
}

#[test]
fn each_program_knows_its_own_core_and_never_the_other() {
    let rules = [
        ("common/", &["tallyman_agent", "tallyman_aggregator"][..]),
        (
            "agent/core/",
            &["tallyman_agent::", "tallyman_aggregator", "money"],
        ),
        ("agent/src/", &["tallyman_aggregator", "money"]),
        ("aggregator/", &["tallyman_agent"]),
    ];
    let mut findings = Vec::new();
    for (folder, banned) in rules {
        for file in rust().iter().filter(|f| f.path.starts_with(folder)) {
            for (number, line) in file.code().filter(|(_, line)| !is_comment(line)) {
                for word in banned.iter().filter(|word| line.contains(*word)) {
                    findings.push(format!("{}:{number}: `{word}`: {}", file.path, line.trim()));
                }
            }
        }
    }
    require_none(
        "agent and aggregator share `common` and nothing else; prices are the aggregator's",
        findings,
    );
}

/// Direct dependencies of the pure packages. One more is a change of the architecture.
const PURE: &[(&str, &[&str])] = &[
    (
        "common",
        &[
            "bincode",
            "compact_str",
            "ed25519-dalek",
            "rust_decimal",
            "serde",
            "sha2",
            "smallvec",
            "thiserror",
            "zstd",
        ],
    ),
    (
        "agent/core",
        &["bincode", "serde", "tallyman-common", "thiserror"],
    ),
    (
        "aggregator/core",
        &[
            "bincode",
            "compact_str",
            "jiff",
            "rust_decimal",
            "serde",
            "serde_json",
            "smallvec",
            "tallyman-common",
            "thiserror",
            "toml",
        ],
    ),
];

/// What touches clocks, disks, networks or chance, at any depth.
const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "quinn",
    "quinn-proto",
    "rustls",
    "rocksdb",
    "librocksdb-sys",
    "axum",
    "hyper",
    "bollard",
    "sysinfo",
    "rand",
    "getrandom",
    "clap",
    "tracing",
    "rustix",
];

#[test]
fn the_cores_depend_on_nothing_that_touches_the_world() {
    let mut findings = Vec::new();
    for (package, allowed) in PURE {
        for name in direct_dependencies(package) {
            if !allowed.contains(&name.as_str()) {
                findings.push(format!(
                    "{package}: `{name}` is not in the list of its dependencies"
                ));
            }
        }
        let all = all_dependencies(package);
        assert!(all.len() > 10, "{package}: cargo's tree was not understood");
        let impure = all.iter().filter(|name| IMPURE.contains(&name.as_str()));
        findings.extend(impure.map(|name| format!("{package}: depends on `{name}`")));
    }
    require_none("a core's dependencies are the proof that it is pure", findings);
}

/// Names under `[dependencies]`.
fn direct_dependencies(package: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
    let lines = text
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned())
        .collect()
}

/// Names of everything that is linked into a package on this machine, with the features that it asks for itself.
fn all_dependencies(package: &str) -> BTreeSet<String> {
    let name = format!("tallyman-{}", package.replace('/', "-"));
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "tree",
            "--frozen",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            &name,
        ])
        .current_dir(root())
        .output()
        .expect("cargo shows the tree");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("names are UTF-8");
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}
