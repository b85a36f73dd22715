//! Batches by hand: sent again, carried in a file, taken in twice. Nothing is counted twice, and each order says so.

use anyhow::{Result, ensure};
use std::process::Command;
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::site::{Site, cgroup_rules};

const BURN: &str = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";

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
    let rules = cgroup_rules(&folder);
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &rules)?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    cgroup.spawn(BURN)?.wait()?;
    site.stop_agent()?;
    let first = cgroup.cpu_ns()?;
    site.billed_exactly("acme", || Ok(first))?;

    // The aggregator is out of reach; what is metered meanwhile leaves the host in a file.
    site.kill_aggregator()?;
    site.start_metering()?;
    cgroup.spawn(BURN)?.wait()?;
    site.stop_agent()?;
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
    site.start_metering()?;
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
