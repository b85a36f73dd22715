//! Who owns a workload: a label first, then ordered rules, else nobody. Pure functions of a description and a path.
//!
//! A label that comes from the image is not believed: whoever builds an image would choose who pays. Must not know
//! holding, parents or usage; those are decided in `windows`.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tallyman_common::ids::Owner;

use crate::sources::pattern::Pattern;

/// Patterns that say what their stars took.
mod capture;
#[cfg(test)]
mod tests;

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
    /// The owner; `$1` to `$9` stand for what the pattern's `*`s took.
    pub owner: String,
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum When {
    /// The container has this label (not from its image) with a value that the pattern takes.
    Label {
        /// The label's key.
        key: String,
        /// Pattern of its value; `*` takes any value without a slash.
        value: String,
    },
    /// The container's name, or the cgroup's last component, matches.
    Name(String),
    /// The cgroup's path matches.
    Cgroup(String),
}

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// What is known of a workload when its owner is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// cgroup path.
    pub path: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Labels of the container and of its image, once it was described.
    pub labels: Option<(&'a Labels, &'a Labels)>,
}

/// Why a mapping was refused, with the rule's number from 1 on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mapping rule {rule}: {reason}")]
pub struct MappingError {
    /// Which rule.
    pub rule: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// The most `**` in one pattern.
const ANY_DEPTHS_MAX: usize = 2;

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
        for (index, rule) in self.rules.iter().enumerate() {
            let fault = |reason| MappingError {
                rule: index + 1,
                reason,
            };
            rule.check().map_err(fault)?;
        }
        Ok(())
    }

    /// The owner, and a warning about the way there if there is one.
    pub fn owner_of(&self, subject: &Subject<'_>) -> (Owner, Option<String>) {
        let mut warning = None;
        if let Some(claim) = self.labelled(subject, &mut warning) {
            return (claim, warning);
        }
        for rule in &self.rules {
            let Some(name) = rule.name_for(subject) else {
                continue;
            };
            match Owner::claim(&name) {
                Ok(owner) => return (owner, warning),
                Err(e) => warning = Some(format!("a mapping rule gives `{name}`: {e}")),
            }
        }
        (Owner::Unattributed, warning)
    }

    fn labelled(&self, subject: &Subject<'_>, warning: &mut Option<String>) -> Option<Owner> {
        if self.label.is_empty() {
            return None;
        }
        let (own, image) = subject.labels?;
        let value = own.get(&self.label)?;
        if image.get(&self.label) == Some(value) {
            *warning = Some(format!(
                "label {} of `{}` comes from its image and is not believed; set it on the container",
                self.label, subject.name
            ));
            return None;
        }
        Owner::claim(value)
            .map_err(|e| *warning = Some(format!("label {} of `{}`: {e}", self.label, subject.name)))
            .ok()
    }
}

impl Rule {
    fn pattern(&self) -> &str {
        match &self.when {
            When::Label { value, .. } => value,
            When::Name(pattern) | When::Cgroup(pattern) => pattern,
        }
    }

    fn check(&self) -> Result<(), String> {
        let pattern = self.pattern();
        Pattern::parse(pattern).map_err(|e| e.to_string())?;
        if capture::any_depths(pattern) > ANY_DEPTHS_MAX {
            return Err(format!("`{pattern}` has more than {ANY_DEPTHS_MAX} `**`"));
        }
        let stars = capture::stars(pattern);
        match placeholders(&self.owner).find(|n| *n == 0 || *n > stars) {
            Some(n) => Err(format!(
                "`{}` uses ${n}, but `{pattern}` has {stars} `*`",
                self.owner
            )),
            None if self.owner.is_empty() => Err("it names no owner".to_owned()),
            None => Ok(()),
        }
    }

    /// The name that the rule gives; `None` when it does not apply.
    fn name_for(&self, subject: &Subject<'_>) -> Option<String> {
        let taken = match &self.when {
            When::Label { key, value } => {
                let (own, image) = subject.labels?;
                let found = own.get(key).filter(|found| image.get(key) != Some(*found))?;
                capture::captures(value, found)?
            }
            When::Name(pattern) => capture::captures(pattern, subject.name)?,
            When::Cgroup(pattern) => capture::captures(pattern, subject.path)?,
        };
        Some(fill(&self.owner, &taken))
    }
}

fn placeholders(owner: &str) -> impl Iterator<Item = usize> {
    owner
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0] == b'$' && pair[1].is_ascii_digit())
        .map(|pair| usize::from(pair[1] - b'0'))
}

fn fill(owner: &str, taken: &[&str]) -> String {
    let mut out = String::with_capacity(owner.len());
    let mut rest = owner;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let digit = rest.as_bytes().get(at + 1).filter(|d| d.is_ascii_digit());
        match digit.and_then(|d| taken.get(usize::from(d - b'0').checked_sub(1)?)) {
            Some(piece) => {
                out.push_str(piece);
                rest = &rest[at + 2..];
            }
            None => {
                out.push('$');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}
