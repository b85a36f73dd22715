//! Batches that are given up: the hole is named, the watermark passes it, and what comes after all still counts.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::process::run;
use tallyman_tests::e2e::site::{Site, cgroup_rules};

const BURN: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";

fn node(site: &Site) -> Result<Value> {
    let nodes: Value = serde_json::from_str(&site.admin(&["node", "list", "--json"])?)?;
    Ok(nodes[0].clone())
}

/// Carries one batch to the aggregator in a file.
fn carry(site: &Site, seq: u64) -> Result<()> {
    let file = site.path(&format!("{seq}.tlyx")).display().to_string();
    let range = format!("{seq}..{seq}");
    run(site
        .agent_command()
        .args(["spool", "export", &file, "--seq", &range]))?;
    let said = site.admin(&["import", &file])?;
    ensure!(said.contains("1 new"), "{said}");
    Ok(())
}

#[test]
fn batches_that_are_given_up_are_passed_and_count_when_they_come_after_all() -> Result<()> {
    let folder = format!("/tallyman-e2e-holes-{}", std::process::id());
    let rules = cgroup_rules(&folder);
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &rules)?;
    site.enrol()?;
    site.kill_aggregator()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    for _ in 0..3 {
        // An orderly stop closes the window: each round is a batch, two when a minute ends in it.
        site.start_metering()?;
        cgroup.spawn(BURN)?.wait()?;
        site.stop_agent()?;
    }
    let listed = run(site.agent_command().args(["spool", "list", "--json"]))?;
    let batches: Value = serde_json::from_str(&listed)?;
    let last = batches.as_array().with_context(|| listed.clone())?.len() as u64;
    ensure!(last >= 3, "{listed}");
    carry(&site, 1)?;
    carry(&site, last)?;

    site.start_aggregator()?;
    let gap = node(&site)?["gaps"][0].clone();
    ensure!(gap["first"] == 2 && gap["last"] == last - 1, "{gap}");
    let id = node(&site)?["node"].as_str().context("an identity")?.to_owned();
    let spool = gap["spool"].as_str().context("a spool")?;
    let range = format!("2..{}", last - 1);
    let order = [
        "hole",
        "give-up",
        &id,
        "--spool",
        spool,
        "--seq",
        &range,
        "--reason",
        "disk replaced",
    ];
    let said = site.admin(&order)?;
    ensure!(said.contains("given up"), "{said}");
    ensure!(site.admin(&order).is_err(), "twice");
    ensure!(
        node(&site)?["gaps"] == Value::Array(Vec::new()),
        "{}",
        node(&site)?
    );
    // Nothing is judged before its hour is sealed.
    ensure!(site.ask("/api/v1/holes")?["holes"] == Value::Array(Vec::new()));
    site.admin(&["hole", "list"])?;
    ensure!(site.ask("/api/v1/seals")?["sealed_until"].is_null());
    site.admin(&["seals"])?;

    // The host has them after all: it sends what was never acknowledged to it.
    let truth = cgroup.cpu_ns()?;
    ensure!(site.usage("acme", "cpu.time")? < truth);
    site.start_metering()?;
    site.billed_exactly("acme", || Ok(truth))?;
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}
