//! The benchmarks in their tiny form, so that they still run when somebody wants figures. No figure is judged here.

use std::process::Command;

/// Runs one benchmark; its lines.
fn quick(name: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--quick", name])
        .output()
        .expect("the benchmarks are built");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{name}: {out}\n{err}");
    out.into_owned()
}

fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED {what}: it makes cgroups, which needs root");
    }
    is_root
}

#[test]
fn ingest_runs() {
    let lines = quick("ingest");
    for figure in ["records durable", "alone: sum", "latency: answer, p99"] {
        assert!(lines.contains(figure), "{figure} is missing in {lines}");
    }
}

#[test]
fn agent_runs() {
    if is_root("the agent's benchmark") {
        let lines = quick("agent");
        assert!(lines.contains("agent / bare loop"), "{lines}");
    }
}

#[test]
fn docker_runs() {
    if is_root("the benchmark against Docker") {
        let lines = quick("docker");
        let found = lines.contains("agent / engine") || lines.contains("no Docker Engine answers");
        assert!(found, "{lines}");
    }
}

#[test]
fn month_runs() {
    let lines = quick("month");
    assert!(
        lines.contains("20 of 20 accounts") && lines.contains("not billed: 0"),
        "{lines}"
    );
}

#[test]
fn unknown_names_are_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("nothing")
        .output()
        .expect("runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && words.contains("ingest, agent, docker"),
        "{words}"
    );
}
