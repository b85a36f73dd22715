//! The rarer faults: media that rot, machines that are copied or set back, an aggregator that comes back from an older
//! copy, and decisions at bad moments.

use tallyman_agent_core::BatchRange;
use tallyman_agent_core::spool::ListedFrame;
use tallyman_aggregator_core::aggregator::Answer;
use tallyman_aggregator_core::ingest::Reason;
use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::{Digest, NodeId};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{HOUR_MS, Hour, MINUTE_MS, WallMs};
use tallyman_common::wire::Frame;

use super::bug::{Bug, signed_anew};
use super::hub::{Asker, PRICES, terms};
use super::ledger::{frames_of, frames_on};
use super::node::Node;
use super::store::NextCommit;
use super::world::{Message, What, World};

/// Bytes of a few batches.
const NEWEST_BYTES: u64 = 4_000;

/// A copy of the aggregator's store.
pub struct Backup {
    store: MemoryStore,
    made: WallMs,
    position: u64,
    decisions: usize,
}

impl World {
    /// One of the rarer faults.
    pub(super) fn disaster(&mut self, kind: u64, node: usize) {
        match kind {
            0 => self.fault_newer_version(node),
            1 | 2 => self.fault_flipped_bit(node),
            3 => self.fault_mapping(node),
            4 => self.fault_prices(),
            5 | 6 => self.fault_backup(),
            7 => self.fault_restore(),
            8 => self.fault_snapshot(node),
            9 => self.fault_rolled_back(node),
            10 => self.fault_reimaged(node),
            11 => self.fault_cloned(node),
            12 | 13 => self.fault_flipped_checkpoint(node),
            14 | 15 => self.fault_resend(node),
            _ => {
                self.hit("registry change");
                let (name, now_ms) = (format!("renamed at {}", self.now_ms), self.now_ms);
                let mut changed = terms(now_ms % 3);
                changed.name = name;
                self.decide(Command::SetTenant(changed));
            }
        }
    }

    /// A person decides. Whatever waits is committed first; nothing happens while the aggregator is down.
    pub(super) fn decide(&mut self, command: Command) -> Option<Answer> {
        if self.commit_planned {
            self.hub_commit();
        }
        self.hub.process.as_ref()?;
        let next = std::mem::replace(&mut self.hub.store.next, NextCommit::Works);
        let answer = self.hub.decide(self.wall(), command.clone());
        self.hub.store.next = next;
        self.note(format!("decided: {answer:?}").chars().take(120).collect());
        if matches!(answer, Answer::Applied(_)) {
            self.decisions.push(command);
        }
        Some(answer)
    }

    /// A batch of the next version of the wire, signed by its node.
    fn fault_newer_version(&mut self, node: usize) {
        let Some((_, _, frame)) = self.last_sent[node].clone() else {
            return;
        };
        let key = NodeKey::from_seed(&self.nodes[node].key_seed);
        let id = NodeId::of_key(&key.public().to_bytes());
        let is_own = Frame::parse(&frame).is_ok_and(|f| f.header.node == id);
        if !is_own || !self.hub.knows(id) {
            return;
        }
        self.hit("batch of a newer version");
        let newer = signed_anew(&key, &frame, |header, _| header.version += 1);
        match self.hub.refusal(id, newer) {
            Some(refusal) if refusal.reason == Reason::Version => {}
            other => self.fault = Some(format!("a batch of a newer version: {other:?}")),
        }
    }

    fn fault_flipped_bit(&mut self, node: usize) {
        let names = self.nodes[node].disk.names("spool-");
        if names.is_empty() {
            return;
        }
        // Half of them hit the newest batches, which are those that may not have been sent.
        let is_new = self.rng.chance(50);
        let any = self.rng.below(names.len() as u64) as usize;
        let name = &names[if is_new { names.len() - 1 } else { any }];
        let before = self.nodes[node].disk.bytes(name).to_vec();
        if before.is_empty() {
            return;
        }
        self.hit("flipped bit");
        let len = before.len() as u64;
        let back = self.rng.below(if is_new { len.min(NEWEST_BYTES) } else { len });
        let at = (len - 1 - back) as usize;
        self.note(format!("n{node} a bit of {name} turns over at {at}"));
        let bit = self.rng.below(8) as u8;
        self.nodes[node].disk.flip(name, at, bit);
        let sound = frames_of(name, self.nodes[node].disk.bytes(name));
        let mut lost = frames_of(name, &before);
        lost.retain(|(frame, _)| !sound.iter().any(|(s, _)| s.digest == frame.digest));
        self.find_later(node, &lost);
        self.lost(node, lost);
    }

