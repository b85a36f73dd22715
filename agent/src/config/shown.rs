//! The effective configuration in words, with units. Reads nothing.

use std::fmt;

use tallyman_agent_core::mapping::{Rule, When};

use super::{Config, DEFAULT_PATH};

/// The effective configuration, with units.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => writeln!(f, "configuration     {}", path.display())?,
            None => writeln!(f, "configuration     defaults ({DEFAULT_PATH} does not exist)")?,
        }
        match &self.server {
            Some(server) => writeln!(f, "server            {server} (UDP)")?,
            None => writeln!(f, "server            the one of the enrolment")?,
        }
        writeln!(f, "state_dir         {}", self.state.display())?;
        writeln!(f, "interval_seconds  {} s", self.interval_s)?;
        writeln!(f, "spool_limit_mib   {} MiB", self.spool_limit_mib)?;
        writeln!(f, "keep_acked_days   {} days", self.keep_acked_days)?;
        writeln!(f, "backlog           {} KiB a second", self.backlog_kib_per_s)?;
        writeln!(f, "log               {:?}", self.log)?;
        writeln!(
            f,
            "host              {}",
            if self.host { "metered" } else { "not metered" }
        )?;
        match &self.docker {
            Some(socket) => writeln!(
                f,
                "docker            containers metered; labels from {}",
                socket.display()
            )?,
            None => writeln!(f, "docker            containers not metered")?,
        }
        for pattern in &self.patterns {
            writeln!(f, "cgroup            {pattern}")?;
        }
        match self.mapping.label.as_str() {
            "" => writeln!(f, "owner             no label is asked")?,
            label => writeln!(f, "owner             value of the container's label {label}")?,
        }
        for rule in &self.mapping.rules {
            writeln!(f, "                  else {}", shown_rule(rule))?;
        }
        writeln!(f, "                  else unattributed")
    }
}

/// A rule in words.
pub fn shown_rule(rule: &Rule) -> String {
    let owner = &rule.owner;
    match &rule.when {
        When::Label { key, value } => format!("label {key} = {value} -> {owner}"),
        When::Name(name) => format!("name {name} -> {owner}"),
        When::Cgroup(path) => format!("cgroup {path} -> {owner}"),
    }
}
