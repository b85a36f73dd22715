//! What goes between the nodes and the aggregator: ordered on a living connection, lost with it, cut at any byte.

use tallyman_agent_core::Effects;
use tallyman_agent_core::event::NetEvent;
use tallyman_aggregator_core::aggregator::Answer;
use tallyman_aggregator_core::ingest::Reason;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::Digest;
use tallyman_common::message::{self, Ack, Welcome};
use tallyman_common::sign::NodeKey;
use tallyman_common::wire::Frame;

use super::bug::{self, Bug};
use super::hub::Asker;
use super::world::{AskerKey, Message, What, World};

/// Batches that all nodes send in a run at most, resends included: ten times what a run with restores takes.
const SENDS_MAX: u64 = 60_000;

impl World {
    /// Does what the agent wants; notices when its process was killed on the way.
    pub(super) fn obey(&mut self, node: usize, effects: Effects) {
        for outgoing in effects.send {
            if let Some(session) = self.sessions[node] {
                self.note(format!("n{node} sends {} of {}", outgoing.seq, outgoing.spool));
                self.sends += 1;
                if self.sends > SENDS_MAX {
                    self.fault = Some(format!("I11: {SENDS_MAX} batches were sent, and no end"));
                }
                let again = !self.sent.insert((node, outgoing.spool, outgoing.seq));
                let fresh = if self.bug.is_some() {
                    self.rng.id()
                } else {
                    [0; 16]
                };
                let key = NodeKey::from_seed(&self.nodes[node].key_seed);
                let written = self.bug.map(|_| digest_of(&outgoing.frame));
                let frame = bug::leaving(self.bug, &key, outgoing.frame, again, fresh);
                if let Some(written) = written.filter(|_| self.bug.is_some_and(Bug::is_of_the_rows)) {
                    self.ledger.sent_as.insert(written, digest_of(&frame));
                }
                self.last_sent[node] = Some((outgoing.spool, outgoing.seq, frame.clone()));
                if self.rng.chance(3) {
                    // What was sent on a link before it was cut can come beside what is sent again.
                    self.post(node, 0, true, Message::Batch(frame.clone()));
                }
                self.post(node, session, true, Message::Batch(frame));
            }
        }
        if effects.disconnect.is_some() {
            self.hit("agent reconnects");
            self.cut(node, "wish");
        }
        if self.nodes[node].disk.is_dead() {
            self.kill_agent(node, false);
        }
    }

    pub(super) fn post(&mut self, node: usize, session: u64, to_hub: bool, message: Message) {
        let delay = self.rng.between(1, 60);
        self.next_message += 1;
        self.messages.insert(self.next_message, message);
        let (asker, message) = ((node, session), self.next_message);
        self.plan(
            delay,
            if to_hub {
                What::ToHub { asker, message }
            } else {
                What::ToNode { asker, message }
            },
        );
    }

    pub(super) fn connect(&mut self, node: usize) {
        if self.sessions[node].is_some() || self.nodes[node].agent.is_none() {
            return;
        }
        let retry = self.rng.between(1_000, 20_000);
        self.plan(retry, What::Connect { node });
        if !self.link_up[node] || self.hub.process.is_none() || !self.let_in(node) {
            return;
        }
        self.nonce += 1;
        let session = self.nonce;
        self.sessions[node] = Some(session);
        let hello = self.nodes[node].hello(self.now_ms).expect("the agent lives");
        self.note(format!(
            "n{node} connects, spool {} at {}",
            hello.spool, hello.last_seq
        ));
        self.post(node, session, true, Message::Hello(hello));
    }

    /// Whether the aggregator knows the node, or takes it back while a restore is open.
    fn let_in(&mut self, node: usize) -> bool {
        let id = self.nodes[node].id;
        let process = self.hub.process.as_ref();
        if self.hub.knows(id) || process.is_none_or(|p| p.registry().open_restore().is_none()) {
            return self.hub.knows(id);
        }
        let signing_key = NodeKey::from_seed(&self.nodes[node].key_seed).public().to_bytes();
        let host_name = "came back".to_owned();
        self.decide(Command::ReadmitNode {
            node: id,
            signing_key,
            host_name,
        });
        self.hit("node readmitted");
        self.hub.process.is_some()
    }

