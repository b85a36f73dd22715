//! What happens to the machine under an agent: it goes down and up, is installed anew, set back or copied.

use tallyman_common::ids::{BootId, NodeId};
use tallyman_common::sign::NodeKey;

use super::disk::SimDisk;
use super::node::Node;
use super::rng::Rng;

impl Node {
    /// The host goes down and up again: every workload ends unread, counters begin at 0, the clock of boot too.
    pub fn reboot(&mut self, world_ms: u64, rng: &mut Rng) {
        self.killed(true, rng);
        let lives: Vec<u64> = self.workloads.keys().copied().collect();
        lives.iter().for_each(|life| self.end(*life, world_ms));
        (self.boot, self.booted_ms) = (BootId(rng.id()), world_ms);
    }

    /// The host that went down is installed anew: an empty disk and new keys.
    pub fn reimaged(&mut self, key_seed: [u8; 32]) {
        self.former.push(self.id);
        self.key_seed = key_seed;
        self.id = NodeId::of_key(&NodeKey::from_seed(&key_seed).public().to_bytes());
        self.disk.wipe();
        (self.metering, self.births_ended) = (false, false);
    }

    /// The host that went down comes up with an older image of its disk: what is not on it is no longer its word.
    pub fn set_back(&mut self, disk: SimDisk, rng: &mut Rng) {
        self.disk = disk;
        let power_cut = true;
        self.disk.come_back(power_cut, rng);
        self.said_durable = self.durable_frames();
    }

    /// A copy of a host's disk in another machine, which boots.
    pub fn cloned(original: &Self, world_ms: u64, rng: &mut Rng) -> Self {
        let mut clone = Self::new(0, world_ms, rng);
        (clone.key_seed, clone.id) = (original.key_seed, original.id);
        clone.disk = original.disk.clone();
        let power_cut = true;
        clone.disk.come_back(power_cut, rng);
        clone.disk.full = false;
        clone.disk.removed.clear();
        (clone.is_alt, clone.bug) = (original.is_alt, original.bug);
        // Docker's list is on the disk too: what waits in the checkpoint for its labels is described at once.
        clone.containers = original.containers.clone();
        clone.next_life = original.next_life + 1_000_000;
        clone
    }
}
