//! `run`: opens everything in order, puts the network on a thread of its own and the sampler on this one, and ends in
//! order.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tallyman_agent_core::{Agent, AgentConfig, Fresh, Identity};
use tallyman_common::ids::{Nonce, SpoolId};
use tokio::signal::unix::{SignalKind, signal};

use crate::advice::Advice;
use crate::config::{Config, DEFAULT_PATH};
use crate::control;
use crate::inbox::{InboxSender, Input, inbox};
use crate::io::cgroup::CgroupTrees;
use crate::io::clock::{Clock, NS_PER_S, boot_ns, wall};
use crate::io::disk::FolderDisk;
use crate::io::docker::{Session, pause_after};
use crate::io::host;
use crate::io::keys::KeyFolder;
use crate::io::watch::Watch;
use crate::limits::{FULL_EVERY_S, HOLD_MS, LIVE_EVERY_MS, STOP_NETWORK_MAX};
use crate::meter::{Machine, Meter, Parts};
use crate::net::Way;
use crate::outbox::outbox;
use crate::sampler;
use crate::service::Service;

/// Name of the file that the running agent holds locked.
pub const LOCK_FILE: &str = "lock";

/// Meters until asked to end.
pub fn run(config: &Config) -> Result<()> {
    if config.path.is_none() {
        tracing::info!("{DEFAULT_PATH} does not exist: every key has its default");
    }
    // Before anything is made: a state folder without keys is left as it is.
    let keys = KeyFolder::of_state(&config.state);
    let enrolment = keys.enrolment()?;
    let _lock = lock(&config.state)?;
    raise_file_limit();
    let server = match &config.server {
        Some(server) => server.clone(),
        None => enrolment.server.parse().map_err(anyhow::Error::msg)?,
    };
    let machine = machine()?;
    let hardware = host::hardware(&machine.sys, &machine.proc);
    let identity = Identity {
        node: enrolment.node,
        key: keys.signing_key()?,
        inventory: host::inventory().map_err(|e| anyhow::anyhow!("the machine can't be described: {e:?}"))?,
    };
    let mut disk = FolderDisk::open(&config.spool())?;
    let fresh = Fresh {
        spool: SpoolId(random()?),
        nonce: Nonce(random()?),
    };
    let core = core_config(config, hardware.clone());
    let (agent, notices) = Agent::open(core, identity, machine.clock.now(), fresh, &mut disk)?;
    tracing::info!(node = %enrolment.node, %server, cgroups = ?machine.trees.mode(), "metering begins");

    let (sender, inbox) = inbox().context("no channel to the sampler")?;
    let (outbox, from) = outbox();
    let parts = Parts {
        machine,
        selection: config.selection(),
        host: config.host,
        hardware,
        advice: Advice::new(
            config.mapping.clone(),
            config.path.clone().unwrap_or_else(|| DEFAULT_PATH.into()),
        ),
    };
    let watch = Watch::open().context("no inotify")?;
    let mut meter = Meter::new(agent, disk, parts, outbox, watch);
    for notice in &notices {
        meter.notices.tell(notice, boot_ns());
    }
    let (done, network_done) = channel();
    let way = Way::new(server, keys, sender.clone(), from);
    let (socket, state) = (config.docker.clone(), config.state.clone());
    std::thread::Builder::new()
        .name("network".to_owned())
        .spawn(move || network(way, socket.as_deref(), state, sender, &done))
        .context("no thread for the network")?;
    let is_connected = sampler::run(meter, &inbox, &mut Service::new(&config.state))?;
    // What is still on its way then is sent at the next start.
    if is_connected && network_done.recv_timeout(STOP_NETWORK_MAX).is_err() {
        tracing::info!(
            "the network did not end in time; what was not acknowledged is sent at the next start"
        );
    }
    tracing::info!("metering ended in order");
    Ok(())
}

/// The machine as it shows itself.
pub fn machine() -> Result<Machine> {
    let (proc, sys) = (Path::new("/proc"), Path::new("/sys"));
    let trees = CgroupTrees::find(proc)?;
    if trees.mode().is_none() {
        tracing::error!("no cgroup tree is mounted: only the machine as a whole can be metered");
    }
    Ok(Machine {
        proc: proc.to_owned(),
        sys: sys.to_owned(),
        trees,
        clock: Clock::open(proc)?,
    })
}

/// Holds the state folder for this process; made if there is none.
fn lock(state: &Path) -> Result<File> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
    made.with_context(|| format!("{}", state.display()))?;
    let path = state.join(LOCK_FILE);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("{}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!(
            "another tallyman-agent runs on {}: two would meter everything twice",
            state.display()
        );
    }
    Ok(file)
}

/// Whether an agent runs on a state folder.
pub fn is_running(state: &Path) -> bool {
    let Ok(file) = File::open(state.join(LOCK_FILE)) else {
        return false;
    };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

fn core_config(config: &Config, hardware: tallyman_agent_core::Hardware) -> AgentConfig {
    AgentConfig {
        interval_ns: config.interval_s * NS_PER_S,
        full_every_ticks: u32::try_from(FULL_EVERY_S.div_ceil(config.interval_s)).expect("seconds are few"),
        hold_ms: HOLD_MS,
        live_every_ms: LIVE_EVERY_MS,
        sources: config.sources(),
        mapping: config.mapping.clone(),
        hardware,
        clock_ticks_per_s: rustix::param::clock_ticks_per_second(),
        spool_bytes_max: config.spool_bytes_max(),
        retention_ms: config.retention_ms(),
        backlog_bytes_per_s: config.backlog_bytes_per_s(),
    }
}

/// A few descriptors for each workload.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files was not raised; many workloads may not be readable");
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    Ok(bytes)
}

/// The network's thread: everything that waits.
fn network(way: Way, docker: Option<&Path>, state: PathBuf, inbox: InboxSender, done: &Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the kernel gives an epoll descriptor");
    runtime.block_on(async {
        tokio::select! {
            () = way.run() => {}
            () = stop_on_signal(&inbox) => {}
            () = follow_docker(docker, &inbox) => {}
            () = control::serve(state, inbox.clone()) => {}
        }
    });
    runtime.shutdown_timeout(Duration::ZERO);
    // Nobody waits any more when the sampler failed.
    let _ = done.send(());
}

/// Never returns: the way ends the thread, once the sampler has.
async fn stop_on_signal(inbox: &InboxSender) {
    let terminate = signal(SignalKind::terminate()).and_then(|t| Ok((t, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match terminate {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals can't be waited for: a stop will look like a crash");
            return std::future::pending().await;
        }
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The sampler may have ended already.
        drop(inbox.send(Input::Stop).await);
    }
}

/// Never returns. Docker that is absent or starts anew is waited for; containers are metered all the same.
async fn follow_docker(socket: Option<&Path>, inbox: &InboxSender) {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    let (mut failures, mut told, mut since) = (0, None, wall());
    loop {
        let ended = match Session::open(socket).await {
            Ok(session) => {
                failures = 0;
                told = None;
                tracing::info!(socket = %socket.display(), "Docker answers");
                drop(inbox.send(Input::Docker(None)).await);
                let mut tell = async |description| drop(inbox.send(Input::Described(description)).await);
                let ended = session.follow(since, &mut tell).await;
                since = wall();
                ended
            }
            Err(error) => error,
        };
        let words = ended.to_string();
        if told.as_ref() != Some(&words) {
            tracing::warn!("{words}; containers are metered, but their labels are not known");
            told = Some(words.clone());
        }
        drop(inbox.send(Input::Docker(Some(words))).await);
        tokio::time::sleep(pause_after(failures)).await;
        failures += 1;
    }
}
