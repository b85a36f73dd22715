//! Batches by hand: sent again, carried in a file, taken in twice. Nothing is counted twice, and each order says so.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::process::until;
use tallyman_tests::e2e::site::{MINUTE, Site};

const BURN: &str = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
const STOP_MAX: Duration = Duration::from_secs(20);

/// Runs a command; whether it was content, and what it said.
fn said(command: &mut Command) -> Result<(bool, String)> {
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

fn agent(site: &Site, arguments: &[&str]) -> Result<(bool, String)> {
    said(site.agent_command().args(arguments))
}

fn import(site: &Site, file: &str) -> Result<(bool, String)> {
    said(site.aggregator_command().args(["import", file]))
}

fn stop_agent(site: &mut Site) -> Result<()> {
    site.agent.take().context("it runs")?.stop(STOP_MAX)
}

fn start_agent(site: &mut Site) -> Result<()> {
    drop(std::fs::remove_file(site.path("agent/status.json")));
    site.start_agent()?;
    until("the agent meters", MINUTE, || {
        Ok(site.path("agent").join("status.json").exists().then_some(()))
    })
    .with_context(|| site.logs())
}

/// What is sound in a file that was changed on its way is known, the rest is told, and nothing changes.
fn a_changed_file_is_told(site: &Site, file: &str) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let damaged = site.path("damaged.tlyx").display().to_string();
    std::fs::write(&damaged, &bytes)?;
    let (good, text) = import(site, &damaged)?;
    let is_told = !good && text.contains(": 0 new") && text.contains("not as it was written");
    ensure!(is_told, "{text}");
    Ok(())
}

#[test]
fn batches_sent_or_carried_again_change_nothing_and_say_so() -> Result<()> {
    let folder = format!("/tallyman-e2e-{}", std::process::id());
    let rules =
        format!("docker = {{ enabled = false }}\n[[cgroup]]\npath = \"{folder}/*\"\nowner = \"$1\"\n");
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &rules)?;
    site.enrol()?;
    start_agent(&mut site)?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    cgroup.spawn(BURN)?.wait()?;
    stop_agent(&mut site)?;
    let first = cgroup.cpu_ns()?;
    until("the first window is billed", MINUTE, || {
        Ok((site.usage("acme", "cpu.time")? == first).then_some(()))
    })
    .with_context(|| site.logs())?;

    // The aggregator is out of reach; what is metered meanwhile leaves the host in a file.
    site.kill_aggregator()?;
    start_agent(&mut site)?;
    cgroup.spawn(BURN)?.wait()?;
    stop_agent(&mut site)?;
    let truth = cgroup.cpu_ns()?;
    ensure!(truth > first, "the workload burned nothing");
    let file = site.path("carried.tlyx").display().to_string();
    let (good, text) = agent(&site, &["spool", "export", &file])?;
    ensure!(good && text.contains("written to"), "{text}");
    let (good, text) = agent(&site, &["spool", "export", &file])?;
    ensure!(!good && text.contains("exists"), "{text}");

    // Taken in by an aggregator that does not run, then by one that does.
    let (good, text) = import(&site, &file)?;
    ensure!(
        good && !text.contains(" 0 new") && text.contains("0 held, 0 refused"),
        "{text}"
    );
    site.start_aggregator()?;
    assert_eq!(site.usage("acme", "cpu.time")?, truth);
    let (good, text) = import(&site, &file)?;
    ensure!(good && text.contains(": 0 new"), "{text}");

    a_changed_file_is_told(&site, &file)?;

    // Sent again over the wire.
    let (good, text) = agent(&site, &["resend", "--dry-run"])?;
    ensure!(good && text.contains("nothing is sent"), "{text}");
    let (good, text) = agent(&site, &["resend"])?;
    ensure!(!good && text.contains("no agent runs"), "{text}");
    start_agent(&mut site)?;
    let (good, text) = agent(&site, &["resend", "--seq", "1..2"])?;
    ensure!(good, "{text}\n{}", site.logs());
    ensure!(
        text.contains("2 sent again: 2 were there already, 0 are new there"),
        "{text}"
    );
    let (good, text) = agent(&site, &["resend", "--from", "2001-01-01", "--to", "2001-01-02"])?;
    ensure!(!good && text.contains("no batch is meant"), "{text}");
    assert_eq!(site.usage("acme", "cpu.time")?, truth);
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}
