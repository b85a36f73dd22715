//! The operator's configuration: a TOML file, checked whole before anything starts. Unknown keys are refused; every
//! fault names the file, the line and the key.
//!
//! Must not touch the world beyond reading that file.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tallyman_agent_core::Mapping;
use tallyman_agent_core::limits::SPOOL_BYTES_MIN;
use tallyman_agent_core::mapping::{Rule, When};
use tallyman_agent_core::sources::pattern::Pattern;
use toml::Spanned;

use crate::io::discover::{SOURCE_HOST, Selection};
use crate::io::quic::ServerAddress;

/// The configuration as people see it.
mod shown;

pub use shown::shown_rule;

/// Where the configuration is unless told otherwise; it may be missing there.
pub const DEFAULT_PATH: &str = "/etc/tallyman/agent.toml";
const DEFAULT_STATE: &str = "/var/lib/tallyman-agent";
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const DEFAULT_INTERVAL_S: u64 = 2;
const DEFAULT_SPOOL_MIB: u64 = 1_024;
const DEFAULT_KEEP_DAYS: u64 = 35;
const MIB: u64 = 1 << 20;
const DEFAULT_BACKLOG_KIB: u64 = 1_024;
const BACKLOG_KIB_MAX: u64 = 1 << 20;
const DAY_MS: u64 = 24 * 3_600_000;
const SPOOL_MIB_MAX: u64 = 1 << 20;
const KEEP_DAYS_MAX: u64 = 3_650;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It is no TOML, or has a key that is not known or a value of another kind.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and what.
        reason: toml::de::Error,
    },
    /// A value is out of bounds.
    #[error("{path}, line {line}: {key}: {reason}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// Which key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what is not measured or not shipped.
    Error,
    /// What someone should look at, too.
    Warn,
    /// A line per window, too.
    #[default]
    Info,
    /// For people who look for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it came from; `None` for the defaults alone.
    pub path: Option<PathBuf>,
    /// The aggregator; else the one of the enrolment.
    pub server: Option<ServerAddress>,
    /// Keys, spool and status.
    pub state: PathBuf,
    /// Sampling interval, seconds.
    pub interval_s: u64,
    /// The spool's limit, MiB.
    pub spool_limit_mib: u64,
    /// How long acknowledged batches are kept, days.
    pub keep_acked_days: u64,
    /// KiB a second of batches behind the newest.
    pub backlog_kib_per_s: u64,
    /// Whether the machine as a whole is metered.
    pub host: bool,
    /// How much is logged.
    pub log: LogLevel,
    /// Docker's socket; `None` when containers are not metered.
    pub docker: Option<PathBuf>,
    /// cgroups to be metered.
    pub patterns: Vec<Pattern>,
    /// Who owns what.
    pub mapping: Mapping,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    server: Option<Spanned<String>>,
    state_dir: Option<PathBuf>,
    interval_seconds: Option<Spanned<u64>>,
    spool_limit_mib: Option<Spanned<u64>>,
    keep_acked_days: Option<Spanned<u64>>,
    backlog_kib_per_second: Option<Spanned<u64>>,
    host: Option<bool>,
    log: LogLevel,
    owner_label: Option<String>,
    docker: RawDocker,
    cgroup: Vec<RawCgroup>,
    rule: Vec<Spanned<RawRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDocker {
    enabled: bool,
    socket: PathBuf,
}

