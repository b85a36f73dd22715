//! What a window knows about how well one meter was measured: seen at all, and what went wrong.

use bincode::{Decode, Encode};
use tallyman_common::record::{Cause, State};

use super::meters::COUNT;

/// Marks by the meters' places.
pub type Marks = [Mark; COUNT];

/// One meter of one workload, or of all workloads of an owner, in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Mark {
    seen: bool,
    /// Number of the first cause, 0 for none.
    cause: u8,
}

impl Mark {
    /// A value was read.
    pub fn seen(&mut self) {
        self.seen = true;
    }

    /// Something went wrong; true when it is the first time in this window.
    pub fn fault(&mut self, cause: Cause) -> bool {
        let first = self.cause == 0;
        if first {
            self.cause = cause.number();
        }
        first
    }

    /// True when nothing was read and nothing went wrong: the meter says nothing.
    pub fn is_silent(self) -> bool {
        self == Self::default()
    }

    /// Takes another workload's mark in.
    pub fn merge(&mut self, other: Self) {
        self.seen |= other.seen;
        if self.cause == 0 {
            self.cause = other.cause;
        }
    }

    /// The state that a row shows. `usage` that is there was seen, whatever went wrong beside it.
    pub fn state(self, usage: u128) -> State {
        let seen = self.seen || usage > 0;
        match (seen, Cause::from_number(self.cause)) {
            (_, None) => State::Measured,
            (true, Some(cause)) => State::Partial(cause),
            (false, Some(cause)) => State::Unmeasured(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_an_owner_with_two_workloads() {
        let mut seen = Mark::default();
        seen.seen();
        let mut absent = Mark::default();
        assert!(absent.fault(Cause::NotAvailable));
        assert!(!absent.fault(Cause::Unreadable), "the first cause stays");
        assert_eq!(seen.state(0), State::Measured);
        assert_eq!(absent.state(0), State::Unmeasured(Cause::NotAvailable));
        assert_eq!(absent.state(1), State::Partial(Cause::NotAvailable));
        seen.merge(absent);
        assert_eq!(seen.state(0), State::Partial(Cause::NotAvailable));
        assert!(Mark::default().is_silent());
    }
}
