//! Who may speak as a node, live under traffic: a host that is set up anew, one that is revoked, certificates that are
//! renewed and expire, a cloned machine. Billed is what the kernel counted, but for a hole that is recorded.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::process::{Running, program, run, until};
use tallyman_tests::e2e::site::{MINUTE, Site, cgroup_rules};

const BURN: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
const LOAD: &str = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; /bin/sleep 0.02; done";
const SOON: Duration = Duration::from_secs(60);
/// Seconds of a short certificate's life.
const LIFE_S: u64 = 6;

fn burn(cgroup: &Cgroup) -> Result<()> {
    ensure!(cgroup.spawn(BURN)?.wait()?.success(), "the workload failed");
    Ok(())
}

fn rows(site: &Site, order: &[&str]) -> Result<Vec<Value>> {
    let text = site.admin(&[order, &["--json"]].concat())?;
    Ok(serde_json::from_str(&text)?)
}

/// Identity and status of every node.
fn nodes(site: &Site) -> Result<Vec<(String, String)>> {
    let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned).context("text");
    let rows = rows(site, &["node", "list"])?;
    rows.iter()
        .map(|row| Ok((text(row, "node")?, text(row, "status")?)))
        .collect()
}

#[test]
fn a_host_that_is_set_up_anew_is_billed_but_for_the_recorded_hole() -> Result<()> {
    let folder = format!("/tallyman-anew-{}", std::process::id());
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &cgroup_rules(&folder))?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let old = nodes(&site)?.remove(0).0;

    // What the old host could not send any more is saved in a file; what runs while nobody meters is the hole.
    site.kill_aggregator()?;
    site.start_metering()?;
    burn(&cgroup)?;
    site.stop_agent()?;
    let file = site.path("saved.tlyx").display().to_string();
    run(site.agent_command().args(["spool", "export", &file]))?;
    let metered = cgroup.cpu_ns()?;
    std::fs::remove_dir_all(site.path("agent"))?;
    burn(&cgroup)?;
    let anew = cgroup.cpu_ns()?;
    ensure!(anew > metered, "there is a hole");

    site.start_aggregator()?;
    site.enrol_by(&["--replaces", &old])?;
    site.start_metering()?;
    burn(&cgroup)?;
    site.stop_agent()?;
    let mut found = nodes(&site)?;
    found.sort_by_key(|(node, _)| *node != old);
    let status: Vec<&str> = found.iter().map(|(_, status)| status.as_str()).collect();
    assert_eq!(status, ["retired", "active"]);
    let imported = run(site.aggregator_command().args(["import", &file]))?;
    ensure!(
        !imported.contains(" 0 new") && imported.contains("0 held, 0 refused"),
        "{imported}"
    );
    let again = run(site.aggregator_command().args(["import", &file]))?;
    ensure!(again.contains(": 0 new"), "{again}");

    let end = cgroup.cpu_ns()?;
    site.billed_exactly("acme", || Ok(cgroup.cpu_ns()? - (anew - metered)))?;
    eprintln!(
        "{} ns billed of {end}, the hole has {}",
        end - (anew - metered),
        anew - metered
    );
    let bill: Value = serde_json::from_str(&site.admin(&["bill", "show", "acme", "--json"])?)?;
    let tells = |key: &Value| key.as_array().is_some_and(|list| !list.is_empty());
    ensure!(
        tells(&bill["unmeasured"]) || tells(&bill["completeness"]["missing"]),
        "the hole is shown: {bill}"
    );
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}