    /// Somebody may have a copy of what is lost, and imports it hours later.
    fn find_later(&mut self, node: usize, frames: &[(ListedFrame, Vec<u8>)]) {
        if self.bug.is_none_or(|bug| !bug.is_of_the_rows()) && self.rng.chance(50) {
            for (_, frame) in frames {
                self.next_message += 1;
                let message = self.next_message;
                self.messages.insert(message, Message::Batch(frame.clone()));
                let wait = self.rng.between(MINUTE_MS, 9 * HOUR_MS);
                self.plan(wait, What::Import { node, message });
            }
        }
    }

    /// A batch comes with an import, while the aggregator lives and knows its node.
    pub(super) fn import(&mut self, node: usize, message: usize) {
        let Some(Message::Batch(frame)) = self.messages.remove(&message) else {
            unreachable!("batches are imported")
        };
        if self.hub.process.is_some() && !self.healing {
            self.hit("lost batch imported");
            let header = Frame::parse(&frame).expect("agents write frames").header;
            self.note(format!("batch {} of {} is imported", header.seq, header.spool));
            self.batch_arrives(Asker { node, session: 0 }, false, frame);
            self.hub_commit();
        }
    }

    /// One bit of a checkpoint turns over; often the process is killed before it writes the slot anew.
    fn fault_flipped_checkpoint(&mut self, node: usize) {
        let names = self.nodes[node].disk.names("checkpoint-");
        if names.is_empty() {
            return;
        }
        let name = &names[self.rng.below(names.len() as u64) as usize];
        let len = self.nodes[node].disk.bytes(name).len() as u64;
        if len == 0 {
            return;
        }
        self.hit("flipped bit in a checkpoint");
        let at = self.rng.below(len) as usize;
        self.note(format!("n{node} a bit of {name} turns over at {at}"));
        let bit = self.rng.below(8) as u8;
        self.nodes[node].disk.flip(name, at, bit);
        if self.nodes[node].agent.is_some() && self.rng.chance(50) {
            let power_cut = self.rng.chance(30);
            self.kill_agent(node, power_cut);
        }
    }

    /// An operator sends batches again, as `tallyman-agent resend` does: a range of what the spool lists.
    fn fault_resend(&mut self, node: usize) {
        let listed = frames_on(&self.nodes[node].disk);
        if self.nodes[node].agent.is_none() || listed.is_empty() {
            return;
        }
        let (first, _) = &listed[self.rng.below(listed.len() as u64) as usize];
        let (spool, first) = (first.spool, first.seq);
        let last = first + self.rng.below(40);
        self.note(format!("n{node} sends {first} to {last} of {spool} again"));
        let now_ms = self.now_ms;
        let effects = self.nodes[node].resend(now_ms, vec![BatchRange { spool, first, last }]);
        let asked = self.nodes[node].agent.as_ref().map(|a| a.status().resend.asked);
        if asked.is_some_and(|asked| asked > 0) {
            self.hit("resend by hand");
        }
        self.obey(node, effects);
    }

    pub(super) fn lost(&mut self, node: usize, frames: Vec<(ListedFrame, Vec<u8>)>) {
        let node = &self.nodes[node];
        let key = NodeKey::from_seed(&node.key_seed).public();
        self.ledger.lost(node.id, frames, &key);
    }

    /// A rule changes: the same tenants under other names, which the registry knows as well.
    fn fault_mapping(&mut self, node: usize) {
        if self.nodes[node].agent.is_some() {
            self.hit("mapping change");
            self.note(format!("n{node} mapping changes"));
            let now_ms = self.now_ms;
            self.nodes[node].change_mapping(now_ms);
        }
    }

    fn fault_prices(&mut self) {
        let from = Hour(self.wall().hour().0 + self.rng.below(30) as u32);
        let text = PRICES.to_owned();
        if self.decide(Command::AddPriceBook { text, from }).is_some() {
            self.hit("price change");
        }
    }

    fn fault_backup(&mut self) {
        if let Some(process) = self.hub.process.as_ref().filter(|_| !self.commit_planned) {
            self.backup = Some(Backup {
                store: self.hub.store.inner.clone(),
                made: WallMs(self.now_ms),
                position: process.position(),
                decisions: self.decisions.len(),
            });
            self.note("a copy of the store is made".to_owned());
        }
    }

