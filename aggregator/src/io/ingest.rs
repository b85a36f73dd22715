//! Batches from one node's connection: first word, then a stream for each batch, answered once it is durable (I3).
//!
//! Frames are checked here, beside the writer; a batch of another node than the certificate's is refused (I10).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use quinn::{Connection, RecvStream, SendStream};
use tallyman_aggregator_core::aggregator::Answer;
use tallyman_aggregator_core::ingest::{Checked, Reason, Refusal, check};
use tallyman_aggregator_core::registry::clones::CloneEvidence;
use tallyman_aggregator_core::registry::{NodeStatus, Registry};
use tallyman_common::ids::{NodeId, Nonce, SpoolId};
use tallyman_common::message::{Hello, MESSAGE_BYTES_MAX, Message, Nack, Refused, Welcome};
use tallyman_common::time::WallMs;
use tallyman_common::wire::{self, Frame};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::clones;
use super::door::Visit;
use super::faults;
use super::frames::{StreamError, read_content, read_length, read_message, say, say_last};
use super::keys::{life_left, peer_node};
use super::quic::{Budget, CLOSE_ENDED, CLOSE_EXPIRED, CLOSE_PROTOCOL, CLOSE_REFUSED, Context, open_wide};
use super::readmit::readmit_if_unknown;
use crate::limits::{
    CHECK_HERE_BYTES_MAX, CONNECTION_WINDOW, HANDSHAKE_MAX, HELLO_BYTES_MAX, LIVE_BYTES_MAX, STREAM_MAX,
    UNFINISHED_STREAMS_MAX, VOICE_GRACE, VOICE_GRACE_HELLO,
};
use crate::live::Seen;
use crate::writer::nack;

/// A clock that differs by more is told, milliseconds.
const SKEW_MS_TOLD: u64 = 30_000;

/// Serves a connection until it ends.
pub async fn serve(context: &Arc<Context>, connection: &Connection, mut visit: Visit) {
    let peer = connection.remote_address();
    let Some(node) = peer_node(connection) else {
        context.failed(
            peer,
            "no_certificate",
            "an agent without a certificate wants to send: enrol the node first",
        );
        connection.close(CLOSE_REFUSED, b"no certificate: enrol this node first");
        return;
    };
    let first = timeout(HANDSHAKE_MAX, first_word(context, connection, node)).await;
    // The control stream stays open for directives.
    let (hello, _control) = match first {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(words)) => {
            context.failed(peer, "refused", &format!("node {node}: {words}"));
            connection.close(CLOSE_PROTOCOL, words.as_bytes());
            return;
        }
        Err(_) => {
            context.failed(peer, "slow", &format!("node {node}: no first word came in time"));
            connection.close(CLOSE_PROTOCOL, b"no first word came in time");
            return;
        }
    };
    join(context, connection, node, &hello);
    visit.is_known();
    open_wide(connection);
    let voice = (hello.nonce, peer);
    if let Some(hosts) = context
        .voices
        .heard(node, voice, Instant::now(), VOICE_GRACE_HELLO)
    {
        clones::note(&context.handle, node, peer, (CloneEvidence::Alternating, hosts)).await;
    }
    let taking = Sender::new(context, connection, node, hello.nonce).take_streams();
    // TLS looks at the certificate once: a stolen one would send for as long as its connection stands.
    let life = life_left(connection, context.handle.now());
    if timeout(life, taking).await.is_err() {
        connection.close(
            CLOSE_EXPIRED,
            b"the certificate's life is over: renew it and connect again",
        );
    }
    context.links.remove(node, connection);
    context.handle.metrics().connections.dec();
    if let Some(error) = connection.close_reason() {
        tracing::info!(%peer, %node, "connection ended: {}", faults::words(&error).1);
    }
}

