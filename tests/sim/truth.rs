//! The kernels' counters, which are the truth, as text like the kernel's own; and, per owner, the most that can be
//! lost, because its workload ended where nobody could read it any more.

use std::collections::BTreeMap;

use tallyman_common::ids::Owner;
use tallyman_common::meter::Meter;

use super::rng::Rng;

/// Counters of one workload. Fields are in the kernel's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// CPU time, microseconds.
    pub cpu_us: u64,
    /// Bytes and operations, read and write.
    pub io: [u64; 4],
    /// Network bytes, received and sent.
    pub net: [u64; 2],
}

/// Meters that are compared to the unit.
pub const EXACT: [Meter; 7] = [
    Meter::CPU_TIME,
    Meter::DISK_READ_BYTES,
    Meter::DISK_WRITE_BYTES,
    Meter::DISK_READ_OPS,
    Meter::DISK_WRITE_OPS,
    Meter::NETWORK_RECEIVE_BYTES,
    Meter::NETWORK_TRANSMIT_BYTES,
];

impl Counters {
    /// Values by [`EXACT`], in base units.
    pub fn base_units(&self) -> [u128; 7] {
        let wide = |n: u64| u128::from(n);
        let [a, b, c, d] = self.io;
        [
            wide(self.cpu_us) * 1_000,
            wide(a),
            wide(b),
            wide(c),
            wide(d),
            wide(self.net[0]),
            wide(self.net[1]),
        ]
    }

    /// The work of `ms` milliseconds on at most one processor.
    pub fn work(&mut self, ms: u64, has_network: bool, rng: &mut Rng) {
        self.cpu_us += rng.below(ms * 1_000 + 1);
        for (counter, scale) in self.io.iter_mut().zip([9_000, 7_000, 3, 2]) {
            *counter += rng.below(ms * scale / 10 + 2);
        }
        for counter in &mut self.net {
            *counter += rng.below(ms * 11 + 2) * u64::from(has_network);
        }
    }
}

/// One life of one workload.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Whose.
    pub owner: Owner,
    /// cgroup path.
    pub path: String,
    /// Container id in hexadecimal, when it is one.
    pub container: Option<String>,
    /// Network namespace.
    pub netns: u64,
    /// Counters.
    pub counters: Counters,
    /// Counters of the last sweep.
    pub sampled: Counters,
    /// Counters that are in a durable checkpoint for sure.
    pub recorded: Counters,
    /// Bytes of memory, always the same.
    pub memory: u64,
    /// When it began, world milliseconds.
    pub born_ms: u64,
}

impl Workload {
    /// `cpu.stat`.
    pub fn cpu_stat(&self) -> String {
        let us = self.counters.cpu_us;
        format!(
            "usage_usec {us}\nuser_usec {}\nsystem_usec {}\nnr_periods 0\n",
            us / 3 * 2,
            us / 3
        )
    }

    /// `memory.stat`.
    pub fn memory_stat(&self) -> String {
        let half = self.memory / 2;
        format!(
            "anon {half}\nfile {half}\nkernel 0\nshmem 0\ninactive_anon 0\ninactive_file {}\n",
            half / 2
        )
    }

    /// `io.stat`.
    pub fn io_stat(&self) -> String {
        let [rb, wb, ro, wo] = self.counters.io;
        format!("8:0 rbytes={rb} wbytes={wb} rios={ro} wios={wo} dbytes=0 dios=0\n")
    }

    /// `/proc/<pid>/net/dev`.
    pub fn net_dev(&self) -> String {
        let [rx, tx] = self.counters.net;
        let head = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop \
                    fifo colls carrier compressed\n";
        format!(
            "{head}    lo:       5       1    0    0    0     0          0         0        5       1    0    0    0     0       0          0\n  eth0: {rx}       1    0    0    0     0          0         0 {tx}       1    0    0    0     0       0          0\n"
        )
    }
}

/// What an owner used on one node, and the least that must be billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Used, by [`EXACT`].
    pub used: [u128; 7],
    /// The most that can be missing.
    pub at_risk: [u128; 7],
    /// Memory × lifetime, byte-milliseconds; never billed above.
    pub memory_max: u128,
}

/// All owners of one node.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// By owner.
    pub accounts: BTreeMap<Owner, Account>,
}

impl Truth {
    /// A workload ended; its usage is complete.
    pub fn ended(&mut self, workload: &Workload, now_ms: u64) {
        let account = self.accounts.entry(workload.owner.clone()).or_default();
        add(&mut account.used, workload.counters.base_units());
        account.memory_max += u128::from(workload.memory) * u128::from(now_ms - workload.born_ms);
    }

    /// What was used since the last durable reading may be lost.
    pub fn at_risk(&mut self, workload: &Workload) {
        let (now, then) = (workload.counters.base_units(), workload.recorded.base_units());
        let account = self.accounts.entry(workload.owner.clone()).or_default();
        for (risk, (now, then)) in account.at_risk.iter_mut().zip(now.into_iter().zip(then)) {
            *risk += now - then;
        }
    }
}

fn add(sum: &mut [u128; 7], more: [u128; 7]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}