    /// The store is lost, and an older copy takes its place.
    fn fault_restore(&mut self) {
        let Some(backup) = self.backup.take() else {
            return;
        };
        self.hit("restore from an older copy");
        self.note("the store comes back from an older copy".to_owned());
        self.cash.forget();
        if let Err(broken) = self.remember_numbers() {
            self.fault = Some(broken);
        }
        self.hub.kill();
        self.hub.store.inner = backup.store;
        self.ledger.set_back();
        self.to_enter.extend(self.decisions.drain(backup.decisions..));
        // What was final since the copy is not known any more.
        self.final_bills.clear();
        self.hub.start(self.wall());
        let (made, position) = (backup.made, backup.position);
        if self.bug != Some(Bug::NumbersGoOn) {
            self.decide(Command::NoteRestore { made, position });
        }
        self.hub.kill();
        self.hub_died();
        let wait = self.rng.between(MINUTE_MS, 5 * HOUR_MS);
        self.plan(wait, What::Settle);
    }

    /// An operator enters again what was decided since the copy was made, once all nodes are known again.
    pub(super) fn settle(&mut self) {
        let known = self.nodes.iter().all(|n| self.hub.knows(n.id));
        let is_open = self
            .hub
            .process
            .as_ref()
            .is_some_and(|p| p.registry().open_restore().is_some());
        if self.hub.process.is_some() && !is_open {
            return;
        }
        if !known || self.hub.process.is_none() {
            return self.plan(10 * MINUTE_MS, What::Settle);
        }
        for command in std::mem::take(&mut self.to_enter) {
            if matches!(command, Command::SetTenant(_) | Command::AddPriceBook { .. }) {
                self.decide(command);
            }
        }
        let reason = "entered again".to_owned();
        match self.decide(Command::SettleRestore { reason }) {
            Some(Answer::Applied(_)) => self.hit("restore settled"),
            _ => self.plan(MINUTE_MS, What::Settle),
        }
    }

    fn fault_snapshot(&mut self, node: usize) {
        self.note(format!("n{node} a snapshot of the disk is made"));
        self.snapshots[node] = Some((self.nodes[node].id, self.nodes[node].disk.clone()));
    }

    /// A host comes up again with its disk as it was at the snapshot.
    fn fault_rolled_back(&mut self, node: usize) {
        let Some((id, disk)) = self.snapshots[node].take() else {
            return;
        };
        if id != self.nodes[node].id {
            return;
        }
        self.hit("node rolled back");
        self.twisted.insert(id);
        self.go_down(node);
        let mut frames = frames_on(&self.nodes[node].disk);
        self.nodes[node].set_back(disk, &mut self.rng);
        let here = frames_on(&self.nodes[node].disk);
        frames.retain(|(frame, _)| !here.iter().any(|(h, _)| h.digest == frame.digest));
        self.lost(node, frames);
    }

    /// A host is installed anew: no disk, new keys, the same name.
    fn fault_reimaged(&mut self, node: usize) {
        if self.commit_planned {
            self.hub_commit();
        }
        if self.hub.process.is_none() {
            return;
        }
        self.hit("node re-imaged");
        self.go_down(node);
        let frames = frames_on(&self.nodes[node].disk);
        self.find_later(node, &frames);
        self.lost(node, frames);
        self.drawn_keys += 1;
        let mut seed = [node as u8 + 1; 32];
        seed[31] = 100 + self.drawn_keys;
        self.nodes[node].reimaged(seed);
        self.enrol(seed);
    }

    fn enrol(&mut self, seed: [u8; 32]) {
        let token = Digest::of(&[&seed]);
        let expires = WallMs(self.now_ms + HOUR_MS);
        let (id, group) = (format!("node-{}", seed[31]), "default".to_owned());
        let hash = token;
        self.decide(Command::CreateNodeToken {
            id,
            hash,
            group,
            expires,
        });
        let signing_key = NodeKey::from_seed(&seed).public().to_bytes();
        let (node, host_name) = (NodeId::of_key(&signing_key), "simulated".to_owned());
        self.decide(Command::EnrolNode {
            token,
            node,
            signing_key,
            host_name,
        });
    }

    /// A copy of a machine goes on beside it, with its own kernel and workloads.
    fn fault_cloned(&mut self, node: usize) {
        if self.nodes.len() > self.hosts || !self.nodes[node].metering {
            return;
        }
        self.hit("node cloned");
        self.note(format!("n{node} is cloned as n{}", self.nodes.len()));
        self.twisted.insert(self.nodes[node].id);
        let now_ms = self.now_ms;
        let clone = Node::cloned(&self.nodes[node], now_ms, &mut self.rng);
        self.add_host(clone);
    }

    /// The machine is switched off and comes up again in a while.
    pub(super) fn go_down(&mut self, node: usize) {
        self.note(format!("n{node} goes down"));
        self.cut(node, "goes down");
        let now_ms = self.now_ms;
        self.nodes[node].reboot(now_ms, &mut self.rng);
        self.process_life[node] += 1;
        self.plan(5_000, What::StartAgent { node });
    }
}
