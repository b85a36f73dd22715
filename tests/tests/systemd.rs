//! The shipped units parse, are hardened as promised, and keep the directives that the agent reads by.
//!
//! Must not know how systemd computes its score: it asks systemd-analyze.

use std::path::{Path, PathBuf};
use std::process::Command;

const ANALYZE: &str = "systemd-analyze";
const AGENT: &str = "tallyman-agent.service";
const AGGREGATOR: &str = "tallyman-aggregator.service";

fn unit_path(unit: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../systemd")
        .join(unit)
}

/// False, with the reason on standard error, where systemd's tools are missing; in CI that is a failure.
fn has_systemd_analyze() -> bool {
    let found = Command::new(ANALYZE).arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "no {ANALYZE} in CI; run scripts/setup.sh test"
    );
    if !found {
        eprintln!("SKIPPED: no {ANALYZE}; run scripts/setup.sh test");
    }
    found
}

/// The overall exposure level in tenths, as `systemd-analyze security` computes it without a running systemd.
fn exposure_tenths(unit: &str) -> u32 {
    let output = Command::new(ANALYZE)
        .args(["security", "--no-pager", "--offline=true"])
        .arg(unit_path(unit))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .unwrap_or_else(|| {
            panic!(
                "no score for {unit}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
    let score = line
        .split(':')
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap();
    let (units, tenths) = score.split_once('.').unwrap();
    units.parse::<u32>().unwrap() * 10 + tenths.parse::<u32>().unwrap()
}

#[test]
fn the_agent_is_exposed_at_most_3_0() {
    if has_systemd_analyze() {
        let tenths = exposure_tenths(AGENT);
        assert!(tenths <= 30, "exposure {tenths} tenths");
    }
}

#[test]
fn the_aggregator_is_exposed_at_most_1_5() {
    if has_systemd_analyze() {
        let tenths = exposure_tenths(AGGREGATOR);
        assert!(tenths <= 15, "exposure {tenths} tenths");
    }
}

#[test]
fn systemd_understands_every_line() {
    if !has_systemd_analyze() {
        return;
    }
    for unit in [AGENT, AGGREGATOR] {
        let output = Command::new(ANALYZE)
            .args(["verify", "--man=no"])
            .arg(unit_path(unit))
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        // The program itself need not be installed where the unit is checked; nor need other people's units be clean.
        let ours: Vec<&str> = complaints
            .lines()
            .filter(|line| line.contains("tallyman") && !line.contains("is not executable"))
            .collect();
        assert!(ours.is_empty(), "{unit}: {ours:#?}");
    }
}

/// `Key=value` lines of a unit, in order.
fn directives(unit: &str) -> Vec<(String, String)> {
    std::fs::read_to_string(unit_path(unit))
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn assert_directives(unit: &str, wanted: &[(&str, &str)]) {
    let found = directives(unit);
    for (key, value) in wanted {
        assert!(
            found.iter().any(|(k, v)| k == key && v == value),
            "{unit} lacks {key}={value}"
        );
    }
}

#[test]
fn both_start_by_notification_and_come_back_always() {
    for unit in [AGENT, AGGREGATOR] {
        assert_directives(
            unit,
            &[
                ("Type", "notify"),
                ("NotifyAccess", "main"),
                ("WatchdogSec", "30s"),
                ("Restart", "always"),
                ("StartLimitIntervalSec", "0"),
                ("ConfigurationDirectory", "tallyman"),
            ],
        );
    }
}

#[test]
fn the_agent_keeps_the_views_that_it_meters() {
    assert_directives(
        AGENT,
        &[
            ("ProtectProc", "default"),
            ("ProcSubset", "all"),
            ("ProtectControlGroups", "yes"),
            ("PrivateNetwork", "no"),
            ("PrivateUsers", "no"),
            ("CapabilityBoundingSet", "CAP_SYS_PTRACE"),
            ("SupplementaryGroups", "docker"),
        ],
    );
}

#[test]
fn the_aggregator_holds_no_capability() {
    assert_directives(
        AGGREGATOR,
        &[("CapabilityBoundingSet", ""), ("AmbientCapabilities", "")],
    );
}

#[test]
fn neither_starts_before_its_keys_exist() {
    let keys = "/var/lib/tallyman-agent/identity/enrolment.json";
    assert_directives(AGENT, &[("ConditionPathExists", keys)]);
    let keys = "/var/lib/tallyman-aggregator/keys/ca.pem";
    assert_directives(AGGREGATOR, &[("ConditionPathExists", keys)]);
}

/// The folder of a program, and a file that its unit may write by the standard rules of systemd.
#[test]
fn the_state_folders_are_those_of_the_programs() {
    assert_directives(AGENT, &[("StateDirectory", "tallyman-agent")]);
    assert_directives(AGGREGATOR, &[("StateDirectory", "tallyman-aggregator")]);
    let agent = tallyman_agent::config::Config::parse(None, "").unwrap();
    assert_eq!(agent.state, Path::new("/var/lib/tallyman-agent"));
    let data = tallyman_aggregator::config::DEFAULT_DATA;
    assert_eq!(data, "/var/lib/tallyman-aggregator");
}

/// What a program prints of a configuration, without the name of the file.
fn check_config(program: &str, config: &Path) -> String {
    let output = Command::new(tallyman_tests::e2e::process::program(program))
        .arg("--config")
        .arg(config)
        .arg("check-config")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {complaints}", config.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.replace(&config.display().to_string(), "FILE")
}

/// The same text with its commented keys and tables in force.
fn uncommented(text: &str) -> String {
    let in_force = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let key = rest.split(" = ").next()?;
        let is_key = rest.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (is_key || (rest.starts_with('[') && rest.ends_with(']'))).then(|| rest.to_owned())
    };
    let lines = text
        .lines()
        .map(|line| in_force(line).unwrap_or_else(|| line.to_owned()));
    lines.collect::<Vec<_>>().join("\n")
}

/// Checks the file as it stands against `bare`, and with every comment in force against itself, save for the lines
/// that begin with `examples`.
fn comments_are_defaults(program: &str, file: &str, bare: &str, examples: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let shipped = std::fs::read_to_string(unit_path(file)).unwrap();
    let defaults = check_config(program, &write("bare.toml", bare));
    assert_eq!(check_config(program, &unit_path(file)), defaults);
    let full = uncommented(&shipped);
    assert_ne!(full, shipped);
    let all = check_config(program, &write("full.toml", &full));
    let of_keys = |text: &str| {
        let kept = text
            .lines()
            .filter(|l| !examples.iter().any(|e| l.starts_with(e)));
        kept.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(of_keys(&all), of_keys(&defaults));
}

#[test]
fn the_examples_of_configuration_tell_every_default() {
    let examples = ["server ", "cgroup ", "                  else "];
    comments_are_defaults("tallyman-agent", "agent.toml", "", &examples);
    let advertise = "[quic]\nadvertise = [\"metering.example.org\"]\n";
    comments_are_defaults("tallyman-aggregator", "aggregator.toml", advertise, &[]);
}
