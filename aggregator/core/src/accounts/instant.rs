//! Instants in stored and shown JSON: RFC 3339 in UTC, so that a row can be read without this program.

use serde::{Deserialize, Deserializer, Serializer};
use tallyman_common::time::WallMs;

use crate::rating::instant::{instant_text, parse_instant};

/// As text.
pub fn serialize<S: Serializer>(at: &WallMs, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&instant_text(*at))
}

/// From text.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WallMs, D::Error> {
    let text = String::deserialize(from)?;
    parse_instant(&text).map_err(serde::de::Error::custom)
}