impl Default for RawDocker {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: PathBuf::from(DEFAULT_SOCKET),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCgroup {
    path: Spanned<String>,
    owner: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    label: Option<String>,
    value: Option<String>,
    name: Option<String>,
    cgroup: Option<String>,
    owner: String,
}

impl Config {
    /// Reads and checks the configuration. The file at [`DEFAULT_PATH`] may be missing: every key has a default.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(Some(path), &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
                Self::parse(None, "")
            }
            Err(reason) => Err(ConfigError::Unreadable {
                path: path.to_owned(),
                reason,
            }),
        }
    }

    /// Checks a configuration's text.
    pub fn parse(path: Option<&Path>, text: &str) -> Result<Self, ConfigError> {
        let named = path.unwrap_or(Path::new(DEFAULT_PATH));
        let raw: Raw = toml::from_str(text).map_err(|reason| ConfigError::Malformed {
            path: named.to_owned(),
            reason,
        })?;
        let check = Check { path: named, text };
        let patterns = raw.cgroup.iter().map(|cgroup| check.pattern(&cgroup.path));
        let patterns = patterns.collect::<Result<_, _>>()?;
        let server = raw.server.as_ref().map(|server| {
            let parsed = server.get_ref().parse();
            parsed.map_err(|reason| check.fault(server, "server", reason))
        });
        let spool_min = SPOOL_BYTES_MIN / MIB;
        Ok(Self {
            path: path.map(Path::to_owned),
            server: server.transpose()?,
            state: raw
                .state_dir
                .clone()
                .unwrap_or_else(|| PathBuf::from(DEFAULT_STATE)),
            interval_s: check.bounds(
                &raw.interval_seconds,
                "interval_seconds",
                1..=60,
                DEFAULT_INTERVAL_S,
            )?,
            spool_limit_mib: check.bounds(
                &raw.spool_limit_mib,
                "spool_limit_mib",
                spool_min..=SPOOL_MIB_MAX,
                DEFAULT_SPOOL_MIB,
            )?,
            keep_acked_days: check.bounds(
                &raw.keep_acked_days,
                "keep_acked_days",
                0..=KEEP_DAYS_MAX,
                DEFAULT_KEEP_DAYS,
            )?,
            backlog_kib_per_s: check.bounds(
                &raw.backlog_kib_per_second,
                "backlog_kib_per_second",
                16..=BACKLOG_KIB_MAX,
                DEFAULT_BACKLOG_KIB,
            )?,
            host: raw.host.unwrap_or(true),
            log: raw.log,
            docker: raw.docker.enabled.then(|| raw.docker.socket.clone()),
            patterns,
            mapping: check.mapping(&raw)?,
        })
    }

    /// What is looked for in the cgroup trees.
    pub fn selection(&self) -> Selection {
        Selection {
            containers: self.docker.is_some(),
            patterns: self.patterns.clone(),
        }
    }

    /// Names of all configured sources.
    pub fn sources(&self) -> Vec<String> {
        let host = self.host.then(|| SOURCE_HOST.to_owned());
        host.into_iter().chain(self.selection().sources()).collect()
    }

    /// The spool's limit in bytes.
    pub fn spool_bytes_max(&self) -> u64 {
        self.spool_limit_mib * MIB
    }

    /// How long acknowledged batches are kept, milliseconds.
    pub fn retention_ms(&self) -> u64 {
        self.keep_acked_days * DAY_MS
    }

    /// Bytes a second of a backlog.
    pub fn backlog_bytes_per_s(&self) -> u64 {
        self.backlog_kib_per_s << 10
    }

    /// The spool's folder.
    pub fn spool(&self) -> PathBuf {
        self.state.join("spool")
    }
}

/// The file that values are checked for.
struct Check<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Check<'_> {
    fn fault<T>(&self, at: &Spanned<T>, key: &'static str, reason: String) -> ConfigError {
        let before = self.text.as_bytes().iter().take(at.span().start);
        ConfigError::Value {
            path: self.path.to_owned(),
            line: before.filter(|byte| **byte == b'\n').count() + 1,
            key,
            reason,
        }
    }

    fn bounds(
        &self,
        value: &Option<Spanned<u64>>,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        let Some(given) = value else { return Ok(default) };
        let number = *given.get_ref();
        if bounds.contains(&number) {
            return Ok(number);
        }
        let reason = format!("{number} is not within {} to {}", bounds.start(), bounds.end());
        Err(self.fault(given, key, reason))
    }

    fn pattern(&self, path: &Spanned<String>) -> Result<Pattern, ConfigError> {
        let parsed = Pattern::parse(path.get_ref());
        let pattern = parsed.map_err(|e| self.fault(path, "cgroup.path", e.to_string()))?;
        if pattern.matches(b"/") {
            let reason = "it takes the root of the tree, which is the whole machine: use `host = true`";
            return Err(self.fault(path, "cgroup.path", reason.to_owned()));
        }
        Ok(pattern)
    }

    /// Owners given beside a cgroup's pattern come before the rules.
    fn mapping(&self, raw: &Raw) -> Result<Mapping, ConfigError> {
        let mut mapping = Mapping::default();
        if let Some(label) = &raw.owner_label {
            mapping.label.clone_from(label);
        }
        for cgroup in &raw.cgroup {
            let Some(owner) = &cgroup.owner else { continue };
            let rule = Rule {
                when: When::Cgroup(cgroup.path.get_ref().clone()),
                owner: owner.get_ref().clone(),
            };
            self.add(&mut mapping, rule)
                .map_err(|reason| self.fault(owner, "cgroup.owner", reason))?;
        }
        for raw in &raw.rule {
            let rule = rule(raw.get_ref()).map_err(|reason| self.fault(raw, "rule", reason))?;
            self.add(&mut mapping, rule)
                .map_err(|reason| self.fault(raw, "rule", reason))?;
        }
        Ok(mapping)
    }

    fn add(&self, mapping: &mut Mapping, rule: Rule) -> Result<(), String> {
        mapping.rules.push(rule);
        mapping.check().map_err(|e| e.reason)
    }
}

fn rule(raw: &RawRule) -> Result<Rule, String> {
    let when = match (&raw.label, &raw.name, &raw.cgroup) {
        (Some(key), None, None) => When::Label {
            key: key.clone(),
            value: raw.value.clone().unwrap_or_else(|| "*".to_owned()),
        },
        (None, Some(name), None) => When::Name(name.clone()),
        (None, None, Some(cgroup)) => When::Cgroup(cgroup.clone()),
        _ => return Err("a rule has exactly one of `label`, `name` and `cgroup`".to_owned()),
    };
    if raw.value.is_some() && raw.label.is_none() {
        return Err("`value` belongs to `label`".to_owned());
    }
    Ok(Rule {
        when,
        owner: raw.owner.clone(),
    })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
