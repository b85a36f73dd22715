//! What an operator asks about closed hours: up to where they are sealed, and which holes were judged.

use serde::Serialize;

use super::text::instant_text;
use crate::bills::Books;
use crate::registry::seals::JudgedHole;
use crate::rollup::cache::FoldError;
use crate::seal::next_hour;

/// How many seals are listed.
const SEALS_LISTED: usize = 48;

/// Batches that did not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingBatches {
    /// Spool.
    pub spool: String,
    /// First missing batch.
    pub first: u64,
    /// Last missing batch; none at the end of a spool that was given up: how many there were nobody knows.
    pub last: Option<u64>,
}

/// A judged hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoleView {
    /// Position of the judgement.
    pub position: u64,
    /// Node.
    pub node: String,
    /// Spool of the first batch behind the hole.
    pub spool: String,
    /// Its number.
    pub seq: u64,
    /// What is missing.
    pub missing: Vec<MissingBatches>,
    /// Start of the hole.
    pub start: String,
    /// End of the hole.
    pub end: String,
    /// Values that were inferred.
    pub values: u64,
    /// Series of which nothing could be inferred: a batch in the hole is held, or was discarded, or the last reading was
    /// not found.
    pub unresolved: u64,
    /// Series whose readings contradict each other.
    pub contradictions: u64,
}

/// A sealed hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealView {
    /// Start of the hour.
    pub hour: String,
    /// Position of the decision.
    pub position: u64,
    /// When it was made.
    pub at: String,
    /// Values that came on time.
    pub values: u64,
    /// Digest over them.
    pub digest: String,
}

/// Where sealing stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seals {
    /// Everything before this instant is sealed; none before the first seal.
    pub sealed_until: Option<String>,
    /// Start of the hour that is sealed next; none before anything came.
    pub next_hour: Option<String>,
    /// Why nothing is sealed, if something is in the way that passes by itself only when a person acts.
    pub waits_for: Option<&'static str>,
    /// The newest seals, newest first.
    pub seals: Vec<SealView>,
}

/// All judged holes that stand, by node.
pub fn holes(books: Books<'_>) -> Vec<HoleView> {
    books.registry.holes.iter().map(hole_view).collect()
}

fn hole_view(hole: &JudgedHole) -> HoleView {
    let judgement = &hole.judgement;
    let missing = judgement
        .missing
        .iter()
        .map(|(spool, first, last)| MissingBatches {
            spool: spool.to_string(),
            first: *first,
            last: (*last != u64::MAX).then_some(*last),
        });
    HoleView {
        position: hole.position,
        node: judgement.node.to_string(),
        spool: judgement.spool.to_string(),
        seq: judgement.seq,
        missing: missing.collect(),
        start: instant_text(judgement.start),
        end: instant_text(judgement.end),
        values: judgement.values,
        unresolved: judgement.unresolved,
        contradictions: judgement.contradictions,
    }
}

/// Where sealing stands.
pub fn seals(books: Books<'_>) -> Result<Seals, FoldError> {
    let all = &books.registry.seals;
    let views = all.iter().rev().take(SEALS_LISTED).map(|seal| SealView {
        hour: instant_text(seal.hour.start()),
        position: seal.position,
        at: instant_text(seal.at),
        values: seal.values,
        digest: seal.digest.to_string(),
    });
    let restore = books.registry.open_restore();
    Ok(Seals {
        sealed_until: all.newest().map(|hour| instant_text(hour.end())),
        next_hour: next_hour(books)?.map(|hour| instant_text(hour.start())),
        waits_for: restore.map(|_| "a restore from a backup is open: `restore --settle` ends it"),
        seals: views.collect(),
    })
}
