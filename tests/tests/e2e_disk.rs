//! Disks that fill up and are freed again, and syncs that fail, under the real programs: what is billed is what the
//! kernel counted, to the unit.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::disk::{Injection, SmallDisk};
use tallyman_tests::e2e::http;
use tallyman_tests::e2e::process::{run, until};
use tallyman_tests::e2e::site::{Ground, MINUTE, Site, cgroup_rules};

const BURN: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
const SOON: Duration = Duration::from_secs(30);

/// A folder of cgroups for one test, and the rule that meters it.
fn folder(name: &str) -> (String, String) {
    let folder = format!("/tallyman-{name}-{}", std::process::id());
    let rules = cgroup_rules(&folder);
    (folder, rules)
}

fn burn(cgroup: &Cgroup) -> Result<()> {
    ensure!(cgroup.spawn(BURN)?.wait()?.success(), "the workload failed");
    Ok(())
}

/// The value of a metric without labels.
fn metric(site: &Site, name: &str) -> Result<u64> {
    let (_, text) = http::get(site.http, "/metrics", None)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    Ok(line.with_context(|| format!("no {name} in:\n{text}"))?.parse()?)
}

fn ready_is(site: &Site, wanted: u16) -> Result<String> {
    let what = format!("/ready says {wanted}");
    let asked = until(&what, SOON, || {
        let (status, body) = http::get(site.http, "/ready", None)?;
        Ok((status == wanted).then_some(body))
    });
    asked.with_context(|| site.logs())
}

#[test]
fn an_aggregator_on_a_full_disk_takes_nothing_goes_on_by_itself_and_bills_to_the_unit() -> Result<()> {
    let disk = SmallDisk::mount(512)?;
    let (folder, rules) = folder("full-aggregator");
    let _parent = Cgroup::make(&folder)?;
    let ground = Ground::with_folder("aggregator", &disk.folder());
    let mut site = Site::on(&ground, &["acme"], &rules)?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let before = site.usage("acme", "cpu.time")?;
    let reserve = metric(&site, "tallyman_aggregator_disk_reserve_bytes")?;
    assert_eq!(reserve, 32 << 20, "a sixteenth of a small disk");
    disk.fill_to(reserve / 2)?;
    let problem: Value = serde_json::from_str(&ready_is(&site, 503)?)?;
    assert_eq!(problem["type"], "urn:tallyman:problem:disk-full", "{problem}");
    let pid = site.aggregator.as_ref().context("it runs")?.pid();
    site.start_agent()?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.start_agent()?;
    site.agent_says("reason 32", 1, SOON)?;
    // Now without a single byte, for longer than cells wait to be written.
    disk.fill_to(0)?;
    site.agent_says("reason 32", 4, SOON)?;
    ensure!(
        metric(&site, "tallyman_aggregator_disk_free_bytes")? < 1 << 20,
        "it is full"
    );
    assert_eq!(site.usage("acme", "cpu.time")?, before, "questions are answered");
    let refused = site.admin(&["tenant", "set", "late", "--claim", "late", "--currency", "USD"]);
    let refused = format!("{:#}", refused.err().context("a change must be refused")?);
    ensure!(refused.contains("nearly full"), "{refused}");

    disk.make_room()?;
    ready_is(&site, 200)?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.start_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let now = site.aggregator.as_ref().context("it runs")?.pid();
    assert_eq!(pid, now, "the process never ended");
    let log = site.aggregator.as_mut().context("it runs")?;
    ensure!(
        log.is_running()? && log.log_text().contains("make room"),
        "{}",
        log.log_text()
    );
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}

#[test]
fn an_agent_on_a_full_disk_meters_on_says_so_and_bills_to_the_unit() -> Result<()> {
    let disk = SmallDisk::mount(64)?;
    let (folder, rules) = folder("full-agent");
    let _parent = Cgroup::make(&folder)?;
    let ground = Ground::with_folder("agent", &disk.folder());
    let mut site = Site::on(&ground, &["acme"], &rules)?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    burn(&cgroup)?;
    disk.fill_to(0)?;
    burn(&cgroup)?;
    site.agent_says("window-not-closed", 1, MINUTE)?;
    let status = until("the status says so", SOON, || {
        // It ends with a fault when something is wrong; what it prints counts.
        let shown = site.agent_command().args(["status"]).output()?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        Ok(shown.contains("window open").then_some(shown))
    });
    let status = status.with_context(|| site.logs())?;
    ensure!(status.contains("no space left"), "{status}");
    burn(&cgroup)?;
    // Killed and started on the full disk: nothing is lost, for the kernel counts on.
    site.kill_agent()?;
    burn(&cgroup)?;
    site.start_agent()?;
    site.agent_says("metering begins", 2, SOON)?;
    burn(&cgroup)?;
    disk.make_room()?;
    burn(&cgroup)?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    site.stop_agent()?;
    assert_eq!(site.usage("acme", "cpu.time")?, cgroup.cpu_ns()?);
    Ok(())
}

#[test]
fn an_agent_whose_sync_fails_goes_on_in_a_new_segment() -> Result<()> {
    let (folder, rules) = folder("sync-agent");
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &rules)?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    burn(&cgroup)?;
    // A first batch is durable in the segment: that one must stay.
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    burn(&cgroup)?;
    // A minute closes with the sync of a checkpoint, then with that of the segment: the second one fails.
    let log = site.path("strace.log");
    let pid = site.agent.as_ref().context("it runs")?.pid();
    let injection = Injection::attach(pid, "fdatasync:error=EIO:when=2", &log)?;
    Injection::happened(&log, MINUTE)?;
    site.agent_says("window-not-closed", 1, SOON)?;
    burn(&cgroup)?;
    site.agent_says("window-closed-again", 1, MINUTE)?;
    drop(injection);
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    site.stop_agent()?;
    assert_eq!(site.usage("acme", "cpu.time")?, cgroup.cpu_ns()?);
    run(site.agent_command().args(["spool", "verify"]))?;
    Ok(())
}

#[test]
fn an_aggregator_whose_sync_fails_ends_and_has_all_that_it_acknowledged() -> Result<()> {
    let (folder, rules) = folder("sync-aggregator");
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &rules)?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let acknowledged = site.usage("acme", "cpu.time")?;

    let log = site.path("strace.log");
    let pid = site.aggregator.as_ref().context("it runs")?.pid();
    let injection = Injection::attach(pid, "fdatasync,fsync:error=EIO:when=1+", &log)?;
    site.start_agent()?;
    burn(&cgroup)?;
    site.stop_agent()?;
    let mut aggregator = site.aggregator.take().context("it runs")?;
    until("the aggregator ends", SOON, || {
        Ok((!aggregator.is_running()?).then_some(()))
    })
    .with_context(|| site.logs())?;
    drop(injection);
    Injection::happened(&log, SOON)?;
    ensure!(
        aggregator.log_text().contains("nothing more is acknowledged"),
        "{}",
        aggregator.log_text()
    );

    site.start_aggregator()?;
    ensure!(
        site.usage("acme", "cpu.time")? >= acknowledged,
        "what was acknowledged is there"
    );
    site.start_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    Ok(())
}
