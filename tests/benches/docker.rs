//! The agent against Docker's stats API, for the same containers: what the engine spends to answer once for each of
//! them, and what the agent spends for a sweep.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tallyman_tests::e2e::docker::{Container, image};
use tallyman_tests::e2e::process::until;
use tallyman_tests::e2e::site::Site;

use super::agent::{INTERVAL, watch};
use super::bare;
use super::cost::cpu_of_named;
use super::report::{Report, Target};
use super::say;

const SOCKET: &str = "/var/run/docker.sock";
/// The engine, what it runs containers with, and each container's keeper (names are cut off at 15 bytes).
const ENGINE: &[&str] = &["dockerd", "containerd", "containerd-shim"];
const FOUND_MAX: Duration = Duration::from_secs(90);
/// How long starting all containers may take; what has started by then is measured.
const START_MAX: Duration = Duration::from_secs(180);
const RULES: &str = "host = false\n";

/// The measurement.
pub fn run(quick: bool) -> Result<Report> {
    let (wanted, sweeps, time) = if quick { (2, 1, 4) } else { (100, 10, 60) };
    let mut report = Report::new("docker");
    if UnixStream::connect(SOCKET).is_err() {
        report.note("not measured: no Docker Engine answers (run it beside `scripts/docker-up.sh run`)");
        return Ok(report);
    }
    say(&format!("starting {wanted} containers"));
    let containers = start(wanted)?;
    if containers.len() < wanted {
        report.note(format!(
            "only {} of {wanted} containers started in {START_MAX:?}",
            containers.len()
        ));
    }
    let mut site = Site::new(&[], RULES)?;
    site.enrol()?;
    site.start_agent()?;
    let pid = site.agent.as_ref().context("just started")?.pid();
    until("the agent has found all containers", FOUND_MAX, || {
        let files = bare::files_of(pid, "")?;
        let found = |c: &Container| files.iter().any(|f| f.to_string_lossy().contains(&c.id));
        Ok(containers.iter().all(found).then_some(()))
    })
    .with_context(|| site.logs())?;
    say(&format!("the agent for {time} s"));
    let agent = watch(pid, Duration::from_secs(time))?;
    site.kill_agent()?;
    say("Docker's stats API");
    let engine = ask_all(&containers, sweeps)?;
    let count = containers.len() as f64;
    let samples = count * time as f64 / INTERVAL.as_secs_f64();
    let per_sample = agent.cpu.as_secs_f64() * 1e6 / samples;
    let per_answer = engine.as_secs_f64() * 1e6 / (count * f64::from(sweeps));
    report.figure("containers", count, "");
    report.figure("agent's CPU per container and sample", per_sample, "µs");
    report.figure("engine's CPU per container and one-shot answer", per_answer, "µs");
    report.judged(
        "agent / engine",
        per_sample / per_answer,
        "×",
        Target::AtMost(1.0 / 15.0),
    );
    Ok(report)
}

fn start(wanted: usize) -> Result<Vec<Container>> {
    image()?;
    let end = Instant::now() + START_MAX;
    let mut containers = Vec::with_capacity(wanted);
    while containers.len() < wanted && Instant::now() < end {
        containers.push(Container::start(&[], "exec busybox sleep 900")?);
    }
    Ok(containers)
}

/// CPU time of the engine for one answer about each container, `sweeps` times.
fn ask_all(containers: &[Container], sweeps: u32) -> Result<Duration> {
    sweep(containers)?;
    let before = cpu_of_named(ENGINE)?;
    for _ in 0..sweeps {
        sweep(containers)?;
    }
    Ok(cpu_of_named(ENGINE)? - before)
}

/// All at once, as collectors ask: an answer waits for the engine's next look, up to a second.
fn sweep(containers: &[Container]) -> Result<()> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = containers.iter().map(|c| scope.spawn(|| ask(&c.id))).collect();
        asking
            .into_iter()
            .try_for_each(|thread| thread.join().expect("asking does not panic"))
    })
}

fn ask(id: &str) -> Result<()> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "GET /containers/{id}/stats?stream=false&one-shot=true HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("cpu_stats"),
        "stats of {id}: {answer}"
    );
    Ok(())
}
