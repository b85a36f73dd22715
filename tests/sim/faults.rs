//! What goes wrong in a run, and the healing at its end. Which fault comes when is the seed's; what it may cost is the
//! truth's to say.

use tallyman_common::time::HOUR_MS;
use tallyman_common::wire::Frame;

use super::bug::Bug;
use super::store::NextCommit;
use super::world::{Message, What, World};

impl World {
    /// One fault, and when the next one comes.
    pub(super) fn fault(&mut self) {
        if self.healing {
            return;
        }
        let wait = self.rng.between(1_000, 3_600_000);
        self.plan(wait, What::Fault);
        let node = self.rng.below(self.nodes.len() as u64) as usize;
        // Every fourth run spares the agents' processes, so that nothing at all may be missing in the end.
        let first = if self.calm { 2 } else { 0 };
        let kind = self.rng.between(first, 20).min(15);
        if kind == 15 {
            let rare = if self.calm {
                self.rng.between(14, 19)
            } else {
                self.rng.below(19)
            };
            return self.disaster(rare, node);
        }
        match kind {
            8 if self.calm => {}
            0 => self.fault_kill_at_operation(node),
            1 if self.nodes[node].agent.is_some() => {
                self.hit("agent killed");
                let power_cut = self.rng.chance(30);
                self.kill_agent(node, power_cut);
            }
            2 => {
                self.hit("link down or up");
                self.link_up[node] = !self.link_up[node];
                self.cut(node, "fault");
            }
            3 => {
                self.hit("link cut");
                self.cut(node, "fault");
            }
            4 => {
                self.hit("aggregator killed");
                self.hub.kill();
                self.hub_died();
            }
            5 => {
                self.hit("commit fails");
                let written = self.rng.chance(50);
                self.hub.store.next = if written {
                    NextCommit::FailsWritten
                } else {
                    NextCommit::FailsEmpty
                };
            }
            6 => {
                self.hit("disk full or free");
                self.nodes[node].disk.full = !self.nodes[node].disk.full;
                if self.bug == Some(Bug::OldestDropped) {
                    self.nodes[node].disk.drop_oldest();
                }
            }
            7 => {
                self.hit("sync fails, the next one says yes");
                // A window is closed by the sync of a checkpoint and then by that of its frames.
                self.nodes[node].disk.fail_sync_in = Some(self.rng.below(2));
            }
            8 => self.fault_reboot(node),
            _ => self.more_faults(kind, node),
        }
    }

    fn more_faults(&mut self, kind: u64, node: usize) {
        match kind {
            10 => {
                self.hit("outage of hours");
                self.link_up[node] = false;
                self.cut(node, "outage");
                let wait = self.rng.between(HOUR_MS, 6 * HOUR_MS);
                self.plan(wait, What::LinkUp { node });
            }
            11 => {
                self.hit("input or output error");
                self.nodes[node].disk.fail_in = Some(self.rng.between(1, 12));
            }
            12 => self.fault_forged(node),
            13 => self.fault_replayed(node),
            _ => {
                self.hit("clock step");
                let step = self.rng.below(60_000);
                self.nodes[node].wall_offset_ms = i64::try_from(step).expect("small") - 45_000;
            }
        }
    }

    fn fault_kill_at_operation(&mut self, node: usize) {
        self.hit("kill at a disk operation");
        let operations = self.rng.between(1, 12);
        self.nodes[node].disk.kill_in(operations);
    }

    fn fault_forged(&mut self, node: usize) {
        let Some((_, _, mut frame)) = self.last_sent[node].clone() else {
            return;
        };
        let sender = Frame::parse(&frame).expect("agents send frames").header.node;
        if self.hub.process.is_none() || !self.hub.knows(sender) {
            return;
        }
        self.hit("forged batch");
        let at = self.rng.below(150) as usize;
        frame[at] ^= 1 << self.rng.below(8);
        if self.hub.refusal(sender, frame).is_none() {
            self.fault = Some(format!("I10: a batch changed at byte {at} was believed"));
        }
    }

    /// A batch of before comes once more, from nobody who would hear the answer.
    fn fault_replayed(&mut self, node: usize) {
        let Some((_, _, frame)) = self.last_sent[node].clone() else {
            return;
        };
        self.hit("replayed batch");
        self.post(node, 0, true, Message::Batch(frame));
    }

    fn fault_reboot(&mut self, node: usize) {
        self.hit("host reboot");
        self.go_down(node);
    }

    /// Everything works from now on, and nothing is used any more.
    pub(super) fn heal(&mut self) {
        self.note("healed".to_owned());
        self.healing = true;
        self.hub.store.next = NextCommit::Works;
        self.start_hub();
        for node in 0..self.nodes.len() {
            self.link_up[node] = true;
            self.nodes[node].disk.full = false;
            self.nodes[node].wall_offset_ms = 0;
            self.nodes[node].disk.come_back(false, &mut self.rng);
            self.nodes[node].is_healed = true;
            if self.nodes[node].agent.is_some() {
                self.hit("orderly stop");
                self.cut(node, "stops");
                let now_ms = self.now_ms;
                self.nodes[node].stop(now_ms, &mut self.rng);
                self.process_life[node] += 1;
            }
            self.plan(10, What::StartAgent { node });
        }
    }
}