/// Reads the first word and answers it, or refuses with words.
async fn first_word(
    context: &Context,
    connection: &Connection,
    node: NodeId,
) -> Result<(Hello, (SendStream, RecvStream)), String> {
    let (mut send, mut recv) = connection.accept_bi().await.map_err(|e| faults::words(&e).1)?;
    let hello = match read_message(&mut recv, HELLO_BYTES_MAX).await {
        Ok(Message::Hello(hello)) => hello,
        Ok(other) => return Err(format!("the first word must be a hello, not {}", kind(&other))),
        Err(error) => return Err(error.to_string()),
    };
    readmit_if_unknown(&context.handle, connection, node).await;
    let refusal = refusal_of(&hello, node, &context.handle.registry());
    if let Some(reason) = refusal {
        let text = reason.text().to_owned();
        let words = Message::Refused(Refused {
            reason: reason.number(),
            text: text.clone(),
        });
        say_last(&mut send, &words).await;
        connection.close(CLOSE_ENDED, text.as_bytes());
        return Err(text);
    }
    let welcome = context
        .handle
        .hello(hello.clone())
        .await
        .map_err(|e| e.to_string())?;
    tell_skew(node, hello.wall, &welcome);
    if hello.last_seq < welcome.watermark {
        context.handle.metrics().rewound.inc();
        let (peer, last, here) = (connection.remote_address(), hello.last_seq, welcome.watermark);
        tracing::error!(
            %peer, %node, spool = %hello.spool, last, here,
            "this node's folder is older than what came from it: its disk was set back, or it is a copy; it goes on in a \
             new spool in which its counters start at 0"
        );
    }
    if say(&mut send, &Message::Welcome(welcome)).await {
        Ok((hello, (send, recv)))
    } else {
        Err("the agent did not wait for its welcome".to_owned())
    }
}

fn refusal_of(hello: &Hello, node: NodeId, registry: &Registry) -> Option<Reason> {
    let (oldest, newest) = hello.versions;
    match registry.nodes.get(&node).map(|n| n.status) {
        None => Some(Reason::UnknownNode),
        Some(NodeStatus::Retired | NodeStatus::Revoked) => Some(Reason::EndedNode),
        Some(NodeStatus::Active) if hello.node != node => Some(Reason::OtherNode),
        Some(NodeStatus::Active) if registry.is_fenced(node, hello.nonce) => Some(Reason::Clone),
        Some(NodeStatus::Active) if !(oldest..=newest).contains(&wire::VERSION) => Some(Reason::Version),
        Some(NodeStatus::Active) => None,
    }
}

fn tell_skew(node: NodeId, theirs: WallMs, welcome: &Welcome) {
    let skew_ms = welcome.wall.0.abs_diff(theirs.0);
    if skew_ms > SKEW_MS_TOLD {
        let side = if theirs > welcome.wall {
            "ahead of"
        } else {
            "behind"
        };
        tracing::warn!(%node, skew_ms, "the node's clock is {side} ours: set it, or its batches will be held");
    }
}

fn join(context: &Context, connection: &Connection, node: NodeId, hello: &Hello) {
    let peer = connection.remote_address();
    let met = context.links.add(node, hello.nonce, connection.clone());
    let metrics = context.handle.metrics();
    metrics.connections.inc();
    if !met.others.is_empty() {
        metrics.second_processes.inc();
        tracing::warn!(
            %peer, %node, others = ?met.others,
            "another process of this node is connected too, from `others`: normal for a minute after a crash, from another \
             host a cloned node"
        );
    }
    tracing::info!(%peer, %node, agent = %hello.agent_version, replaced = met.replaced, "node connected");
    // A revocation between the check and the entry into the map would else be missed.
    context.links.close_ended(&context.handle.registry());
}

/// A node at the other end of a connection.
struct Sender {
    context: Arc<Context>,
    connection: Connection,
    node: NodeId,
    process: Nonce,
    /// One node can't take the room of all others.
    own: Budget,
    unfinished: AtomicU32,
}

