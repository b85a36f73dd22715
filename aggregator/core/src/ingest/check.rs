//! Is this frame the node's, and what does it say? Pure; many run beside the one writer.

use tallyman_common::ids::{Digest, NodeId, Owner};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Record, Row};
use tallyman_common::wire::{FLAG_CARRIED, Frame, FrameError, Header};

use super::reason::Reason;
use crate::limits::{CPU_SLACK_MS, USAGE_PER_ROW_MAX};
use crate::registry::{NodeStatus, Registry};

/// A frame whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The signed header.
    pub header: Header,
    /// The header's digest: the batch's name.
    pub digest: Digest,
    /// Header bytes and signature, kept for good.
    pub signed: Vec<u8>,
    /// The whole frame as it came.
    pub frame: Vec<u8>,
    /// What it says; an error in words if it can't be understood.
    pub records: Result<Vec<Record>, String>,
    /// CPU time of all owners beyond what the machine can give.
    pub implausible: bool,
}

/// Not believed; nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Words with the particulars.
    pub text: String,
}

fn refuse(reason: Reason, detail: impl ToString) -> Refusal {
    Refusal {
        reason,
        text: format!("{}: {}", reason.text(), detail.to_string()),
    }
}

/// Checks a frame that came over the connection of `sender` (`None` for a file that an operator imports).
pub fn check(frame: Vec<u8>, sender: Option<NodeId>, registry: &Registry) -> Result<Checked, Refusal> {
    let parsed = Frame::parse(&frame).map_err(|e| refuse(reason_of(&e), e))?;
    let node = parsed.header.node;
    if sender.is_some_and(|s| s != node) {
        return Err(refuse(Reason::OtherNode, format!("batch of {node}")));
    }
    let Some(known) = registry.nodes.get(&node) else {
        return Err(refuse(Reason::UnknownNode, node));
    };
    // What a retired node signed before is still its own: an operator brings it in a file.
    let is_late = sender.is_none() && known.status == NodeStatus::Retired;
    if known.status != NodeStatus::Active && !is_late {
        return Err(refuse(Reason::EndedNode, node));
    }
    let signed = [parsed.header_bytes, parsed.signature].concat();
    let verified = parsed
        .verify(&known.signing_key)
        .map_err(|e| refuse(reason_of(&e), e))?;
    let (header, digest) = (verified.header().clone(), verified.digest());
    let records = match header.window().by_hour() {
        None => Err("its window lies before 1970".to_owned()),
        Some(_) => verified.open().map_err(|e| e.to_string()),
    };
    let records = records.map(|leaves| leaves.into_iter().map(|leaf| leaf.record).collect::<Vec<_>>());
    let implausible = records.as_ref().is_ok_and(|r| is_implausible(&header, r));
    Ok(Checked {
        header,
        digest,
        signed,
        frame,
        records,
        implausible,
    })
}

fn reason_of(error: &FrameError) -> Reason {
    match error {
        FrameError::Version(_) => Reason::Version,
        FrameError::TooLarge { .. } => Reason::TooLarge,
        FrameError::Signature(_) => Reason::Signature,
        _ => Reason::Malformed,
    }
}

/// CPU time beyond processors × length, or figures so large that sums of them might not fit: a broken counter or a
/// lie; a person decides. A window that also tells what an earlier boot used is bounded by no length of its own.
fn is_implausible(header: &Header, records: &[Record]) -> bool {
    let length_ms = header.window().length_ms() + CPU_SLACK_MS;
    let rows = || records.iter().flat_map(|r| r.groups.iter().flat_map(|g| &g.rows));
    let is_bounded = header.flags & FLAG_CARRIED == 0;
    let is_long = |row: &Row| is_bounded && row.covered_ms > length_ms;
    let too_large = rows().any(|row| row.to - row.from > USAGE_PER_ROW_MAX || is_long(row))
        || records
            .iter()
            .flat_map(|r| &r.peaks)
            .any(|peak| peak.level > USAGE_PER_ROW_MAX);
    let mut cpu_ns = 0u128;
    for record in records.iter().filter(|r| r.owner != Owner::Host) {
        for row in record
            .groups
            .iter()
            .flat_map(|g| &g.rows)
            .filter(|row| row.meter == Meter::CPU_TIME)
        {
            // At most a leaf's rows of at most 2^96 each were let through above.
            cpu_ns += if too_large { 0 } else { row.to - row.from };
        }
    }
    too_large || is_bounded && cpu_ns > u128::from(length_ms) * u128::from(header.cpus) * 1_000_000
}
