//! Both programs killed again and again at moments chosen by a seed, under load: nothing that was acknowledged goes,
//! and in the end each tenant is billed what the kernel counted, to the nanosecond.
//!
//! `KILLS=100` kills more often, `KILL_SEED=n` chooses other moments.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::process::{pass, until};
use tallyman_tests::e2e::site::{Site, cgroup_rules};
use tallyman_tests::sim::rng::Rng;

const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];
/// Bursts and pauses, so that a kill meets either.
const LOAD: &str = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; /bin/sleep 0.02; done";
const KILLS: u64 = 10;
const SEED: u64 = 3;
/// Milliseconds from one kill to the next at most.
const MOMENT_MS: u64 = 900;
/// After the order to end the last window is written and sent within about this, milliseconds.
const ENDING_MS: u64 = 60;

/// What a kill hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// The agent, wherever it is.
    Agent,
    /// The agent while it closes and sends a window.
    EndingAgent,
    /// The aggregator, wherever it is.
    Aggregator,
    /// The aggregator while batches come.
    ReceivingAggregator,
    /// Both.
    Both,
}

const TARGETS: [Target; 5] = [
    Target::Agent,
    Target::EndingAgent,
    Target::Aggregator,
    Target::ReceivingAggregator,
    Target::Both,
];

struct Load {
    cgroups: Vec<Cgroup>,
    children: Vec<Child>,
}

impl Load {
    fn start(folder: &str) -> Result<Self> {
        let mut load = Self {
            cgroups: Vec::new(),
            children: Vec::new(),
        };
        for tenant in TENANTS {
            let cgroup = Cgroup::make(&format!("{folder}/{tenant}"))?;
            load.children.push(cgroup.spawn(LOAD)?);
            load.cgroups.push(cgroup);
        }
        Ok(load)
    }

    fn stop(&mut self) -> Result<()> {
        for mut child in self.children.drain(..) {
            child.kill()?;
            child.wait()?;
        }
        // A pause that it had begun ends after it, and counts too.
        until("the load has ended", Duration::from_secs(10), || {
            let left = self.cgroups.iter().map(Cgroup::is_empty);
            Ok(left
                .collect::<Result<Vec<bool>>>()?
                .iter()
                .all(|empty| *empty)
                .then_some(()))
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A test that fails leaves no load behind.
        let _ = self.stop();
    }
}

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

fn kill(site: &mut Site, target: Target, rng: &mut Rng) -> Result<()> {
    match target {
        Target::Agent => site.kill_agent(),
        Target::Aggregator => site.kill_aggregator(),
        Target::EndingAgent => {
            site.agent.as_ref().context("it runs")?.ask_to_end()?;
            pass(Duration::from_millis(rng.below(ENDING_MS)));
            site.kill_agent()
        }
        Target::ReceivingAggregator => {
            site.agent.as_ref().context("it runs")?.ask_to_end()?;
            pass(Duration::from_millis(rng.below(ENDING_MS)));
            site.kill_aggregator()?;
            site.kill_agent()
        }
        Target::Both => {
            site.kill_agent()?;
            site.kill_aggregator()
        }
    }
}

fn revive(site: &mut Site) -> Result<()> {
    if site.aggregator.is_none() {
        site.start_aggregator()?;
    }
    if site.agent.is_none() {
        site.start_agent()?;
    }
    Ok(())
}

#[test]
fn kills_at_any_moment_lose_and_double_nothing() -> Result<()> {
    let (kills, seed) = (number("KILLS", KILLS)?, number("KILL_SEED", SEED)?);
    eprintln!("KILLS={kills} KILL_SEED={seed}");
    let folder = format!("/tallyman-kills-{}", std::process::id());
    let rules = cgroup_rules(&folder);
    let _parent = Cgroup::make(&folder)?;
    let mut site = Site::new(&TENANTS, &rules)?;
    site.enrol()?;
    site.start_metering()?;
    let mut load = Load::start(&folder)?;
    let (mut rng, mut hits, mut billed) = (Rng::new(seed), Vec::new(), vec![0; TENANTS.len()]);
    for round in 0..kills {
        pass(Duration::from_millis(rng.below(MOMENT_MS)));
        let target = TARGETS[usize::try_from(rng.below(TARGETS.len() as u64))?];
        hits.push(target);
        kill(&mut site, target, &mut rng).with_context(|| site.logs())?;
        revive(&mut site).with_context(|| format!("kill {round} of seed {seed}: {target:?}"))?;
        for ((tenant, cgroup), before) in TENANTS.iter().zip(&load.cgroups).zip(&mut billed) {
            let (now, truth) = (site.usage(tenant, "cpu.time")?, cgroup.cpu_ns()?);
            let place = format!("kill {round} of seed {seed}: {target:?}, {tenant}");
            ensure!(
                now <= truth,
                "{place}: billed {now} ns, the kernel counted {truth}"
            );
            ensure!(now >= *before, "{place}: billed {now} ns after {before}");
            *before = now;
        }
    }
    load.stop()?;
    // The last window is closed by an end in order; what did not get away then goes at the next start.
    site.kill_agent()?;
    site.start_metering()?;
    site.stop_agent().with_context(|| site.logs())?;
    site.start_agent()?;
    for (tenant, cgroup) in TENANTS.iter().zip(&load.cgroups) {
        site.billed_exactly(tenant, || cgroup.cpu_ns())
            .with_context(|| format!("seed {seed}, hits {hits:?}"))?;
        eprintln!("{tenant}: {} ns billed and counted", cgroup.cpu_ns()?);
    }
    let check = site.admin(&["recompute", "--check"])?;
    ensure!(!check.contains("differ"), "{check}");
    hits.sort_unstable();
    for target in TARGETS {
        eprintln!(
            "{target:?}: {}",
            hits.iter().filter(|hit| **hit == target).count()
        );
    }
    Ok(())
}
