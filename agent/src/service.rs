//! What the service manager and `status` hear: readiness, the watchdog, one line, and a file written atomically.
//!
//! Called by the sampler alone, so that a sampler that hangs is missed.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sd_notify::NotifyState;
use serde::Serialize;
use tallyman_common::time::WallMs;

use crate::inbox::LinkState;
use crate::io::clock::{boot_ns, wall};
use crate::limits::STATUS_EVERY_NS;
use crate::meter::Meter;

/// Name of the file in the state folder.
pub const STATUS_FILE: &str = "status.json";
/// The watchdog is petted this many times in its period.
const PETS: u64 = 4;

/// What the file holds.
#[derive(Debug, Serialize)]
pub struct StatusFile {
    /// When it was written, milliseconds of wall time.
    pub written: WallMs,
    /// Process.
    pub pid: u32,
    /// Version of the program.
    pub version: &'static str,
    /// The core's figures.
    pub agent: tallyman_agent_core::Status,
    /// The connection.
    pub link: Option<LinkState>,
    /// Why Docker says nothing.
    pub docker_fault: Option<String>,
}

/// The service manager's and the operator's view of this process.
#[derive(Debug)]
pub struct Service {
    file: PathBuf,
    pet_every_ns: Option<u64>,
    petted_ns: u64,
    written_ns: u64,
    link: Option<LinkState>,
}

impl Service {
    /// `state` is the folder of the status file.
    pub fn new(state: &Path) -> Self {
        let period = sd_notify::watchdog_enabled();
        let pet_every_ns = period
            .and_then(|p| u64::try_from(p.as_nanos()).ok())
            .map(|ns| ns / PETS);
        Self {
            file: state.join(STATUS_FILE),
            pet_every_ns,
            petted_ns: boot_ns(),
            written_ns: 0,
            link: None,
        }
    }

    /// The first sweep was made, and the spool is open.
    pub fn ready(&mut self, meter: &Meter) {
        say(&[NotifyState::Ready, NotifyState::Status(&line(meter))]);
        self.write(meter);
    }

    /// A turn of the loop is over.
    pub fn turned(&mut self, meter: &mut Meter) {
        let closed = meter.take_closed() > 0;
        let link_changed = self.link != meter.link;
        if closed || link_changed {
            self.link.clone_from(&meter.link);
            say(&[NotifyState::Status(&line(meter))]);
            self.write(meter);
        } else if boot_ns() >= self.written_ns + STATUS_EVERY_NS {
            self.write(meter);
        }
        if self.next_pet_ns().is_some_and(|at| boot_ns() >= at) {
            self.petted_ns = boot_ns();
            say(&[NotifyState::Watchdog]);
        }
    }

    /// When the watchdog is due, nanoseconds of boot time.
    pub fn next_pet_ns(&self) -> Option<u64> {
        self.pet_every_ns.map(|every| self.petted_ns + every)
    }

    /// The process ends in order.
    pub fn stopping(&self) {
        say(&[
            NotifyState::Stopping,
            NotifyState::Status("closing the last window"),
        ]);
    }

    fn write(&mut self, meter: &Meter) {
        self.written_ns = boot_ns();
        let content = StatusFile {
            written: wall(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            agent: meter.status(),
            link: meter.link.clone(),
            docker_fault: meter.docker_fault.clone(),
        };
        let text = serde_json::to_vec_pretty(&content).expect("plain fields");
        if let Err(error) = put(&self.file, &text) {
            tracing::debug!(file = %self.file.display(), %error, "the status file was not written");
        }
    }
}

/// Replaces the file. On a full disk, where a second one finds no room, it is written over in its own block: just then
/// somebody asks how the agent is doing. A reader can meet it half written, and asks again.
fn put(file: &Path, text: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("new");
    // No sync: after a crash of the machine nobody asks for it.
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, file))
        .or_else(|_| {
            let old = fs::File::options().write(true).open(file)?;
            old.write_all_at(text, 0)?;
            old.set_len(text.len() as u64)
        })
}

fn line(meter: &Meter) -> String {
    let status = meter.status();
    let link = match (&meter.link, status.connected) {
        (_, true) => "connected".to_owned(),
        (Some(link), false) => format!("not connected: {}", link.fault.as_deref().unwrap_or("connecting")),
        (None, false) => "connecting".to_owned(),
    };
    format!(
        "{} workloads, {} batches not acknowledged; {link}",
        status.workloads, status.unacked
    )
}

fn say(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_and_where_no_second_one_fits_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(STATUS_FILE);
        assert!(put(&folder.path().join("none").join(STATUS_FILE), b"{}").is_err());
        put(&file, b"the first one").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"the first one");
        // A folder of that name takes no bytes, as a full disk.
        fs::create_dir(file.with_extension("new")).unwrap();
        put(&file, b"the second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"the second");
    }
}