impl Sender {
    fn new(context: &Arc<Context>, connection: &Connection, node: NodeId, process: Nonce) -> Arc<Self> {
        Arc::new(Self {
            context: context.clone(),
            connection: connection.clone(),
            node,
            process,
            own: Budget::new(CONNECTION_WINDOW as usize),
            unfinished: AtomicU32::new(0),
        })
    }

    async fn take_streams(self: Arc<Self>) {
        loop {
            tokio::select! {
                stream = self.connection.accept_bi() => match stream {
                    Ok(stream) => {
                        let sender = self.clone();
                        tokio::spawn(async move { sender.batches(stream).await });
                    }
                    Err(_) => return,
                },
                stream = self.connection.accept_uni() => match stream {
                    Ok(recv) => {
                        let context = self.context.clone();
                        let node = self.node;
                        tokio::spawn(async move { live(&context, node, recv).await });
                    }
                    Err(_) => return,
                },
            }
        }
    }

    /// Answers the batches of one stream: one, or several one after the other.
    async fn batches(&self, (mut send, mut recv): (SendStream, RecvStream)) {
        let context = &self.context;
        let mut answered = 0u32;
        loop {
            let read = timeout(STREAM_MAX, read_batch(context, &self.own, &mut recv)).await;
            let (frame, room) = match read {
                Ok(Ok(read)) => read,
                Ok(Err(StreamError::Ended)) => {
                    // The other end may be gone.
                    drop(send.finish());
                    return;
                }
                Ok(Err(StreamError::Broken(error))) => {
                    return tracing::debug!(node = %self.node, %error, "a stream broke");
                }
                Ok(Err(error)) => return self.give_up("malformed", &error.to_string()),
                // Between two batches a stream may rest.
                Err(_) if answered > 0 => return,
                Err(_) => return self.give_up("slow", "its batch did not come in time"),
            };
            self.is_heard().await;
            let answer = answer(context, self.node, frame, room).await;
            self.look_for_clone(&answer).await;
            answered += 1;
            match timeout(STREAM_MAX, say(&mut send, &answer)).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.give_up("unread", "its answer was not taken in time"),
            }
        }
    }

    /// Counts a stream that came to nothing; the connection ends when there are too many.
    fn give_up(&self, cause: &'static str, words: &str) {
        let (peer, node) = (self.connection.remote_address(), self.node);
        self.context.handle.metrics().gave_up(cause);
        tracing::debug!(%peer, %node, cause, "a stream was given up: {words}");
        if self.unfinished.fetch_add(1, Ordering::Relaxed) + 1 == UNFINISHED_STREAMS_MAX {
            let words = format!(
                "node {node}: {UNFINISHED_STREAMS_MAX} streams were given up, the last because {words}: a very bad link, \
                 or a broken agent; `node revoke` it if it is hostile"
            );
            self.context.failed(peer, "bad_streams", &words);
            self.connection
                .close(CLOSE_PROTOCOL, b"too many streams came to nothing");
        }
    }

    async fn is_heard(&self) {
        let (node, peer) = (self.node, self.connection.remote_address());
        let voice = (self.process, peer);
        let heard = self
            .context
            .voices
            .heard(node, voice, Instant::now(), VOICE_GRACE);
        if let Some(hosts) = heard {
            let found = (CloneEvidence::Alternating, hosts);
            clones::note(&self.context.handle, node, peer, found).await;
        }
    }

    /// A batch that contradicts another is a clone's, or of a disk that was set back.
    async fn look_for_clone(&self, answer: &Message) {
        let Message::Nack(nack) = answer else { return };
        let reason = Reason::from_number(nack.reason);
        if !matches!(reason, Some(Reason::Conflict | Reason::TimeCoveredTwice)) {
            return;
        }
        let (spool, seq) = (nack.spool, nack.seq);
        let found = (
            CloneEvidence::Batch { spool, seq },
            self.context.voices.last_two(self.node),
        );
        let peer = self.connection.remote_address();
        clones::note(&self.context.handle, self.node, peer, found).await;
    }
}