    pub(super) fn cut(&mut self, node: usize, why: &str) {
        if self.sessions[node].take().is_some() {
            self.note(format!("n{node} link cut: {why}"));
            let effects = self.nodes[node].net(self.now_ms, NetEvent::Disconnected);
            assert!(effects.send.is_empty(), "nothing can be sent without a session");
            let wait = self.rng.between(500, 20_000);
            self.plan(wait, What::Connect { node });
        }
    }

    pub(super) fn reach_hub(&mut self, (node, session): AskerKey, message: usize) {
        let message = self.messages.remove(&message).expect("delivered once");
        let alive = self.sessions[node] == Some(session);
        let asker = Asker { node, session };
        match message {
            Message::Hello(hello) if alive => self.hub.hello(self.wall(), asker, hello),
            // A batch that had left before the link was cut may arrive all the same; nobody hears the answer.
            Message::Batch(frame) if alive || self.rng.chance(50) => {
                if !alive {
                    self.hit("late batch of a dead link");
                }
                self.batch_arrives(asker, alive, frame);
            }
            Message::Batch(frame) => return self.cut_message(frame),
            _ => return,
        }
        if !std::mem::replace(&mut self.commit_planned, true) {
            let wait = self.rng.between(1, 25);
            self.plan(wait, What::HubCommit);
        }
    }

    pub(super) fn batch_arrives(&mut self, asker: Asker, alive: bool, frame: Vec<u8>) {
        let header = Frame::parse(&frame).expect("agents send frames").header;
        if self.bug == Some(Bug::AckBeforeCommit) && alive && self.hub.process.is_some() {
            let (spool, seq) = (header.spool, header.seq);
            let ack = Ack {
                spool,
                seq,
                upto: seq,
                known: false,
            };
            let message = Message::Net(NetEvent::Ack(ack));
            self.post(asker.node, asker.session, false, message);
        }
        // After a restore a node that joined later is not known for a while.
        match self.hub.batch(self.wall(), asker, header.node, frame) {
            Err(refusal) if refusal.reason != Reason::UnknownNode => {
                self.fault = Some(format!("a genuine batch was refused: {refusal:?}"));
            }
            _ => {}
        }
    }

    /// A message of which the link carried a part: it is no message, and no batch.
    fn cut_message(&mut self, frame: Vec<u8>) {
        self.hit("message cut at a byte");
        let at = self.rng.below(frame.len() as u64) as usize;
        let sender = Frame::parse(&frame).map(|f| f.header.node);
        let known = sender.ok().filter(|id| self.hub.knows(*id));
        if known.is_some_and(|id| self.hub.refusal(id, frame[..at].to_vec()).is_none()) {
            self.fault = Some(format!("I10: a batch cut at byte {at} was believed"));
        }
        let whole = message::Message::Batch(frame).encode();
        let at = self.rng.below(whole.len() as u64) as usize;
        if message::Message::decode_front(&mut &whole[..at]) != Ok(None) {
            self.fault = Some(format!("a message cut at byte {at} was taken for one"));
        }
    }

    pub(super) fn hub_commit(&mut self) {
        self.commit_planned = false;
        if self.hub.process.is_none() {
            return;
        }
        let Some(answers) = self.hub.commit(self.wall(), false) else {
            return self.hub_died();
        };
        let answers = answers.into_iter();
        answers.for_each(|(asker, answer)| self.answer(asker, answer));
        for _ in 0..std::mem::take(&mut self.hub.twins_seen) {
            self.hit("duplicate before the commit");
        }
        if self.bug == Some(Bug::InferredBeforeClose) {
            let now = self.wall();
            bug::infer_early(&mut self.hub, now);
            if self.hub.commit(self.wall(), false).is_none() {
                self.hub_died();
            }
        }
    }

