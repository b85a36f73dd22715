//! The composer: the order of the stages, events in, effects out. No arithmetic on usage here.

use tallyman_common::ids::SpoolId;
use tallyman_common::message::{Hello, Live};
use tallyman_common::time::{MINUTE_MS, Window};
use tallyman_common::wire::VERSION;

use crate::checkpoint::Slots;
use crate::event::{AgentConfig, Effects, Event, Fresh, Identity, Now, ReadFault, Slot, Sweep};
use crate::notice::Notice;
use crate::ports::Disk;
use crate::ship::Ship;
use crate::sources::FileKind;
use crate::spool::Spool;
use crate::status::Status;
use crate::windows::edge::next_sweep_ns;
use crate::windows::{Directory, Windows};

/// From a window to durable frames.
mod close;
/// Start of a process.
mod open;
/// The network's words, and what is sent.
mod talk;
#[cfg(test)]
mod tests;

pub use open::OpenError;

/// The agent.
pub struct Agent {
    config: AgentConfig,
    identity: Identity,
    fresh: Fresh,
    now: Now,
    /// Minute of the newest sweep.
    swept_minute: Option<u64>,
    windows: Windows,
    directory: Directory,
    spool: Spool,
    slots: Slots,
    ship: Ship,
    /// A spool id that was never used, while a session stands in which the open spool was not contradicted.
    next_spool: Option<SpoolId>,
    /// There is a checkpoint of this process.
    is_saved: bool,
    last_window: Option<Window>,
    /// Minutes of a window, as far as it was told.
    window_minutes: u64,
    close_fault: Option<String>,
    /// After a failure the next attempt is made no sooner.
    close_not_before_ns: u64,
    notices: Vec<Notice>,
}

impl Agent {
    /// Begins a sweep: later samples count for this moment.
    pub fn begin(&mut self, now: Now) -> Sweep {
        self.now = now;
        self.windows.begin(now);
        let tick = now.boot_ns / self.config.interval_ns;
        let is_costly = tick.is_multiple_of(u64::from(self.config.full_every_ticks.max(1)));
        Sweep {
            full: is_costly || self.swept_minute != Some(now.wall.0 / MINUTE_MS),
        }
    }

    /// Begins the last samples of a workload that ends: all its files are read.
    pub fn begin_last(&mut self, now: Now) -> Sweep {
        self.now = now;
        self.windows.begin(now);
        Sweep { full: true }
    }

    /// The files of a workload that this sweep reads; empty for a slot without a workload.
    pub fn wants(&self, slot: Slot, sweep: Sweep) -> &[FileKind] {
        self.windows.files(slot, sweep.full)
    }

    /// One file of one workload. Does not allocate in good times.
    pub fn sample(&mut self, slot: Slot, file: FileKind, bytes: Result<&[u8], ReadFault>) {
        self.windows
            .sample(slot, file, bytes, self.config.clock_ticks_per_s);
    }

    /// Everything else.
    pub fn step(&mut self, now: Now, event: Event, disk: &mut dyn Disk) -> Effects {
        self.now = now;
        self.windows.begin(now);
        let mut effects = Effects::default();
        match event {
            Event::Appeared(seen) => effects.slot = self.windows.appeared(seen, &self.directory),
            Event::Described(description) => {
                let id = description.container;
                self.directory.put(description);
                self.windows.described(id, &self.directory);
            }
            Event::NetworkFound { slot, network } => self.windows.network_found(slot, network),
            Event::Gone { slot } => self.windows.gone(slot),
            Event::SourceListed { source, listed } => self.windows.source_listed(&source, listed),
            Event::MappingChanged(mapping) => self.windows.change_mapping(mapping),
            Event::HardwareChanged(hardware) => self.windows.change_hardware(hardware),
            Event::SweepDone => self.sweep_done(&mut effects, disk),
            Event::Net(event) => self.hear(event, &mut effects, disk),
            Event::Resend(ranges) => self.resend(&ranges),
            Event::Stop => self.stop(&mut effects, disk),
        }
        self.send(&mut effects, disk);
        effects.notices = self.windows.take_notices();
        effects.notices.append(&mut self.notices);
        effects
    }

    fn sweep_done(&mut self, effects: &mut Effects, disk: &mut dyn Disk) {
        let now = self.now;
        self.windows.sweep_done(now, &self.directory);
        self.swept_minute = Some(now.wall.0 / MINUTE_MS);
        let minutes = if self.windows.mapping_waits() {
            1
        } else {
            self.spool.window_minutes()
        };
        let start = self.windows.start();
        let is_due = start.is_over(now, minutes) && now.boot_ns >= self.close_not_before_ns;
        if let Some(end) = start.end(now).filter(|_| is_due) {
            effects.closed = self.close(end, false, disk);
        }
        if !self.is_saved {
            self.save(disk);
        }
        if self.ship.live_is_due(now.boot_ns, self.config.live_every_ms) {
            effects.live = Some(Live {
                boot_now: now.boot_ms(),
                wall_now: now.wall,
                window_end: self.windows.start().boot,
                rows: self.windows.live_rows(),
            });
        }
    }

    fn stop(&mut self, effects: &mut Effects, disk: &mut dyn Disk) {
        self.windows.sweep_done(self.now, &self.directory);
        if let Some(end) = self.windows.start().end_at_once(self.now) {
            effects.closed = self.close(end, true, disk);
        }
    }

    /// When the next sweep is due, in boot nanoseconds: the next tick of the grid, or the next wall minute's edge.
    pub fn next_timeout(&self) -> u64 {
        next_sweep_ns(self.now, self.config.interval_ns)
    }

    /// The first word on a new connection.
    pub fn hello(&self, now: Now) -> Hello {
        Hello {
            versions: (VERSION, VERSION),
            node: self.identity.node,
            spool: self.spool.current(),
            nonce: self.fresh.nonce,
            boot: now.boot,
            last_seq: self.spool.last_seq(),
            acked_upto: self.spool.acked_upto(),
            wall: now.wall,
            agent_version: self.identity.inventory.agent_version.clone(),
        }
    }

    /// Figures for people.
    pub fn status(&self) -> Status {
        Status {
            node: self.identity.node,
            spool: self.spool.current(),
            last_seq: self.spool.last_seq(),
            last_window: self.last_window,
            open_since: self.windows.start().wall,
            workloads: self.windows.workload_count(),
            held_workloads: self.windows.held_count(),
            series: self.windows.series_count(),
            spool_bytes: self.spool.used_bytes(),
            spool_bytes_max: self.spool.limit_bytes(),
            unacked: self.spool.unacked().len() as u64,
            oldest_unacked: self.spool.oldest_unacked(),
            held_batches: self.ship.held_count(),
            resend: self.ship.resent(),
            connected: self.ship.is_connected(),
            window_minutes: self.spool.window_minutes(),
            close_fault: self.close_fault.clone(),
            read_faults: self.windows.read_faults(),
        }
    }
}