/// Room in the node's own budget, then in that of all.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

async fn read_batch(
    context: &Context,
    own: &Budget,
    recv: &mut RecvStream,
) -> Result<(Vec<u8>, Room), StreamError> {
    loop {
        let bytes = read_length(recv, MESSAGE_BYTES_MAX).await?;
        let room = (own.take(bytes).await, context.receiving.take(bytes).await);
        // Kinds that this release does not know are skipped.
        if let Message::Batch(frame) = read_content(recv, bytes).await? {
            return Ok((frame, room));
        }
    }
}

async fn answer(context: &Context, node: NodeId, frame: Vec<u8>, receiving: Room) -> Message {
    let metrics = context.handle.metrics();
    metrics.frame_bytes.inc_by(frame.len() as u64);
    let named = Frame::parse(&frame).map(|f| (f.header.spool, f.header.seq, f.header.raw_bytes as usize));
    let (spool, seq, raw_bytes) = named.unwrap_or((SpoolId::default(), 0, 0));
    let waiting = context.waiting.take(raw_bytes).await;
    drop(receiving);
    let answer = match check_beside(frame, node, context.handle.registry()).await {
        Ok(checked) => context.handle.batch(checked).await,
        Err(refusal) => {
            metrics.refused(refusal.reason);
            tracing::warn!(%node, %spool, seq, "batch refused: {}", refusal.text);
            return Message::Nack(nack(spool, seq, refusal.reason, refusal.text));
        }
    };
    drop(waiting);
    match answer {
        Ok(Answer::Ack(ack)) => Message::Ack(ack),
        Ok(Answer::Nack(nack, reason)) => {
            tell_nack(node, &nack, reason);
            Message::Nack(nack)
        }
        Ok(other) => unreachable!("a batch is answered with ack or nack, not {other:?}"),
        Err(error) => Message::Nack(nack(spool, seq, Reason::Unavailable, error.to_string())),
    }
}

fn tell_nack(node: NodeId, nack: &Nack, reason: Reason) {
    let (spool, seq) = (nack.spool, nack.seq);
    if reason == Reason::NoRoom {
        // Said once by the writer; all nodes hear the same.
        return tracing::debug!(%node, %spool, seq, "{}", nack.text);
    }
    tracing::warn!(%node, %spool, seq, reason = %reason.label(), "batch not counted: {}", nack.text);
}

/// Small frames are checked here: going to another thread would cost more. Large ones would hold up other streams.
async fn check_beside(
    frame: Vec<u8>,
    node: NodeId,
    registry: Arc<Registry>,
) -> Result<Box<Checked>, Refusal> {
    if frame.len() <= CHECK_HERE_BYTES_MAX {
        return check(frame, Some(node), &registry).map(Box::new);
    }
    let checking = tokio::task::spawn_blocking(move || check(frame, Some(node), &registry).map(Box::new));
    checking.await.unwrap_or_else(|error| {
        Err(Refusal {
            reason: Reason::Unavailable,
            text: error.to_string(),
        })
    })
}

async fn live(context: &Context, node: NodeId, mut recv: RecvStream) {
    let read = timeout(STREAM_MAX, recv.read_to_end(LIVE_BYTES_MAX)).await;
    let Ok(Ok(bytes)) = read else {
        return tracing::debug!(%node, "a live view was given up");
    };
    let mut rest = &bytes[..];
    while let Ok(Some(message)) = Message::decode_front(&mut rest) {
        let Message::Live(live) = message else { continue };
        let handle = &context.handle;
        handle.metrics().live_views.inc();
        let received = handle.now();
        handle.live().put(node, Seen { received, live });
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Batch(_) => "a batch",
        Message::CertificateRequest(_) => "a certificate request",
        Message::Unknown(_) => "a message of an unknown kind",
        _ => "another message",
    }
}
