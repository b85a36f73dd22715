//! Values by owner, found by hash. An ordered map compares names at every step down, each in a place of its own in
//! memory: with 100,000 owners that was a fifth of a batch's time.
//!
//! Nothing may depend on a hash map's order, so it has none here: values are asked for by owner, and `all` sorts.

#![allow(
    clippy::disallowed_types,
    reason = "its random order never leaves this file, and names come from outside, so that its keys must be random"
)]

use std::collections::HashMap;

use tallyman_common::ids::Owner;

/// Values by owner.
#[derive(Debug, Clone)]
pub struct ByOwner<T>(HashMap<Owner, T>);

impl<T> Default for ByOwner<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> ByOwner<T> {
    /// The value of an owner.
    pub fn get_mut(&mut self, owner: &Owner) -> Option<&mut T> {
        self.0.get_mut(owner)
    }

    /// Puts the value of an owner that has none.
    pub fn put(&mut self, owner: Owner, value: T) -> &mut T {
        self.0.entry(owner).or_insert(value)
    }

    /// How many owners have a value.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Forgets the values that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|_, value| keep(value));
    }

    /// All values, by owner.
    pub fn all(&self) -> Vec<(&Owner, &T)> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(owner, _)| *owner);
        all
    }
}