    pub(super) fn hub_died(&mut self) {
        self.note("aggregator ends".to_owned());
        (0..self.nodes.len()).for_each(|node| self.cut(node, "aggregator ended"));
        let wait = self.rng.between(100, 100_000);
        self.plan(wait, What::StartHub);
    }

    pub(super) fn start_hub(&mut self) {
        if self.hub.process.is_none() {
            self.note("aggregator starts".to_owned());
            let is_small = self.rng.chance(40);
            self.hub.room = is_small.then(|| self.rng.below(8) as usize);
            self.hub.start(self.wall());
        }
    }

    fn answer(&mut self, asker: Asker, answer: Answer) {
        let Asker { node, session } = asker;
        if let Answer::Ack(ack) = &answer
            && !ack.known
            && !self.ledger.new.insert((ack.spool, ack.seq))
        {
            let seq = ack.seq;
            self.fault = Some(format!("I2: node {node}: batch {seq} came again and was new"));
        }
        if session == 0 {
            // Nobody asked: a replay, a copy, an import.
            return;
        }
        if self.sessions[node] != Some(session) || self.rng.chance(1) && !self.healing {
            // QUIC loses nothing on a living connection: an answer is lost with its connection.
            self.hit("lost answer");
            if self.sessions[node] == Some(session) {
                self.cut(node, "answer lost");
            }
            return;
        }
        let message = match answer {
            // It was answered when it came.
            Answer::Ack(_) if self.bug == Some(Bug::AckBeforeCommit) => return,
            Answer::Ack(mut ack) => {
                if self.bug == Some(Bug::WatermarkByTime) {
                    let last = self.last_sent[node]
                        .as_ref()
                        .filter(|(spool, ..)| *spool == ack.spool);
                    ack.upto = last.map_or(ack.upto, |(_, seq, _)| *seq);
                }
                Message::Net(NetEvent::Ack(ack))
            }
            Answer::Nack(nack, reason) => {
                self.note(format!("n{node} nack {} {reason:?}", nack.seq));
                Message::Net(NetEvent::Nack(nack))
            }
            Answer::Welcome(welcome) => Message::Welcome(welcome),
            Answer::Applied(_) | Answer::Booked(_) | Answer::Rejected(_) => return,
        };
        self.post(node, session, false, message);
    }

    /// The aggregator's first answer says what it has, as an acknowledgement does.
    fn welcomed(&mut self, node: usize, mut welcome: Welcome) -> Effects {
        welcome.watermark_digest = self.ledger.as_written(welcome.watermark_digest);
        let (watermark, above) = (welcome.watermark, welcome.above.clone());
        let agent = self.nodes[node].agent.as_ref().expect("a message reached it");
        let (id, spool) = (self.nodes[node].id, agent.status().spool);
        let effects = self.nodes[node].welcomed(self.now_ms, welcome, &mut self.rng);
        if effects.disconnect.is_none() {
            let told = &mut self.ledger.told;
            told.note_upto((id, spool), watermark);
            let seqs = above.into_iter().flat_map(|(from, to)| from..to);
            told.acked.extend(seqs.map(|seq| (id, spool, seq)));
        }
        effects
    }

    pub(super) fn reach_node(&mut self, (node, session): AskerKey, message: usize) {
        let message = self.messages.remove(&message).expect("delivered once");
        if self.sessions[node] != Some(session) || self.nodes[node].agent.is_none() {
            return;
        }
        let effects = match message {
            Message::Welcome(welcome) => {
                self.note(format!("n{node} welcomed at {}", welcome.watermark));
                self.welcomed(node, welcome)
            }
            Message::Net(event) => {
                if let NetEvent::Ack(ack) = &event {
                    self.note(format!("n{node} ack {} upto {}", ack.seq, ack.upto));
                    let key = (self.nodes[node].id, ack.spool, ack.seq);
                    self.ledger.told.note(key, ack.upto);
                }
                self.nodes[node].net(self.now_ms, event)
            }
            Message::Hello(_) | Message::Batch(_) => unreachable!("these go the other way"),
        };
        self.obey(node, effects);
    }
}

fn digest_of(frame: &[u8]) -> Digest {
    Frame::parse(frame).expect("agents send frames").digest()
}
