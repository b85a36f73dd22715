//! `status` and `spool`: what an operator sees of an agent, running or stopped. Reads only.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tallyman_agent_core::spool::{self, Verified};
use tallyman_agent_core::{Disk, DiskError, Listed};

use crate::cli::Outcome;
use crate::config::Config;
use crate::io::clock::wall;
use crate::io::disk::FolderDisk;
use crate::io::keys::KeyFolder;
use crate::run::is_running;
use crate::service::STATUS_FILE;

/// Prints how the agent is doing. Bad when it does not run.
pub fn status(config: &Config, as_json: bool) -> Result<Outcome> {
    let running = is_running(&config.state);
    let last: Option<Value> = match fs::read(config.state.join(STATUS_FILE)) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(_) => None,
    };
    let spool = verified(&config.spool())?;
    let enrolment = KeyFolder::of_state(&config.state).enrolment();
    if as_json {
        let enrolment = enrolment.as_ref().ok();
        let all = json!({ "running": running, "enrolment": enrolment, "last": last, "spool": spool });
        println!("{all:#}");
    } else {
        println!("running       {}", if running { "yes" } else { "no" });
        match &enrolment {
            Ok(enrolment) => println!("node          {} at {}", enrolment.node, enrolment.server),
            Err(error) => println!("node          {error}"),
        }
        if let Some(last) = &last {
            print_last(last, running);
        }
        let Verified {
            segments,
            frames,
            bytes,
            damage,
        } = &spool;
        println!("spool         {frames} batches, {bytes} bytes in {segments} files");
        damage.iter().for_each(|line| println!("  damaged     {line}"));
    }
    Ok(if running && spool.damage.is_empty() {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

fn print_last(last: &Value, running: bool) {
    let age_s = last["written"]
        .as_u64()
        .and_then(|at| wall().0.checked_sub(at))
        .map(|ms| ms / 1_000);
    let when = age_s.map_or_else(|| "at an unknown time".to_owned(), |s| format!("{s} s ago"));
    println!(
        "as of         {when}{}",
        if running { "" } else { ", before it stopped" }
    );
    let agent = &last["agent"];
    println!(
        "workloads     {} ({} wait for their labels)",
        agent["workloads"], agent["held_workloads"]
    );
    println!("last window   {}", agent["last_window"]);
    println!(
        "batches       newest {}, not acknowledged {}, held by the aggregator {}",
        agent["last_seq"], agent["unacked"], agent["held_batches"]
    );
    println!(
        "spool limit   {} of {} bytes used",
        agent["spool_bytes"], agent["spool_bytes_max"]
    );
    println!("read faults   {}", agent["read_faults"]);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(fault) = text(&agent["close_fault"]) {
        println!("window open   {fault}");
    }
    let link = &last["link"];
    match (link["connected"].as_bool(), text(&link["fault"])) {
        (Some(true), _) => println!("aggregator    connected"),
        (_, Some(fault)) => println!("aggregator    not connected: {fault}"),
        _ => println!("aggregator    not connected"),
    }
    if let Some(fault) = text(&last["docker_fault"]) {
        println!("docker        {fault}");
    }
}

/// Prints one line per batch.
pub fn list(config: &Config, as_json: bool) -> Result<Outcome> {
    let frames = match open(&config.spool())? {
        Some(mut disk) => spool::list(&mut disk)?,
        None => Vec::new(),
    };
    if as_json {
        println!("{}", serde_json::to_string_pretty(&frames)?);
        return Ok(Outcome::Good);
    }
    println!(
        "{:<32} {:>10} {:>5} {:>13} {:>10} {:>8}  file",
        "spool", "seq", "part", "wall end ms", "ms", "bytes"
    );
    for frame in &frames {
        let part = format!("{}/{}", frame.part.0 + 1, frame.part.1);
        let (end, length) = (frame.window.wall_end.0, frame.window.length_ms());
        let (spool, seq, bytes, segment) = (frame.spool, frame.seq, frame.bytes, &frame.segment);
        println!("{spool:<32} {seq:>10} {part:>5} {end:>13} {length:>10} {bytes:>8}  {segment}");
    }
    Ok(Outcome::Good)
}

/// Reads everything and tells damage. Bad when there is any.
pub fn verify(config: &Config, as_json: bool) -> Result<Outcome> {
    let verified = verified(&config.spool())?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&verified)?);
    } else {
        let Verified {
            segments,
            frames,
            bytes,
            damage,
        } = &verified;
        println!(
            "{frames} batches, {bytes} bytes in {segments} files: {}",
            if damage.is_empty() { "sound" } else { "damaged" }
        );
        damage.iter().for_each(|line| println!("  {line}"));
    }
    Ok(if verified.damage.is_empty() {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

fn verified(folder: &Path) -> Result<Verified> {
    match open(folder)? {
        Some(mut disk) => Ok(spool::verify(&mut disk)?),
        None => Ok(Verified::default()),
    }
}

/// The spool, if there is one; nothing is made.
fn open(folder: &Path) -> Result<Option<ReadOnly>> {
    if !folder
        .try_exists()
        .with_context(|| format!("{}", folder.display()))?
    {
        return Ok(None);
    }
    Ok(Some(ReadOnly(FolderDisk::open(folder)?)))
}

/// The spool of another process: changing it would be a mistake.
struct ReadOnly(FolderDisk);

impl ReadOnly {
    fn refused() -> DiskError {
        DiskError::Failed("the spool is only read here".to_owned())
    }
}

impl Disk for ReadOnly {
    fn list(&mut self) -> Result<Vec<Listed>, DiskError> {
        self.0.list()
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.0.read(name)
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        self.0.read_at(name, offset, len)
    }

    fn append(&mut self, _name: &str, _bytes: &[u8]) -> Result<(), DiskError> {
        Err(Self::refused())
    }

    fn sync(&mut self, _name: &str) -> Result<(), DiskError> {
        Err(Self::refused())
    }

    fn truncate(&mut self, _name: &str, _len: u64) -> Result<(), DiskError> {
        Err(Self::refused())
    }

    fn remove(&mut self, _name: &str) -> Result<(), DiskError> {
        Err(Self::refused())
    }
}
