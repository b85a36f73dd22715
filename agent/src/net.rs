//! The way to the aggregator: one connection, made anew with backoff and full jitter; first word, a stream for each
//! batch, live views beside them; and the renewal of the certificate.
//!
//! Must not decide what is sent or sent again: that is the core's.

use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tallyman_agent_core::{NetEvent, Outgoing};
use tallyman_common::ids::SpoolId;
use tallyman_common::message::{Hello, Live, MESSAGE_BYTES_MAX, Message, Welcome};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::certificate;
use crate::inbox::{InboxSender, Input, LinkState};
use crate::io::clock::wall;
use crate::io::keys::KeyFolder;
use crate::io::quic::{Link, LinkError, ServerAddress, ingest_tls, read_message};
use crate::limits::{
    ANSWER_BYTES_MAX, BACKOFF_FIRST, BACKOFF_LAST, CONNECT_MAX, RENEWAL_LOOK, SKEW_MS_TOLD, STOP_FLUSH_MAX,
};
use crate::outbox::{Outgoings, ToNet};

/// Everything that the way needs.
#[derive(Debug)]
pub struct Way {
    /// The aggregator.
    pub server: ServerAddress,
    /// Our keys.
    pub keys: KeyFolder,
    /// To the sampler.
    pub inbox: InboxSender,
    /// From the sampler.
    pub from: Outgoings,
    told: Option<String>,
}

/// How a session ended.
enum End {
    /// The sampler has ended, and everything was said.
    Stopped,
    /// Something failed; `greeted` when a session stood before.
    Lost { words: String, greeted: bool },
}

impl Way {
    /// Nothing is sent yet.
    pub fn new(server: ServerAddress, keys: KeyFolder, inbox: InboxSender, from: Outgoings) -> Self {
        Self {
            server,
            keys,
            inbox,
            from,
            told: None,
        }
    }

    /// Ships until the sampler ends.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            self.renew_if_due().await;
            match self.session().await {
                End::Stopped => return,
                End::Lost { words, greeted } => {
                    failures = if greeted { 0 } else { failures + 1 };
                    self.tell_fault(words).await;
                }
            }
            if self.pause(failures).await.is_none() {
                return;
            }
        }
    }

    async fn session(&mut self) -> End {
        let lost = |greeted| {
            move |error: LinkError| End::Lost {
                words: error.to_string(),
                greeted,
            }
        };
        let (link, mut control) = match self.greet().await {
            Ok(greeted) => greeted,
            Err(error) => return lost(false)(error),
        };
        self.tell_connected().await;
        let mut streams = JoinSet::new();
        let outcome = self.serve(&link, &mut control, &mut streams).await;
        if matches!(outcome, Ok(())) {
            // The last batches are on their way; the answers come to nobody, but the batches arrive.
            let all = async { while streams.join_next().await.is_some() {} };
            if timeout(STOP_FLUSH_MAX, all).await.is_err() {
                tracing::info!(
                    "not all batches were acknowledged before the stop; they are sent at the next start"
                );
            }
        }
        streams.shutdown().await;
        link.close("the agent ends this connection").await;
        // The sampler may be gone already.
        drop(self.inbox.send(Input::Net(NetEvent::Disconnected)).await);
        outcome.map_or_else(lost(true), |()| End::Stopped)
    }

    /// Connects and says the first word.
    async fn greet(&mut self) -> Result<(Link, (SendStream, RecvStream)), LinkError> {
        let link = Link::open(&self.server, ingest_tls(&self.keys)?).await?;
        let hello = self.hello().await?;
        // What was queued before the first word belongs to an older session; the core sends it again.
        while self.from.queue.try_recv().is_ok() {}
        let exchange = async {
            let (mut send, mut recv) = link.connection.open_bi().await?;
            send.write_all(&Message::Hello(hello).encode()).await?;
            let welcome = read_welcome(&mut recv).await?;
            Ok::<_, LinkError>((welcome, (send, recv)))
        };
        let (welcome, control) = timeout(CONNECT_MAX, exchange)
            .await
            .map_err(|_| LinkError::Silent)??;
        tell_skew(&welcome);
        let fresh = random_spool()?;
        let connected = Input::Net(NetEvent::Connected { welcome, fresh });
        self.inbox
            .send(connected)
            .await
            .map_err(|e| LinkError::Protocol(e.to_string()))?;
        Ok((link, control))
    }

    async fn hello(&self) -> Result<Hello, LinkError> {
        let gone = |what: String| LinkError::Protocol(what);
        let (ask, answer) = oneshot::channel();
        self.inbox
            .send(Input::Hello(ask))
            .await
            .map_err(|e| gone(e.to_string()))?;
        answer.await.map_err(|e| gone(e.to_string()))
    }

    /// Serves a session; `Ok` when the sampler has ended.
    async fn serve(
        &mut self,
        link: &Link,
        control: &mut (SendStream, RecvStream),
        streams: &mut JoinSet<Result<(), LinkError>>,
    ) -> Result<(), LinkError> {
        let mut renewal = std::pin::pin!(tokio::time::sleep(self.renewal_in()));
        let mut listening = std::pin::pin!(listen(&mut control.1));
        loop {
            tokio::select! {
                message = self.from.queue.recv() => match message {
                    Some(ToNet::Batch(outgoing)) => {
                        let (connection, inbox) = (link.connection.clone(), self.inbox.clone());
                        streams.spawn(ship(connection, outgoing, inbox));
                    }
                    Some(ToNet::Disconnect(reason)) => return Err(LinkError::Connection(reason)),
                    None => return Ok(()),
                },
                Ok(()) = self.from.live.changed() => {
                    let live = self.from.live.borrow_and_update().clone();
                    if let Some(live) = live {
                        let connection = link.connection.clone();
                        streams.spawn(show(connection, live));
                    }
                }
                Some(shipped) = streams.join_next() => {
                    // A stream that was aborted or panicked is one that broke.
                    shipped.map_err(|e| LinkError::Protocol(e.to_string()))??;
                }
                fault = &mut listening => return Err(fault),
                () = &mut renewal => {
                    self.renew_if_due().await;
                    renewal.as_mut().reset(Instant::now() + self.renewal_in());
                }
            }
        }
    }

    /// Until the next look at the certificate: when it is due, but no later than after a while, since clocks are set;
    /// and one that could not be renewed is tried again then.
    fn renewal_in(&self) -> Duration {
        let due = self.keys.enrolment().ok().and_then(|e| e.renewal_in(wall()));
        due.map_or(RENEWAL_LOOK, |due| due.min(RENEWAL_LOOK))
    }

    /// Renews the certificate at two thirds of its life. A failure is told and tried again later; metering goes on.
    async fn renew_if_due(&self) {
        match certificate::renew_if_due(&self.server, &self.keys).await {
            Ok(false) => {}
            Ok(true) => tracing::info!("certificate renewed"),
            Err(error) => tracing::error!(code = "renewal", "the certificate was not renewed: {error}"),
        }
    }

    /// Waits before the next attempt: any part of a pause that doubles. `None` when the sampler has ended.
    async fn pause(&mut self, failures: u32) -> Option<()> {
        let longest = (BACKOFF_FIRST * (1 << failures.min(6))).min(BACKOFF_LAST);
        let end = Instant::now() + part_of(longest);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return Some(()),
                // Without a connection nothing is sent; the core knows that, or will.
                message = self.from.queue.recv() => { message?; }
            }
        }
    }

    async fn tell_connected(&mut self) {
        self.told = None;
        tracing::info!(server = %self.server, "connected");
        self.tell_state(true, None).await;
    }

    /// Said once for each cause: an aggregator that is away for a day is one line.
    async fn tell_fault(&mut self, words: String) {
        if self.told.as_ref() != Some(&words) {
            tracing::warn!(server = %self.server, "not connected: {words}; metering goes on, and is sent later");
            self.told = Some(words.clone());
        }
        self.tell_state(false, Some(words)).await;
    }

    async fn tell_state(&self, connected: bool, fault: Option<String>) {
        let state = LinkState {
            server: self.server.to_string(),
            connected,
            fault,
            certificate_expires: self.keys.enrolment().ok().map(|e| e.expires.0),
        };
        // The sampler may be gone already.
        drop(self.inbox.send(Input::Link(state)).await);
    }
}

