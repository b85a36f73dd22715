//! The vocabulary that crosses the wire or stands on a bill. Both programs speak it; neither is known here.
//!
//! Read `record` (what is measured) and `wire` (how it travels) first. Byte layouts are described in
//! `docs/FORMATS.md` and frozen by the golden files in `tests/golden`.

// Declared in reading order, a comment each, so that the order is kept.
/// Canonical bytes: one encoding per value, bounded.
pub mod codec;
/// Signed frames in a file.
pub mod export;
/// Identities: nodes, spools, boots, owners, digests.
pub mod ids;
/// What agent and aggregator say to each other.
pub mod message;
/// The closed table of meters with their base units.
pub mod meter;
/// Exact decimal amounts; only the aggregator may use it.
pub mod money;
/// What one owner used on one node in one window.
pub mod record;
/// Ed25519 signatures over headers.
pub mod sign;
/// Instants, windows and hours; wall time and boot time are different types.
pub mod time;
/// RFC 6962 tree over the owners of a batch.
pub mod tree;
/// The signed header and the frame that carries a batch.
pub mod wire;
