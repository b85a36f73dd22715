//! The agent with 500 workloads: processor time and memory of the whole process, over minutes with their windows
//! closed, signed, synced and shipped, against a bare loop of `pread` over the very same files.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tallyman_tests::e2e::cgroup::Cgroup;
use tallyman_tests::e2e::process::until;
use tallyman_tests::e2e::site::Site;

use super::bare;
use super::cost::{cpu_of, memory_of, reads_of};
use super::report::{Report, Target};
use super::say;

/// How much of everything.
struct Scale {
    cgroups: usize,
    /// Those in which something happens; in the others a process rests.
    busy: usize,
    /// Whole minutes, so that each has its windows.
    time: Duration,
    bare_sweeps: u32,
}

const FULL: Scale = Scale {
    cgroups: 500,
    busy: 5,
    time: Duration::from_secs(300),
    bare_sweeps: 15,
};
const QUICK: Scale = Scale {
    cgroups: 5,
    busy: 1,
    time: Duration::from_secs(4),
    bare_sweeps: 1,
};

/// The agent's interval and the bare loop's.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// Files that the agent reads in full sweeps only.
const SELDOM: &[&str] = &["memory.stat", "memory.swap.current"];
/// One sweep of so many is full.
const FULL_EVERY: f64 = 5.0;
/// How long the agent may take to find all workloads.
const FOUND_MAX: Duration = Duration::from_secs(60);
/// The measurement.
pub fn run(quick: bool) -> Result<Report> {
    let scale = if quick { QUICK } else { FULL };
    let mut report = Report::new("agent");
    say(&format!("making {} cgroups", scale.cgroups));
    let group = format!("/tallyman-bench-{}", std::process::id());
    let _tenants = Tenants::make(&group, &scale)?;
    let mut site = Site::new(&[], &rules(&group))?;
    site.enrol()?;
    site.start_agent()?;
    let pid = site.agent.as_ref().context("just started")?.pid();
    let files = until("the agent has found all cgroups", FOUND_MAX, || {
        let files = bare::files_of(pid, &group)?;
        Ok((bare::folders(&files) == scale.cgroups).then_some(files))
    })
    .with_context(|| site.logs())?;
    say("the bare loop, before");
    let before = Bare::run(&files, scale.bare_sweeps)?;
    say(&format!("the agent for {} s", scale.time.as_secs()));
    let agent = watch(pid, scale.time)?;
    say("the bare loop, after");
    let after = Bare::run(&files, scale.bare_sweeps)?;
    let sweeps = scale.time.as_secs_f64() / INTERVAL.as_secs_f64();
    let samples = scale.cgroups as f64 * sweeps;
    let per_sample = agent.cpu.as_secs_f64() * 1e6 / samples;
    let us = |a: Duration, b: Duration| {
        (a + b).as_secs_f64() * 1e6 / (scale.cgroups as f64 * f64::from(scale.bare_sweeps) * 2.0)
    };
    let (all, often) = (us(before.all, after.all), us(before.often, after.often));
    // The agent opens some files only for every fifth sweep and for the one at a minute's edge, which is one of them.
    let bare = often + (all - often) / FULL_EVERY;
    let share = 100.0 * agent.cpu.as_secs_f64() / scale.time.as_secs_f64();
    report.figure("cgroups", scale.cgroups as f64, "");
    report.figure("agent's CPU, share of one processor", share, "%");
    report.figure("agent's CPU per workload and sample", per_sample, "µs");
    report.figure("agent's reads per sweep", agent.reads as f64 / sweeps, "");
    report.figure("bare loop over all files, per workload and sample", all, "µs");
    report.figure("bare loop over those of each sweep", often, "µs");
    report.figure("bare loop at the agent's own rate of each file", bare, "µs");
    report.judged("agent / bare loop", per_sample / bare, "×", Target::AtMost(2.0));
    report.judged(
        "agent's memory now",
        memory_of(pid, "VmRSS")? as f64 / 1e6,
        "MB",
        Target::AtMost(20.0),
    );
    report.figure(
        "agent's memory, most",
        memory_of(pid, "VmHWM")? as f64 / 1e6,
        "MB",
    );
    report.note("the agent is connected: its windows are acknowledged by an aggregator on the same machine");
    Ok(report)
}

/// The bare loop's CPU time.
struct Bare {
    all: Duration,
    often: Duration,
}

impl Bare {
    fn run(files: &[PathBuf], sweeps: u32) -> Result<Self> {
        let is_often = |file: &&PathBuf| !SELDOM.iter().any(|name| file.ends_with(name));
        let often: Vec<PathBuf> = files.iter().filter(is_often).cloned().collect();
        let all = bare::run(files, INTERVAL, sweeps)?.cpu;
        let often = bare::run(&often, INTERVAL, sweeps)?.cpu;
        Ok(Self { all, often })
    }
}

fn rules(group: &str) -> String {
    format!("host = false\n\n[docker]\nenabled = false\n\n[[cgroup]]\npath = \"{group}/*\"\nowner = \"$1\"\n")
}

/// What a process spent.
pub struct Spent {
    /// CPU time.
    pub cpu: Duration,
    /// Calls that read.
    pub reads: u64,
}

/// What a process spends in some time.
pub fn watch(pid: u32, time: Duration) -> Result<Spent> {
    let (cpu, reads) = (cpu_of(pid)?, reads_of(pid)?);
    wait_until(Instant::now() + time);
    Ok(Spent {
        cpu: cpu_of(pid)? - cpu,
        reads: reads_of(pid)? - reads,
    })
}

/// Lets time pass that is being measured.
pub fn wait_until(end: Instant) {
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

/// Cgroups with a process each. Dropped in the order of the fields, when the processes are gone.
struct Tenants {
    children: Vec<Child>,
    _cgroups: Vec<Cgroup>,
    _parent: Cgroup,
}

impl Tenants {
    fn make(group: &str, scale: &Scale) -> Result<Self> {
        let parent = Cgroup::make(group)?;
        let mut tenants = Self {
            children: Vec::new(),
            _cgroups: Vec::new(),
            _parent: parent,
        };
        for number in 0..scale.cgroups {
            let cgroup = Cgroup::make(&format!("{group}/tenant-{number:03}"))?;
            let script = if number < scale.busy {
                BUSY
            } else {
                "exec sleep 1200"
            };
            tenants.children.push(cgroup.spawn(script)?);
            tenants._cgroups.push(cgroup);
        }
        Ok(tenants)
    }
}

/// A little of everything each second, for twenty minutes at most.
const BUSY: &str = "for n in $(seq 1200); do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 1; done";

impl Drop for Tenants {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        // What a busy shell was waiting for ends by itself; a cgroup with a process can't be removed.
        wait_until(Instant::now() + Duration::from_millis(1_200));
    }
}
