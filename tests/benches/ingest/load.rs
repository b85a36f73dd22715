//! The generator: sends what was made before, as fast as it is acknowledged or at a fixed rate, a stream per batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use quinn::Connection;
use tallyman_aggregator::io::frames::read_message;
use tallyman_common::message::{MESSAGE_BYTES_MAX, Message};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Batches of one connection that wait for their answers.
const WINDOW: usize = 2;

/// One node's batches, by sequence, and how far they are.
#[derive(Default)]
pub struct Stock {
    /// Messages; the first is batch 1.
    pub messages: Vec<Vec<u8>>,
    /// CPU reading of the first owner at the end of each.
    pub readings: Vec<u128>,
    next: AtomicUsize,
    /// All up to this one are acknowledged.
    pub acked_upto: AtomicU64,
}

impl Stock {
    /// With more batches than before.
    pub fn grown(self: Arc<Self>, more: Vec<(Vec<u8>, u128)>) -> Result<Arc<Self>> {
        let mut stock = Arc::into_inner(self).context("nobody sends while batches are made")?;
        // Whoever found nothing left counted on all the same.
        let made = stock.messages.len();
        stock.next = AtomicUsize::new(stock.next.into_inner().min(made));
        for (message, reading) in more {
            stock.messages.push(message);
            stock.readings.push(reading);
        }
        Ok(Arc::new(stock))
    }

    /// The same batches, none of them sent.
    pub fn again(&self, count: usize) -> Arc<Self> {
        let messages = self.messages.iter().take(count).cloned().collect();
        Arc::new(Self {
            messages,
            ..Self::default()
        })
    }

    /// Batches made and not sent.
    pub fn left(&self) -> usize {
        self.messages.len() - self.next.load(Ordering::Relaxed).min(self.messages.len())
    }

    fn take(&self) -> Option<&[u8]> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.messages.get(at).map(Vec::as_slice)
    }
}

/// What was sent and acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// Batches.
    pub batches: u64,
    /// Bytes of their messages.
    pub bytes: u64,
    /// From the first byte to the last answer.
    pub took: Duration,
}

/// Sends from all stocks until `limit` is over or they are empty, and waits for the last answers.
pub async fn flood(connections: &[Connection], stocks: &[Arc<Stock>], limit: Duration) -> Result<Sent> {
    let start = Instant::now();
    let end = start + limit;
    let mut senders = JoinSet::new();
    for (connection, stock) in connections.iter().zip(stocks) {
        for _ in 0..WINDOW {
            let (connection, stock) = (connection.clone(), stock.clone());
            senders.spawn(async move { send_until(&connection, &stock, end).await });
        }
    }
    let mut sent = Sent::default();
    while let Some(ended) = senders.join_next().await {
        let (batches, bytes) = ended??;
        sent.batches += batches;
        sent.bytes += bytes;
    }
    sent.took = start.elapsed();
    Ok(sent)
}

async fn send_until(connection: &Connection, stock: &Stock, end: Instant) -> Result<(u64, u64)> {
    let (mut batches, mut bytes) = (0, 0);
    while Instant::now() < end {
        let Some(message) = stock.take() else { break };
        let upto = send(connection, message).await?;
        stock.acked_upto.fetch_max(upto, Ordering::Relaxed);
        batches += 1;
        bytes += message.len() as u64;
    }
    Ok((batches, bytes))
}

/// Sends one batch; up to where its spool is acknowledged.
async fn send(connection: &Connection, message: &[u8]) -> Result<u64> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(message).await?;
    send.finish()?;
    match read_message(&mut recv, MESSAGE_BYTES_MAX).await? {
        Message::Ack(ack) => Ok(ack.upto),
        other => bail!("not acknowledged: {other:?}"),
    }
}

/// Sends at a fixed rate, whether answers come or not; how long each took from the moment it was due.
pub async fn pace(
    connections: &[Connection],
    stocks: &[Arc<Stock>],
    per_second: f64,
    limit: Duration,
) -> Result<Vec<Duration>> {
    let start = Instant::now();
    let mut waiting = JoinSet::new();
    let mut due = start;
    for number in 0.. {
        due = start + Duration::from_secs_f64(f64::from(number) / per_second);
        if due >= start + limit {
            break;
        }
        tokio::time::sleep_until(due).await;
        let at = number as usize % connections.len();
        let (connection, stock) = (connections[at].clone(), stocks[at].clone());
        waiting.spawn(async move {
            let message = stock.take().context("too few batches were made")?;
            send(&connection, message).await?;
            anyhow::Ok(due.elapsed())
        });
    }
    debug_assert!(due >= start);
    let mut took = Vec::with_capacity(waiting.len());
    while let Some(ended) = waiting.join_next().await {
        took.push(ended??);
    }
    Ok(took)
}
