//! The configuration, as tables: text and what becomes of it.

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Some(Path::new("agent.toml")), text).map_err(|e| e.to_string())
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = parse("").unwrap();
    let shown = format!(
        "{} {} {}",
        config.interval_s, config.spool_limit_mib, config.keep_acked_days
    );
    assert_eq!(shown, "2 1024 35");
    assert_eq!(config.docker.as_deref(), Some(Path::new("/var/run/docker.sock")));
    assert_eq!(config.mapping.label, "tallyman.tenant");
    assert_eq!(config.sources(), ["host", "docker"]);
    assert_eq!(config.spool_bytes_max(), 1 << 30);
    assert_eq!(config.retention_ms(), 35 * 86_400_000);
    assert!(config.to_string().contains("interval_seconds  2 s"));
}

#[test]
fn everything_can_be_said() {
    let text = r#"
server = "meter.example:4317"
state_dir = "/srv/tallyman"
interval_seconds = 10
spool_limit_mib = 64
keep_acked_days = 0
host = false
log = "debug"
owner_label = "com.example.tenant"
[docker]
enabled = true
socket = "/run/user/1000/docker.sock"
[[cgroup]]
path = "/tenant-*.slice"
owner = "$1"
[[cgroup]]
path = "/system.slice/*.service"
[[rule]]
label = "com.example.customer"
owner = "c-$1"
[[rule]]
name = "web-*"
owner = "web"
[[rule]]
cgroup = "/docker/**"
owner = "other"
"#;
    let config = parse(text).unwrap();
    assert_eq!(
        config.sources(),
        [
            "docker",
            "cgroup:/tenant-*.slice",
            "cgroup:/system.slice/*.service"
        ]
    );
    let rules: Vec<_> = config.mapping.rules.iter().map(shown_rule).collect();
    assert_eq!(
        rules,
        [
            "cgroup /tenant-*.slice -> $1",
            "label com.example.customer = * -> c-$1",
            "name web-* -> web",
            "cgroup /docker/** -> other"
        ]
    );
    let shown = config.to_string();
    for part in [
        "meter.example:4317 (UDP)",
        "64 MiB",
        "0 days",
        "not metered",
        "else name web-* -> web",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn faults_name_the_file_the_line_and_the_key() {
    let check = |text: &str, parts: &[&str]| {
        let error = parse(text).map(|c| c.to_string()).unwrap_err();
        for part in ["agent.toml"].iter().chain(parts) {
            assert!(error.contains(part), "`{part}` in `{error}`");
        }
    };
    check(
        "host = true\nintervall = 3\n",
        &["line 2", "intervall", "interval_seconds"],
    );
    check("[docker]\nport = 3\n", &["line 2", "port", "socket"]);
    check("host = 1\n", &["line 1", "boolean"]);
    check("host =\n", &["line 1"]);
    check(
        "\ninterval_seconds = 0\n",
        &["line 2", "interval_seconds", "1 to 60"],
    );
    check("interval_seconds = 61\n", &["1 to 60"]);
    check("interval_seconds = -1\n", &["line 1"]);
    check("spool_limit_mib = 63\n", &["64 to"]);
    check("server = \"a\"\n", &["line 1", "server", "HOST:PORT"]);
    check("log = \"loud\"\n", &["line 1", "loud"]);
    check("[[cgroup]]\npath = \"/a?\"\n", &["line 2", "cgroup.path", "`?`"]);
    check("[[cgroup]]\npath = \"/**\"\n", &["line 2", "host = true"]);
    check(
        "[[cgroup]]\npath = \"/a\"\nowner = \"$1\"\n",
        &["line 3", "cgroup.owner", "$1"],
    );
    check("[[cgroup]]\nowner = \"a\"\n", &["path"]);
    check("[[rule]]\nowner = \"a\"\n", &["line 1", "exactly one"]);
    check(
        "[[rule]]\nname = \"a\"\ncgroup = \"b\"\nowner = \"a\"\n",
        &["exactly one"],
    );
    check(
        "[[rule]]\nname = \"a\"\nvalue = \"b\"\nowner = \"a\"\n",
        &["belongs to `label`"],
    );
    check("[[rule]]\nname = \"a\"\n", &["owner"]);
    check("[[rule]]\nname = \"a\"\nowner = \"\"\n", &["no owner"]);
}

#[test]
fn only_the_default_file_may_be_missing() {
    let error = Config::load(Path::new("/nowhere/agent.toml")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/agent.toml"));
}
