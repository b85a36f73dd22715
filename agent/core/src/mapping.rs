//! Who owns a workload: a label first, then ordered rules, else nobody. Pure functions of a description and a path.
//!
//! A label that comes from the image is not believed: whoever builds an image would choose who pays. Must not know
//! holding, parents or usage; those are decided in `windows`.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tallyman_common::ids::Owner;

/// The rules of a node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Mapping {
    /// Label whose value is the owner; default `tallyman.tenant`. Empty: no label is asked.
    pub label: String,
    /// Asked in order when the label says nothing.
    pub rules: Vec<Rule>,
}

/// One rule: what it looks at, and whom it names.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Rule {
    /// What must hold.
    pub when: When,
    /// The owner; `$1` to `$9` stand for what the pattern's `*`s took (or, for a label rule, `$1` for its value).
    pub owner: String,
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum When {
    /// The container has this label (not from its image) with a value that the pattern takes.
    Label {
        /// The label's key.
        key: String,
        /// Pattern of its value; `*` takes any.
        value: String,
    },
    /// The container's name, or the cgroup's last component, matches.
    Name(String),
    /// The cgroup's path matches.
    Cgroup(String),
}

/// What is known of a workload when its owner is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// cgroup path.
    pub path: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Labels of the container and of its image, once it was described.
    pub labels: Option<(&'a BTreeMap<String, String>, &'a BTreeMap<String, String>)>,
}

/// Why a mapping was refused, with the rule's number from 1 on (0: the label).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mapping rule {rule}: {reason}")]
pub struct MappingError {
    /// Which rule.
    pub rule: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            label: "tallyman.tenant".to_owned(),
            rules: Vec::new(),
        }
    }
}

impl Mapping {
    /// Checks patterns and placeholders.
    ///
    /// # Errors
    /// Names the rule and what is wrong with it.
    pub fn check(&self) -> Result<(), MappingError> {
        Ok(())
    }

    /// The owner, and what is to be told about the way there.
    pub fn owner_of(&self, subject: &Subject<'_>) -> (Owner, Option<String>) {
        let _ = subject;
        (Owner::Unattributed, None)
    }
}
