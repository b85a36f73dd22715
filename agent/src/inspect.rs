//! `status` and `spool`: what an operator sees of an agent, running or stopped. Reads only.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tallyman_agent_core::spool::{self, Verified};
use tallyman_agent_core::{Disk, DiskError, Listed};

use crate::cli::{Outcome, say};
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
        say(&format!("{all:#}\n"))?;
    } else {
        let mut text = format!("running       {}\n", if running { "yes" } else { "no" });
        match &enrolment {
            Ok(enrolment) => writeln!(text, "node          {} at {}", enrolment.node, enrolment.server)?,
            Err(error) => writeln!(text, "node          {error}")?,
        }
        if let Some(last) = &last {
            show_last(&mut text, last, running)?;
        }
        write!(text, "spool         {}", summary(&spool))?;
        say(&text)?;
    }
    let is_good = running && spool.damage.is_empty();
    Ok(if is_good { Outcome::Good } else { Outcome::Bad })
}

fn show_last(text: &mut String, last: &Value, running: bool) -> std::fmt::Result {
    let written = last["written"].as_u64();
    let age_s = written
        .and_then(|at| wall().0.checked_sub(at))
        .map(|ms| ms / 1_000);
    let when = age_s.map_or_else(|| "at an unknown time".to_owned(), |s| format!("{s} s ago"));
    let stopped = if running { "" } else { ", before it stopped" };
    writeln!(text, "as of         {when}{stopped}")?;
    let agent = &last["agent"];
    let (workloads, held) = (&agent["workloads"], &agent["held_workloads"]);
    writeln!(text, "workloads     {workloads} ({held} wait for their labels)")?;
    writeln!(text, "last window   {}", agent["last_window"])?;
    let (newest, unacked, held) = (&agent["last_seq"], &agent["unacked"], &agent["held_batches"]);
    writeln!(
        text,
        "batches       newest {newest}, not acknowledged {unacked}, held by the aggregator {held}"
    )?;
    let (used, limit) = (&agent["spool_bytes"], &agent["spool_bytes_max"]);
    writeln!(text, "spool limit   {used} of {limit} bytes used")?;
    writeln!(text, "read faults   {}", agent["read_faults"])?;
    if let Some(fault) = agent["close_fault"].as_str() {
        writeln!(text, "window open   {fault}")?;
    }
    let link = &last["link"];
    match (link["connected"].as_bool(), link["fault"].as_str()) {
        (Some(true), _) => writeln!(text, "aggregator    connected")?,
        (_, Some(fault)) => writeln!(text, "aggregator    not connected: {fault}")?,
        _ => writeln!(text, "aggregator    not connected")?,
    }
    match last["docker_fault"].as_str() {
        Some(fault) => writeln!(text, "docker        {fault}"),
        None => Ok(()),
    }
}

/// Prints one line per batch.
pub fn list(config: &Config, as_json: bool) -> Result<Outcome> {
    let frames = match open(&config.spool())? {
        Some(mut disk) => spool::list(&mut disk)?,
        None => Vec::new(),
    };
    if as_json {
        say(&format!("{}\n", serde_json::to_string_pretty(&frames)?))?;
        return Ok(Outcome::Good);
    }
    let mut text = format!(
        "{:<32} {:>10} {:>5} {:>13} {:>10} {:>8}  file\n",
        "spool", "seq", "part", "wall end ms", "ms", "bytes"
    );
    for frame in &frames {
        let part = format!("{}/{}", frame.part.0 + 1, frame.part.1);
        let (end, length) = (frame.window.wall_end.0, frame.window.length_ms());
        let (spool, seq, bytes, segment) = (frame.spool, frame.seq, frame.bytes, &frame.segment);
        writeln!(
            text,
            "{spool:<32} {seq:>10} {part:>5} {end:>13} {length:>10} {bytes:>8}  {segment}"
        )?;
    }
    say(&text)?;
    Ok(Outcome::Good)
}

/// Reads everything and tells damage. Bad when there is any.
pub fn verify(config: &Config, as_json: bool) -> Result<Outcome> {
    let verified = verified(&config.spool())?;
    if as_json {
        say(&format!("{}\n", serde_json::to_string_pretty(&verified)?))?;
    } else {
        say(&summary(&verified))?;
    }
    let is_sound = verified.damage.is_empty();
    Ok(if is_sound { Outcome::Good } else { Outcome::Bad })
}

fn summary(verified: &Verified) -> String {
    let Verified {
        segments,
        frames,
        bytes,
        damage,
    } = verified;
    let judged = if damage.is_empty() { "sound" } else { "damaged" };
    let mut text = format!("{frames} batches, {bytes} bytes in {segments} files: {judged}\n");
    for line in damage {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn verified(folder: &Path) -> Result<Verified> {
    match open(folder)? {
        Some(mut disk) => Ok(spool::verify(&mut disk)?),
        None => Ok(Verified::default()),
    }
}

/// The spool, if there is one; nothing is made.
pub(crate) fn open(folder: &Path) -> Result<Option<ReadOnly>> {
    if !folder
        .try_exists()
        .with_context(|| format!("{}", folder.display()))?
    {
        return Ok(None);
    }
    Ok(Some(ReadOnly(FolderDisk::open(folder)?)))
}

/// The spool of another process: changing it would be a mistake.
pub(crate) struct ReadOnly(FolderDisk);

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
