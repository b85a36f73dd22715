//! A cable that is cut between two hosts, and a way that loses, doubles and reorders: once it is good again everything
//! has arrived, once.

use std::time::Duration;

use anyhow::{Result, ensure};
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::hosts::{Hosts, Relay};
use tallyman_tests::e2e::site::{Ground, Site, cgroup_rules};

const BURN: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
const SOON: Duration = Duration::from_secs(30);
const SEED: u64 = 20_260_101;

fn burn(cgroup: &Cgroup) -> Result<()> {
    ensure!(cgroup.spawn(BURN)?.wait()?.success(), "the workload failed");
    Ok(())
}

#[test]
fn a_cut_between_two_hosts_loses_and_doubles_nothing() -> Result<()> {
    let folder = format!("/tallyman-cut-{}", std::process::id());
    let hosts = Hosts::make()?;
    hosts.enter()?;
    let _parent = Cgroup::make(&folder)?;
    let ground = Ground {
        address: Hosts::ADDRESS.to_owned(),
        agent_namespace: Some(hosts.there().to_owned()),
        ..Ground::default()
    };
    let mut site = Site::on(&ground, &["acme"], &cgroup_rules(&folder))?;
    site.enrol()?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let before = site.usage("acme", "cpu.time")?;
    // Cut while a session stands: what is closed meanwhile stays.
    site.start_metering()?;
    site.agent_says("INFO connected", 1, SOON)?;
    hosts.set_cable(false)?;
    burn(&cgroup)?;
    site.stop_agent()?;
    site.start_metering()?;
    burn(&cgroup)?;
    site.agent_says("not connected: ", 1, SOON)?;
    assert_eq!(site.usage("acme", "cpu.time")?, before, "nothing came over");
    site.stop_agent()?;
    site.start_metering()?;
    hosts.set_cable(true)?;
    burn(&cgroup)?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}

#[test]
fn a_way_that_loses_doubles_and_reorders_delivers_each_batch_once() -> Result<()> {
    let folder = format!("/tallyman-loss-{}", std::process::id());
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&["acme"], &cgroup_rules(&folder))?;
    site.enrol()?;
    let relay = Relay::start(site.quic, SEED)?;
    site.send_agent_to(relay.port)?;
    site.start_metering()?;
    let cgroup = Cgroup::make(&format!("{folder}/acme"))?;
    relay.set_bad(true);
    for _ in 0..5 {
        burn(&cgroup)?;
        site.stop_agent()?;
        site.start_metering()?;
    }
    burn(&cgroup)?;
    site.stop_agent()?;
    relay.set_bad(false);
    site.start_metering()?;
    site.billed_exactly("acme", || cgroup.cpu_ns())?;
    let (lost, passed) = relay.counts();
    eprintln!("{lost} datagrams lost, {passed} passed");
    ensure!(lost > 0, "the way was bad");
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    Ok(())
}