#[test]
fn a_revoked_node_is_cut_off_under_traffic_and_meters_on() -> Result<()> {
    let folder = format!("/tallyman-revoked-{}", std::process::id());
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &cgroup_rules(&folder))?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    let mut load = cgroup.spawn(LOAD)?;
    site.agent_says("INFO connected", 1, SOON)?;
    let node = nodes(&site)?.remove(0).0;
    let asked = Instant::now();
    site.admin(&["node", "revoke", &node])?;
    site.agent_says("retired or revoked", 1, SOON)?;
    eprintln!("cut off after {:?}", asked.elapsed());
    // Writes every cell of what came before.
    site.admin(&["recompute", "--check"])?;
    let billed = site.usage("acme", "cpu.time")?;
    load.kill()?;
    load.wait()?;
    // The last window is closed and stays here.
    site.stop_agent()?;
    let kept = run(site.agent_command().args(["spool", "list"]))?;
    ensure!(!kept.is_empty(), "what was metered is kept");
    let file = site.path("kept.tlyx").display().to_string();
    run(site.agent_command().args(["spool", "export", &file]))?;
    let refused = run(site.aggregator_command().args(["import", &file]));
    ensure!(refused.is_err(), "nothing of a revoked node is taken in");
    let now = site.usage("acme", "cpu.time")?;
    ensure!(now == billed, "billed {now} ns after {billed}");
    Ok(())
}

#[test]
fn certificates_are_renewed_under_traffic_and_after_they_expired() -> Result<()> {
    let folder = format!("/tallyman-renewed-{}", std::process::id());
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &cgroup_rules(&folder))?;
    site.kill_aggregator()?;
    let path = site.path("aggregator.toml");
    let config = std::fs::read_to_string(&path)?;
    let short = config.replace(
        "certificate_life_seconds = 2592000",
        &format!("certificate_life_seconds = {LIFE_S}"),
    );
    ensure!(short != config, "no such key in {config}");
    std::fs::write(&path, short)?;
    site.start_aggregator()?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    let mut load = cgroup.spawn(LOAD)?;
    // At two thirds of each life; a connection ends with the certificate that it was opened with.
    site.agent_says("certificate renewed", 2, SOON)?;
    site.agent_says("the certificate's life is over", 1, SOON)?;
    site.agent_says("INFO connected", 2, SOON)?;

    // The aggregator is away for longer than the certificate lives; metering goes on.
    site.kill_aggregator()?;
    let (renewed, connected) = (
        said(&site, "certificate renewed")?,
        said(&site, "INFO connected")?,
    );
    let expired = Instant::now() + Duration::from_secs(LIFE_S + 1);
    until("the certificate has expired", SOON, || {
        Ok((Instant::now() > expired).then_some(()))
    })?;
    site.start_aggregator()?;
    site.agent_says("certificate renewed", renewed + 1, SOON)?;
    // A killed peer is silent: the agent believes in the old connection for a while.
    site.agent_says("INFO connected", connected + 1, MINUTE)?;
    load.kill()?;
    load.wait()?;
    until("the load has ended", SOON, || {
        Ok(cgroup.is_empty()?.then_some(()))
    })?;
    site.stop_agent()?;
    site.start_metering()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    site.stop_agent()?;

    // The host itself was off meanwhile.
    let expired = Instant::now() + Duration::from_secs(LIFE_S + 1);
    until("the certificate has expired", SOON, || {
        Ok((Instant::now() > expired).then_some(()))
    })?;
    let connected = said(&site, "INFO connected")?;
    site.start_metering()?;
    burn(&cgroup)?;
    // An agent that is stopped before its certificate is renewed keeps its last window for its next start.
    site.agent_says("INFO connected", connected + 1, MINUTE)?;
    site.stop_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())
}

/// How often the agent's log has said so.
fn said(site: &Site, words: &str) -> Result<usize> {
    let log = std::fs::read_to_string(site.path("agent.log"))?;
    Ok(log.matches(words).count())
}

/// A second agent from a copy of the first one's folder.
fn start_copy(site: &Site) -> Result<Running> {
    let (state, copy) = (site.path("agent"), site.path("copy"));
    run(Command::new("cp").arg("-a").arg(&state).arg(&copy))?;
    drop(std::fs::remove_file(copy.join("status.json")));
    let config = std::fs::read_to_string(site.path("agent.toml"))?;
    let (state, copy) = (state.display().to_string(), copy.display().to_string());
    std::fs::write(site.path("copy.toml"), config.replace(&state, &copy))?;
    let mut agent = Command::new(program("tallyman-agent"));
    agent.arg("--config").arg(site.path("copy.toml")).arg("run");
    Running::start(&mut agent, &site.path("copy.log"))
}

