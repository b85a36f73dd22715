//! What the sampler hands to the network: batches in order, and the newest live view. Never waits (I11).

use tallyman_agent_core::Outgoing;
use tallyman_common::message::Live;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};
use tokio::sync::watch;

use crate::limits::OUTBOX_MAX;

/// One message for the network.
#[derive(Debug)]
pub enum ToNet {
    /// A batch for a stream of its own.
    Batch(Outgoing),
    /// The connection is to be made anew.
    Disconnect(String),
}

/// The sampler's half.
#[derive(Debug)]
pub struct Outbox {
    queue: Sender<ToNet>,
    live: watch::Sender<Option<Live>>,
}

/// The network's half. When the sampler's is dropped, the process ends.
#[derive(Debug)]
pub struct Outgoings {
    /// Batches, in order.
    pub queue: Receiver<ToNet>,
    /// The newest live view.
    pub live: watch::Receiver<Option<Live>>,
}

/// A way from the sampler to the network.
pub fn outbox() -> (Outbox, Outgoings) {
    let (sender, queue) = channel(OUTBOX_MAX);
    let (live_sender, live) = watch::channel(None);
    let outbox = Outbox {
        queue: sender,
        live: live_sender,
    };
    (outbox, Outgoings { queue, live })
}

impl Outbox {
    /// Hands a message over. One for which there is no room is dropped: the core sees that no answer comes, and sends
    /// the batch again.
    pub fn put(&self, message: ToNet) {
        match self.queue.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!("the network does not keep up; a batch waits for its next turn")
            }
            Err(TrySendError::Closed(_)) => {}
        }
    }

    /// Replaces the live view.
    pub fn show(&self, live: Live) {
        self.live.send_replace(Some(live));
    }
}