async fn read_welcome(recv: &mut RecvStream) -> Result<Welcome, LinkError> {
    loop {
        match read_message(recv, ANSWER_BYTES_MAX).await? {
            Message::Welcome(welcome) => return Ok(welcome),
            Message::Refused(refused) => {
                return Err(LinkError::Protocol(format!(
                    "the aggregator refuses this node: {}",
                    refused.text
                )));
            }
            Message::Unknown(_) => {}
            _ => {
                return Err(LinkError::Protocol(
                    "the aggregator's first word is no welcome".to_owned(),
                ));
            }
        }
    }
}

/// Listens on the control stream until it breaks. Kinds that this release does not know are skipped.
async fn listen(control: &mut RecvStream) -> LinkError {
    loop {
        match read_message(control, ANSWER_BYTES_MAX).await {
            Ok(Message::Refused(refused)) => return LinkError::Protocol(refused.text),
            Ok(_) => tracing::debug!("a control message of an unknown kind was skipped"),
            Err(error) => return error,
        }
    }
}

/// One batch on a stream of its own, and its answer.
async fn ship(connection: Connection, outgoing: Outgoing, inbox: InboxSender) -> Result<(), LinkError> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&Message::Batch(outgoing.frame).encode()).await?;
    // Refused only when the stream is finished already.
    drop(send.finish());
    let event = loop {
        match read_message(&mut recv, MESSAGE_BYTES_MAX).await? {
            Message::Ack(ack) => break NetEvent::Ack(ack),
            Message::Nack(nack) => break NetEvent::Nack(nack),
            Message::Unknown(_) => {}
            _ => {
                return Err(LinkError::Protocol(
                    "a batch was answered with something else".to_owned(),
                ));
            }
        }
    };
    inbox.send(Input::Net(event)).await.map_or_else(|_| Ok(()), Ok)
}

/// A live view; one that gets lost is followed by another.
async fn show(connection: Connection, live: Live) -> Result<(), LinkError> {
    let mut send = connection.open_uni().await?;
    send.write_all(&Message::Live(live).encode()).await?;
    drop(send.finish());
    Ok(())
}

fn tell_skew(welcome: &Welcome) {
    let ours = wall();
    let skew_ms = welcome.wall.0.abs_diff(ours.0);
    if skew_ms > SKEW_MS_TOLD {
        let side = if ours > welcome.wall { "ahead of" } else { "behind" };
        tracing::error!(
            code = "clock-skew",
            skew_ms,
            "this host's clock is {side} the aggregator's by {} s: set it (`timedatectl set-ntp true`), or batches \
             are held back there",
            skew_ms / 1_000
        );
    }
}

fn random_spool() -> Result<SpoolId, LinkError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| LinkError::Protocol(format!("no random numbers: {e}")))?;
    Ok(SpoolId(id))
}

/// Any part of a duration, by chance.
fn part_of(longest: Duration) -> Duration {
    let mut chance = [0; 4];
    // Without chance all nodes come at once, which is slower and not wrong.
    if getrandom::fill(&mut chance).is_err() {
        return longest;
    }
    longest * u32::from_le_bytes(chance).wrapping_shr(22) / 1_024
}