#[test]
fn a_cloned_machine_is_billed_once_and_resolved_by_an_operator() -> Result<()> {
    let folder = format!("/tallyman-cloned-{}", std::process::id());
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &cgroup_rules(&folder))?;
    site.enrol()?;
    // Both close a window at a minute's edge, and who is first there is chance.
    until("the minute has room", SOON * 2, || {
        let second = std::time::UNIX_EPOCH.elapsed()?.as_secs() % 60;
        Ok((second < 30).then_some(()))
    })?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;

    let copy = start_copy(&site)?;
    until("the copy is connected", SOON, || {
        Ok(copy.log_text().contains("INFO connected").then_some(()))
    })?;
    site.start_metering()?;
    site.agent_says("INFO connected", 2, SOON)?;
    burn(&cgroup)?;
    site.stop_agent()?;
    copy.stop(SOON)?;
    let cases = until("the clone is noted", SOON, || {
        let cases = rows(&site, &["node", "clones"])?;
        Ok((cases.len() == 2).then_some(cases))
    })
    .with_context(|| site.logs())?;
    eprintln!("{}", site.admin(&["node", "clones"])?);
    for case in &cases {
        let address = case["address"].as_str().context("an address")?;
        ensure!(
            address.starts_with("127.0.0.1:") && case["status"] == "open",
            "{case}"
        );
    }
    let node = cases[0]["node"].as_str().context("a node")?;
    let log = std::fs::read_to_string(site.path("aggregator.log"))?;
    let last = log.lines().rfind(|line| line.contains("node connected"));
    let last = last.context("the real host connected last")?;
    let is_real = |case: &&Value| case["address"].as_str().is_some_and(|a| last.contains(a));
    let real = cases.iter().find(is_real).context("the real host is named")?;
    let keep = real["process"].as_str().context("a process")?.to_owned();
    let order = ["node", "resolve-clone", node, "--keep", &keep[..8]];
    let why = ["--reason", "the other was made from a copy", "--discard-held"];
    let said = site.admin(&[&order[..], &why[..]].concat())?;
    ensure!(said.contains("1 held batches discarded"), "{said}");
    let cases = rows(&site, &["node", "clones"])?;
    ensure!(cases.iter().all(|case| case["status"] == "resolved"), "{cases:?}");
    for case in &cases {
        ensure!(case["refused"] == (case["process"] != *keep), "{case}");
    }

    // The real host goes on; everything is billed once.
    std::fs::remove_dir_all(site.path("copy"))?;
    site.start_metering()?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}

#[test]
fn of_two_copies_that_stay_connected_one_goes_on_in_a_spool_of_its_own() -> Result<()> {
    let folder = format!("/tallyman-copies-{}", std::process::id());
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &cgroup_rules(&folder))?;
    site.enrol()?;
    site.start_metering()?;
    site.stop_agent()?;
    let copy = start_copy(&site)?;
    site.start_metering()?;
    // Both close a window at the same edge of a minute, with one number; the later of the two is contradicted.
    let told = until("one is contradicted", MINUTE, || {
        let logs = [std::fs::read_to_string(site.path("agent.log"))?, copy.log_text()];
        Ok(logs.iter().position(|log| log.contains("spool-contradicted")))
    })
    .with_context(|| site.logs())?;
    until("it greets anew at once", SOON, || {
        let logs = [std::fs::read_to_string(site.path("agent.log"))?, copy.log_text()];
        let log = &logs[told];
        let (_, since) = log.split_once("spool-contradicted").context("it was told")?;
        Ok(since.contains("INFO connected").then_some(()))
    })
    .with_context(|| site.logs())?;
    site.stop_agent()?;
    copy.stop(SOON)?;
    Ok(())
}
