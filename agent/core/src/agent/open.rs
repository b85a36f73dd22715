//! Start of a process: spool, then checkpoint, then windows; and when a new spool must be drawn (I1, I2).

use tallyman_common::ids::BootId;
use tallyman_common::time::BootMs;

use super::Agent;
use crate::checkpoint::{Checkpoint, Choice, Opened, Slots, SlotsError, VERSION};
use crate::event::{AgentConfig, Fresh, Identity, Now};
use crate::limits::SPOOL_BYTES_MIN;
use crate::notice::Notice;
use crate::ports::{Disk, DiskError};
use crate::ship::Ship;
use crate::spool::{LastFrame, OpenedSpool, Spool, SpoolError};
use crate::windows::snapshot::SnapshotError;
use crate::windows::{Directory, Settings, Windows};

/// Why the agent can't start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The spool folder can't be read or written.
    #[error("spool folder: {0}")]
    Disk(#[from] DiskError),
    /// A newer release wrote the checkpoint. Starting anyway would meter from a wrong baseline.
    #[error("{slot} has format {found}; this release reads {known}: start the newer release")]
    CheckpointVersion {
        /// Which slot.
        slot: String,
        /// Its format.
        found: u16,
        /// What this release reads.
        known: u16,
    },
    /// The folder belongs to another node.
    #[error(
        "the spool folder belongs to node {found}, this is node {wanted}: restore the right folder or empty it"
    )]
    OtherNode {
        /// Whose it is.
        found: String,
        /// Who we are.
        wanted: String,
    },
    /// A checkpoint whose values contradict each other.
    #[error("{0}: move the checkpoint files away to begin from the counters' current values")]
    Checkpoint(#[from] SnapshotError),
    /// A limit that leaves no room to work.
    #[error("the spool's limit of {given} bytes is below {SPOOL_BYTES_MIN}")]
    LimitTooSmall {
        /// What was configured.
        given: u64,
    },
}

impl Agent {
    /// Reads the spool folder and takes metering up again.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed that a second start could miss.
    pub fn open(
        config: AgentConfig,
        identity: Identity,
        now: Now,
        fresh: Fresh,
        disk: &mut dyn Disk,
    ) -> Result<(Self, Vec<Notice>), OpenError> {
        if config.spool_bytes_max < SPOOL_BYTES_MIN {
            let given = config.spool_bytes_max;
            return Err(OpenError::LimitTooSmall { given });
        }
        let other_node = |found: String| OpenError::OtherNode {
            found,
            wanted: identity.node.to_string(),
        };
        let opened = Spool::open(disk, identity.node, config.spool_bytes_max, fresh.spool);
        let opened = opened.map_err(|e| match e {
            SpoolError::Disk(e) => OpenError::Disk(e),
            SpoolError::OtherNode(found) => other_node(found.to_string()),
        })?;
        let Opened {
            slots,
            choice,
            damaged,
        } = Slots::open(disk, &opened).map_err(slots_error)?;
        let mut notices = opened.notices.clone();
        notices.extend(damaged.iter().map(|slot| {
            let text = format!("{slot} was not written whole or is damaged; the other one counts");
            Notice::info("checkpoint-slot", text)
        }));
        if let Choice::Matches(checkpoint) | Choice::Ahead(checkpoint) = &choice
            && checkpoint.named.node != identity.node
        {
            return Err(other_node(checkpoint.named.node.to_string()));
        }
        let is_saved = matches!(choice, Choice::Matches(_));
        let (windows, spool) = take_up(&config, opened, choice, (now, fresh), &mut notices)?;
        let agent = Self {
            config,
            identity,
            fresh,
            now,
            swept_minute: None,
            windows,
            directory: Directory::default(),
            spool,
            slots,
            ship: Ship::default(),
            next_spool: None,
            is_saved,
            last_window: None,
            window_minutes: 1,
            close_fault: None,
            close_not_before_ns: 0,
            notices: Vec::new(),
        };
        Ok((agent, notices))
    }
}

fn slots_error(error: SlotsError) -> OpenError {
    match error {
        SlotsError::Disk(e) => OpenError::Disk(e),
        SlotsError::Version(version) => OpenError::CheckpointVersion {
            slot: version.slot.to_owned(),
            found: version.found,
            known: VERSION,
        },
    }
}

/// The windows of the checkpoint that counts, and the spool to go on with.
fn take_up(
    config: &AgentConfig,
    opened: OpenedSpool,
    choice: Choice,
    (now, fresh): (Now, Fresh),
    notices: &mut Vec<Notice>,
) -> Result<(Windows, Spool), OpenError> {
    let settings = Settings {
        hold_ms: config.hold_ms,
        sources: config.sources.clone(),
        hardware: config.hardware.clone(),
    };
    let begin = || Windows::new(settings.clone(), config.mapping.clone(), now);
    let restore =
        |c: &Checkpoint| Windows::restore(c.snapshot.clone(), settings.clone(), config.mapping.clone(), now);
    let OpenedSpool {
        mut spool,
        last,
        tail_is_damaged,
        lost,
        ..
    } = opened;
    let mut windows = match &choice {
        Choice::None | Choice::Behind => begin(),
        Choice::Matches(c) | Choice::Ahead(c) => restore(c)?,
    };
    let start = windows.start().boot;
    for piece in lost.iter().filter(|piece| piece.boot == now.boot) {
        windows.frames_lost(piece.from, piece.to.unwrap_or(start));
    }
    let must_draw = match &choice {
        Choice::None => tail_is_damaged,
        Choice::Matches(c) => {
            spool.restore_acks(&c.named.acked(), c.named.acked_since);
            // A new spool without frames: only its checkpoint knows it.
            let is_drawn = c.named.seq == 0 && last.is_some() && !spool.knows(c.named.spool);
            if is_drawn {
                spool.draw(c.named.spool);
            }
            tail_is_damaged && !is_drawn
        }
        Choice::Ahead(c) => {
            spool.restore_acks(&c.named.acked(), c.named.acked_since);
            windows.frames_lost(end_of(last, now.boot), start);
            if last.is_none() {
                spool.follow_lost(c.named.digest);
            }
            let text = "batches between the newest sound one and the checkpoint are lost; readings go on in a new spool";
            notices.push(Notice::error("spool-frames-lost", text.to_owned()));
            true
        }
        Choice::Behind => {
            windows.frames_lost(end_of(last, now.boot), start);
            let text = "no checkpoint belongs to the newest batch; counters start from their current values";
            notices.push(Notice::error("checkpoint-lost", text.to_owned()));
            true
        }
    };
    if must_draw && !(last.is_none() && spool.current() == fresh.spool) {
        spool.draw(fresh.spool);
    }
    Ok((windows, spool))
}

fn end_of(last: Option<LastFrame>, boot: BootId) -> BootMs {
    last.filter(|last| last.boot == boot)
        .map_or(BootMs(0), |last| last.boot_end)
}
