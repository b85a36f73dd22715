//! Says once, after the first window with containers, that none of them has an owner, and what to write where.
//!
//! Must not change what is attributed: the core decides that.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tallyman_agent_core::mapping::Subject;
use tallyman_agent_core::sources::identity::ContainerId;
use tallyman_agent_core::{Description, Mapping};
use tallyman_common::ids::Owner;

use crate::limits::{DESCRIBED_NS, DESCRIPTIONS_MAX};
use crate::table::Table;

/// The advice, until it was given or is not needed.
#[derive(Debug)]
pub struct Advice(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    mapping: Mapping,
    config: PathBuf,
    descriptions: BTreeMap<ContainerId, Description>,
}

impl Advice {
    /// `config` is the file that a rule belongs in.
    pub fn new(mapping: Mapping, config: PathBuf) -> Self {
        Self(Some(Waiting {
            mapping,
            config,
            descriptions: BTreeMap::new(),
        }))
    }

    /// A container was described.
    pub fn described(&mut self, description: &Description) {
        if let Some(waiting) = self
            .0
            .as_mut()
            .filter(|w| w.descriptions.len() < DESCRIPTIONS_MAX)
        {
            waiting
                .descriptions
                .insert(description.container, description.clone());
        }
    }

    /// A window was closed: with containers in it that had the time to be described, this is the moment.
    pub fn window_closed(&mut self, table: &Table, now_ns: u64) {
        let Some(waiting) = &self.0 else { return };
        let mut containers = table.iter().filter(|entry| entry.container.is_some()).peekable();
        if containers.peek().is_none() || containers.any(|entry| now_ns < entry.since_ns + DESCRIBED_NS) {
            return;
        }
        if let Some(text) = waiting.text(table) {
            tracing::warn!(code = "all-unattributed", "{text}");
        }
        self.0 = None;
    }
}

impl Waiting {
    fn text(&self, table: &Table) -> Option<String> {
        let mut count = 0;
        let mut example = None;
        for entry in table.iter() {
            let Some(id) = entry.container else { continue };
            let described = self.descriptions.get(&id);
            let subject = Subject {
                path: &entry.path,
                name: described.map_or("", |d| d.name.as_str()),
                labels: described.map(|d| (&d.labels, &d.image_labels)),
            };
            if self.mapping.owner_of(&subject).0 != Owner::Unattributed || is_inside(table, &entry.path) {
                return None;
            }
            count += 1;
            example = example.or_else(|| described.map(|d| d.name.clone()));
        }
        let label = &self.mapping.label;
        let name = example.unwrap_or_else(|| "NAME".to_owned());
        Some(format!(
            "all {count} containers of this host are unattributed. Give them an owner: start them with \
             `docker run --label {label}=TENANT …`, or add to {} and restart the agent:  [[rule]]  name = \"{name}\"  \
             owner = \"TENANT\"   (or by path: cgroup = \"/docker/**\")",
            self.config.display()
        ))
    }
}

/// What lies in a metered cgroup is that one's owner's.
fn is_inside(table: &Table, path: &str) -> bool {
    let mut above = path;
    while let Some((parent, _)) = above.rsplit_once('/') {
        if !parent.is_empty() && table.at(parent).is_some() {
            return true;
        }
        above = parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::files::Files;
    use crate::table::{Entry, Network};
    use tallyman_agent_core::Slot;

    fn entry(slot: u32, path: &str, container: Option<ContainerId>) -> Entry {
        Entry {
            slot: Slot(slot),
            path: path.to_owned(),
            life: 1,
            container,
            files: Files::of_cgroup(path),
            network: Network::None,
            events: None,
            is_read_out: false,
            since_ns: 0,
        }
    }

    fn description(container: ContainerId, label: &str) -> Description {
        Description {
            container,
            name: "web".to_owned(),
            labels: [(label.to_owned(), "acme".to_owned())].into(),
            image_labels: BTreeMap::new(),
        }
    }

    #[test]
    fn advice_names_the_label_and_the_rule_and_only_when_nobody_has_an_owner() {
        let id = ContainerId::parse("a".repeat(64).as_bytes()).unwrap();
        let waiting = |label: Option<&str>| Waiting {
            mapping: Mapping::default(),
            config: PathBuf::from("/etc/tallyman/agent.toml"),
            descriptions: label
                .map(|label| (id, description(id, label)))
                .into_iter()
                .collect(),
        };
        let mut table = Table::default();
        table.put(entry(0, "/docker/x", Some(id)));
        let text = waiting(Some("other")).text(&table).unwrap();
        for part in [
            "tallyman.tenant=TENANT",
            "/etc/tallyman/agent.toml",
            "name = \"web\"",
            "all 1 containers",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(waiting(None).text(&table).is_some());
        assert_eq!(waiting(Some("tallyman.tenant")).text(&table), None);
        table.put(entry(1, "/docker", None));
        assert_eq!(waiting(None).text(&table), None);
    }
}
