//! Why a batch was not taken: one table from reason to number on the wire, verdict and words. Numbers never change.

use serde::Serialize;
use tallyman_common::message::Verdict;

/// A reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not decodable.
    Malformed,
    /// A wire version that this release does not read.
    Version,
    /// Larger than a batch may be.
    TooLarge,
    /// No such node.
    UnknownNode,
    /// Retired or revoked.
    EndedNode,
    /// Not signed by the node that it names.
    Signature,
    /// Names another node than the connection's certificate.
    OtherNode,
    /// Another host of this node was kept.
    Clone,
    /// Ends too far in the future.
    Future,
    /// More CPU time than the machine has.
    Implausible,
    /// Another batch with the same number is here: a clone, a restored disk, or tampering.
    Conflict,
    /// Its time is covered by another spool of the same boot.
    TimeCoveredTwice,
    /// Genuine, but its content can't be understood.
    Unreadable,
    /// Too many holes below it.
    TooManyGaps,
    /// The aggregator can't take batches now.
    Unavailable,
    /// The aggregator's disk is nearly full.
    NoRoom,
}

const TABLE: &[(Reason, u16, Verdict, &str)] = &[
    (Reason::Malformed, 1, Verdict::Hold, "the bytes are not a batch"),
    (
        Reason::Version,
        2,
        Verdict::Hold,
        "the wire version is not read by this aggregator: upgrade it",
    ),
    (
        Reason::TooLarge,
        3,
        Verdict::Hold,
        "the batch is larger than allowed",
    ),
    (
        Reason::UnknownNode,
        4,
        Verdict::Hold,
        "the node is not enrolled here",
    ),
    (
        Reason::EndedNode,
        5,
        Verdict::Hold,
        "the node was retired or revoked",
    ),
    (
        Reason::Signature,
        6,
        Verdict::Hold,
        "the signature is not the node's",
    ),
    (
        Reason::OtherNode,
        7,
        Verdict::Hold,
        "the batch names another node than the certificate",
    ),
    (
        Reason::Clone,
        8,
        Verdict::Hold,
        "an operator decided that another host is this node: this one is a clone; stop the agent, move its state \
         folder away and enrol it as a node of its own",
    ),
    (
        Reason::Future,
        20,
        Verdict::Hold,
        "the window ends in the future: check the node's clock",
    ),
    (
        Reason::Implausible,
        21,
        Verdict::Hold,
        "more CPU time than the machine's processors can give",
    ),
    (
        Reason::Conflict,
        22,
        Verdict::Hold,
        "another batch with this number was taken: cloned or restored node?",
    ),
    (
        Reason::TimeCoveredTwice,
        23,
        Verdict::Hold,
        "this boot's time is covered by another spool: cloned node?",
    ),
    (
        Reason::Unreadable,
        24,
        Verdict::Hold,
        "the signed content can't be understood",
    ),
    (
        Reason::TooManyGaps,
        30,
        Verdict::Retry,
        "too many batches are missing below this one",
    ),
    (
        Reason::Unavailable,
        31,
        Verdict::Retry,
        "the aggregator can't take batches now",
    ),
    (
        Reason::NoRoom,
        32,
        Verdict::Retry,
        "the aggregator's disk is nearly full",
    ),
];

impl Reason {
    fn row(self) -> &'static (Reason, u16, Verdict, &'static str) {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .expect("every reason has its row")
    }

    /// Number on the wire and in the store.
    pub fn number(self) -> u16 {
        self.row().1
    }

    /// The reason of a number.
    pub fn from_number(number: u16) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    /// What the agent does.
    pub fn verdict(self) -> Verdict {
        self.row().2
    }

    /// Words.
    pub fn text(self) -> &'static str {
        self.row().3
    }

    /// All reasons.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// Label of its counter.
    pub fn label(self) -> String {
        let debug = format!("{self:?}");
        let mut label = String::with_capacity(debug.len() + 4);
        for (at, c) in debug.char_indices() {
            if c.is_ascii_uppercase() && at > 0 {
                label.push('_');
            }
            label.push(c.to_ascii_lowercase());
        }
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_come_back() {
        for reason in Reason::all() {
            assert_eq!(Reason::from_number(reason.number()), Some(reason));
        }
        assert_eq!(Reason::TimeCoveredTwice.label(), "time_covered_twice");
    }
}
