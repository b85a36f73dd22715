//! What reaches the sampler from other threads: a bounded channel, and a file descriptor that wakes it from `poll`.
//!
//! Bounded (I11): who sends waits for room. Must not know what the sampler does with it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};
use tallyman_agent_core::{BatchRange, Description, NetEvent};
use tallyman_common::message::Hello;
use tokio::sync::oneshot;

use crate::control::Progress;
use crate::limits::INBOX_MAX;

/// How long a sender waits before it looks for room again.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// One message for the sampler.
#[derive(Debug)]
pub enum Input {
    /// A container was described.
    Described(Description),
    /// The network spoke.
    Net(NetEvent),
    /// A connection wants its first word.
    Hello(oneshot::Sender<Hello>),
    /// How the connection is doing, for `status`.
    Link(LinkState),
    /// How Docker is doing, for `status`; `None`: well.
    Docker(Option<String>),
    /// A person wants batches sent again; with none, only to know how that goes.
    Resend(Vec<BatchRange>, oneshot::Sender<Progress>),
    /// The process is asked to end.
    Stop,
}

/// How the connection is doing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LinkState {
    /// The aggregator.
    pub server: String,
    /// A session stands.
    pub connected: bool,
    /// Why the last one ended, or did not come to be.
    pub fault: Option<String>,
    /// End of the certificate's life, milliseconds of wall time.
    pub certificate_expires: Option<u64>,
}

/// The sending half; cheap to clone.
#[derive(Debug, Clone)]
pub struct InboxSender {
    channel: SyncSender<Input>,
    wake: Arc<OwnedFd>,
}

/// The receiving half.
#[derive(Debug)]
pub struct Inbox {
    channel: Receiver<Input>,
    wake: Arc<OwnedFd>,
}

/// The sampler has ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sampler has ended")]
pub struct Ended;

/// A channel to the sampler.
pub fn inbox() -> Result<(InboxSender, Inbox), Errno> {
    let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
    let (sender, receiver) = sync_channel(INBOX_MAX);
    let sender = InboxSender {
        channel: sender,
        wake: wake.clone(),
    };
    let channel = receiver;
    Ok((sender, Inbox { channel, wake }))
}

impl InboxSender {
    /// Puts a message in, once there is room.
    pub async fn send(&self, mut input: Input) -> Result<(), Ended> {
        loop {
            match self.channel.try_send(input) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(Ended),
                Err(TrySendError::Full(back)) => input = back,
            }
            tokio::time::sleep(ROOM_PAUSE).await;
        }
        ring(&self.wake);
        Ok(())
    }
}

impl Inbox {
    /// The next message, if there is one.
    pub fn take(&self) -> Option<Input> {
        self.channel.try_recv().ok()
    }

    /// Wakes the next wait although no message came: some were left.
    pub fn wake_again(&self) {
        ring(&self.wake);
    }

    /// Forgets that it was woken; to be called before the messages are taken.
    pub fn clear(&self) {
        // Nobody woke us, or somebody did: either way it is forgotten.
        let _ = read(&self.wake, &mut [0u8; 8]);
    }
}

fn ring(wake: &OwnedFd) {
    // Full only when nobody was woken for a very long time; it will wake.
    let _ = write(wake, &1u64.to_ne_bytes());
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
