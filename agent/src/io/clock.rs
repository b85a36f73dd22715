//! The clocks of the machine, read together: boot time measures, wall time labels.
//!
//! Must not be asked by a core: there time is an argument.

use std::path::Path;

use rustix::time::{ClockId, Timespec, clock_gettime};
use tallyman_agent_core::Now;
use tallyman_agent_core::sources::SourceError;
use tallyman_agent_core::sources::proc::parse_boot_id;
use tallyman_common::ids::BootId;
use tallyman_common::time::WallMs;

pub use tallyman_agent_core::event::NS_PER_S;
const BOOT_ID: &str = "sys/kernel/random/boot_id";

/// Why there is no time.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The boot's id can't be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The boot's id is none.
    #[error(transparent)]
    Malformed(#[from] SourceError),
}

/// The clocks of this boot.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    boot: BootId,
}

impl Clock {
    /// Learns which boot this is; `proc` is where procfs is mounted.
    pub fn open(proc: &Path) -> Result<Self, ClockError> {
        let path = proc.join(BOOT_ID);
        let bytes = std::fs::read(&path).map_err(|reason| ClockError::Unreadable {
            path: path.display().to_string(),
            reason,
        })?;
        let boot = BootId(parse_boot_id(&bytes)?);
        Ok(Self { boot })
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now {
            boot_ns: boot_ns(),
            wall: wall(),
            boot: self.boot,
        }
    }
}

/// `CLOCK_BOOTTIME` in nanoseconds; it runs on while the machine sleeps.
pub fn boot_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(tv_sec).expect("boot time is not negative");
    seconds * NS_PER_S + u64::try_from(tv_nsec).expect("a part of a second is not negative")
}

/// Wall time in milliseconds.
///
/// # Panics
/// When the machine's clock stands before 1970.
pub fn wall() -> WallMs {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(tv_sec).expect("the clock stands after 1970");
    WallMs(seconds * 1_000 + u64::try_from(tv_nsec / 1_000_000).expect("a part of a second is not negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_does_not_go_back_and_the_boot_has_an_id() {
        let clock = Clock::open(Path::new("/proc")).unwrap();
        let (first, second) = (clock.now(), clock.now());
        assert!(first.boot_ns <= second.boot_ns && first.boot_ns > 0);
        assert_eq!(first.boot, second.boot);
        assert!(Clock::open(Path::new("/nowhere")).is_err());
    }
}
