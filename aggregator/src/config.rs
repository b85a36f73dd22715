//! The settings' file: raw text in, checked settings out. A fault names file, line and key; unknown keys are refused.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tallyman_aggregator_core::limits::SEAL_GRACE_MS;
use tallyman_common::time::HOUR_MS;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::io::keys::NODE_LIFE_MS;
use crate::limits;

/// Where the settings are when nothing else is said.
pub const DEFAULT_PATH: &str = "/etc/tallyman/aggregator.toml";
/// Where the data are when nothing else is said.
pub const DEFAULT_DATA: &str = "/var/lib/tallyman-aggregator";
/// Where agents reach us when nothing else is said.
pub const DEFAULT_QUIC: &str = "0.0.0.0:7700";
/// Where HTTP clients reach us when nothing else is said.
pub const DEFAULT_HTTP: &str = "127.0.0.1:7780";
/// Shorter than an hour, batches on their way would be late; longer than a year, nobody waits for a bill.
const SEAL_GRACE_HOURS: RangeInclusive<u64> = 1..=8_760;
const DEFAULT_LOG: &str = "info";

/// Checked settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder of store, keys and admin socket.
    pub data: PathBuf,
    /// What is logged, as `tracing` filters it.
    pub log: String,
    /// UDP address for agents.
    pub quic_listen: SocketAddr,
    /// Host names and addresses by which agents reach us; they stand in our certificate.
    pub advertise: Vec<String>,
    /// Life of a node's certificate, milliseconds; it is renewed after two thirds.
    pub certificate_life_ms: u64,
    /// TCP address of the API: plain on loopback, else TLS of the own authority.
    pub http_listen: SocketAddr,
    /// How long after its end an hour is sealed, hours; a month is final with its last hour.
    pub seal_grace_hours: u64,
    /// Whether months that became final are billed by themselves.
    pub automatic_invoices: bool,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: {reason}{hint}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// Not TOML, or a key that does not exist.
    #[error("{path}: {reason}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, column and what is wrong.
        reason: String,
    },
    /// A value that can't be used.
    #[error("{path}, line {line}, key `{key}`: {reason}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Which key.
        key: &'static str,
        /// What is wrong, and what to write.
        reason: String,
    },
}

type Text = toml::Spanned<String>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data: Option<Text>,
    log: Option<Text>,
    seal_grace_hours: Option<toml::Spanned<u64>>,
    automatic_invoices: Option<bool>,
    #[serde(default)]
    quic: RawQuic,
    #[serde(default)]
    http: RawHttp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuic {
    listen: Option<Text>,
    advertise: Option<toml::Spanned<Vec<String>>>,
    certificate_life_seconds: Option<toml::Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    listen: Option<Text>,
}

impl Config {
    /// Reads and checks a file; `data` overrides the file's folder.
    pub fn load(path: &Path, data: Option<&Path>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|reason| {
            let hint = match reason.kind() {
                std::io::ErrorKind::NotFound => {
                    " (`tallyman-aggregator init` writes it; `--config` names another)"
                }
                std::io::ErrorKind::PermissionDenied => " (run this as root or as the service's user)",
                _ => "",
            };
            ConfigError::File {
                path: path.to_owned(),
                reason,
                hint,
            }
        })?;
        Self::parse(path, &text, data)
    }

    /// Checks the text of a file.
    pub fn parse(path: &Path, text: &str, data: Option<&Path>) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|e| ConfigError::Syntax {
            path: path.to_owned(),
            reason: e.to_string().trim_end().to_owned(),
        })?;
        let checker = Checker { path, text };
        let named = raw
            .data
            .map_or_else(|| DEFAULT_DATA.into(), |t| PathBuf::from(t.into_inner()));
        Ok(Self {
            data: data.map_or(named, Path::to_owned),
            log: checker.log(raw.log)?,
            quic_listen: checker.address("quic.listen", raw.quic.listen, DEFAULT_QUIC)?,
            advertise: checker.advertise(raw.quic.advertise)?,
            certificate_life_ms: checker.certificate_life(raw.quic.certificate_life_seconds)?,
            http_listen: checker.address("http.listen", raw.http.listen, DEFAULT_HTTP)?,
            seal_grace_hours: checker.grace(raw.seal_grace_hours)?,
            automatic_invoices: raw.automatic_invoices.is_none_or(|it| it),
        })
    }

    /// The text of a file with these settings.
    pub fn to_toml(&self) -> String {
        let names: Vec<String> = self.advertise.iter().map(|n| quoted(n)).collect();
        format!(
            "# Folder of store, keys and admin socket.\n\
             data = {}\n\
             # error, warn, info, debug or trace; also by module.\n\
             log = {}\n\
             # Hours after its end until an hour is sealed; a month is final with its last one. What comes later is an\n\
             # adjustment. Agents that are away for longer lose nothing.\n\
             seal_grace_hours = {}\n\
             # Whether accounts get their invoices by themselves once their month is final; else by `bill run`.\n\
             automatic_invoices = {}\n\n\
             [quic]\n\
             # UDP address that agents reach.\n\
             listen = {}\n\
             # Names and addresses by which agents reach this machine; they stand in its certificate.\n\
             advertise = [{}]\n\
             # Life of a host's certificate; it is renewed after two thirds.\n\
             certificate_life_seconds = {}\n\n\
             [http]\n\
             # TCP address of the API: plain on loopback, else TLS of the own authority.\n\
             listen = {}\n",
            quoted(&self.data.display().to_string()),
            quoted(&self.log),
            self.seal_grace_hours,
            self.automatic_invoices,
            quoted(&self.quic_listen.to_string()),
            names.join(", "),
            self.certificate_life_ms / 1_000,
            quoted(&self.http_listen.to_string()),
        )
    }

    /// The settings in force with the fixed limits and their units, for people.
    pub fn explain(&self) -> String {
        let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
        let limits = [
            (
                "group commit",
                format!(
                    "{} batches or {}",
                    limits::GROUP_BATCHES_MAX,
                    mib(limits::GROUP_BYTES_MAX)
                ),
            ),
            (
                "wait of a small group",
                format!("{} ms", limits::GROUP_WAIT.as_millis()),
            ),
            ("connections of agents", limits::CONNECTIONS_MAX.to_string()),
            (
                "batches under way per connection",
                limits::STREAMS_MAX.to_string(),
            ),
            ("frames being received", mib(limits::RECEIVING_BYTES_MAX)),
            ("batches that wait, unpacked", mib(limits::WAITING_BYTES_MAX)),
            (
                "time for one batch to arrive",
                format!("{} s", limits::STREAM_MAX.as_secs()),
            ),
        ];
        let lines: String = limits
            .iter()
            .map(|(what, value)| format!("#   {what}: {value}\n"))
            .collect();
        format!("{}\n# Fixed limits:\n{lines}", self.to_toml())
    }

    /// Folder of the database.
    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// Folder of the authority.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }

    /// The admin socket.
    pub fn socket(&self) -> PathBuf {
        self.data.join("admin.sock")
    }

    /// Where agents reach us: the first advertised name with the port.
    pub fn server(&self) -> String {
        let name = self.advertise.first().map_or("localhost", String::as_str);
        let port = self.quic_listen.port();
        match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            _ => format!("{name}:{port}"),
        }
    }
}

struct Checker<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Checker<'_> {
    fn fault(&self, key: &'static str, at: usize, reason: String) -> ConfigError {
        let line = self.text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        ConfigError::Value {
            path: self.path.to_owned(),
            line,
            key,
            reason,
        }
    }

    fn address(
        &self,
        key: &'static str,
        value: Option<Text>,
        default: &str,
    ) -> Result<SocketAddr, ConfigError> {
        let (at, text) = value.map_or_else(|| (0, default.to_owned()), |t| (t.span().start, t.into_inner()));
        text.parse().map_err(|_| {
            let reason = format!("`{text}` is no address with a port, such as `0.0.0.0:7700` or `[::]:7700`");
            self.fault(key, at, reason)
        })
    }

    fn log(&self, value: Option<Text>) -> Result<String, ConfigError> {
        let Some(value) = value else {
            return Ok(DEFAULT_LOG.to_owned());
        };
        let (at, text) = (value.span().start, value.into_inner());
        // A lone word that is no level would be taken for the name of a module, and silence everything else.
        let level = |word: &str| word.contains('=') || word.parse::<LevelFilter>().is_ok();
        if text.split(',').all(level) && EnvFilter::builder().parse(&text).is_ok() {
            return Ok(text);
        }
        let reason =
            format!("`{text}` is no filter; write error, warn, info, debug or trace, or `info,quinn=warn`");
        Err(self.fault("log", at, reason))
    }

    fn grace(&self, value: Option<toml::Spanned<u64>>) -> Result<u64, ConfigError> {
        let Some(value) = value else {
            return Ok(SEAL_GRACE_MS / HOUR_MS);
        };
        let (at, hours) = (value.span().start, value.into_inner());
        if SEAL_GRACE_HOURS.contains(&hours) {
            return Ok(hours);
        }
        let (least, most) = (SEAL_GRACE_HOURS.start(), SEAL_GRACE_HOURS.end());
        let reason = format!("{hours} is not within {least} and {most} hours");
        Err(self.fault("seal_grace_hours", at, reason))
    }

    fn certificate_life(&self, value: Option<toml::Spanned<u64>>) -> Result<u64, ConfigError> {
        let Some(value) = value else {
            return Ok(NODE_LIFE_MS);
        };
        let (at, seconds) = (value.span().start, value.into_inner());
        if limits::CERTIFICATE_LIFE_S.contains(&seconds) {
            return Ok(seconds * 1_000);
        }
        let (least, most) = limits::CERTIFICATE_LIFE_S.into_inner();
        let reason = format!("{seconds} is not within {least} and {most} seconds");
        Err(self.fault("quic.certificate_life_seconds", at, reason))
    }

    fn advertise(&self, value: Option<toml::Spanned<Vec<String>>>) -> Result<Vec<String>, ConfigError> {
        let key = "quic.advertise";
        let Some(value) = value else {
            let reason = "missing: name the host names or addresses by which agents reach this machine";
            return Err(self.fault(key, 0, reason.to_owned()));
        };
        let (at, names) = (value.span().start, value.into_inner());
        if names.is_empty() {
            return Err(self.fault(key, at, "name at least one host name or address".to_owned()));
        }
        match names.iter().find(|name| !is_name(name)) {
            Some(wrong) => Err(self.fault(key, at, wrong_name(wrong))),
            None => Ok(names),
        }
    }
}

/// Whether agents could reach a machine by this: an address, or a host name without a port.
pub fn is_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

/// What is wrong with a name that [`is_name`] refuses.
pub fn wrong_name(name: &str) -> String {
    format!("`{name}` is no host name or address; write it without a port, such as `metering.example.org`")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("a.toml"), text, None).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_fill_what_is_not_said_and_the_text_comes_back() {
        let config = parse("[quic]\nadvertise = [\"m.example.org\", \"10.0.0.1\"]\n").unwrap();
        assert_eq!(config.data, Path::new(DEFAULT_DATA));
        assert_eq!(
            (config.server().as_str(), config.seal_grace_hours),
            ("m.example.org:7700", 72)
        );
        assert_eq!(parse(&config.to_toml()), Ok(config.clone()));
        assert!(config.explain().contains("512 batches or 8 MiB"));
    }

    #[test]
    fn faults_name_file_line_and_key() {
        let table = [
            ("dat = 1", "line 1"),
            ("dat = 1", "unknown field `dat`"),
            ("[quic]\nadvertise = []", "a.toml, line 2, key `quic.advertise`"),
            ("log = \"info\"", "key `quic.advertise`: missing"),
            (
                "[quic]\nadvertise = [\"a\"]\nlisten = \"7700\"",
                "line 3, key `quic.listen`",
            ),
            ("[quic]\nadvertise = [\"a:7700\"]", "without a port"),
            ("log = \"inof\"\n[quic]\nadvertise = [\"a\"]", "`inof`"),
            ("log = \"quinn=loud\"\n[quic]\nadvertise = [\"a\"]", "key `log`"),
            ("data = 7", "line 1"),
            (
                "seal_grace_hours = 0\n[quic]\nadvertise = [\"a\"]",
                "line 1, key `seal_grace_hours`",
            ),
            (
                "[quic]\nadvertise = [\"a\"]\ncertificate_life_seconds = 1",
                "line 3, key `quic.certificate_life_seconds`",
            ),
        ];
        for (text, expected) in table {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn an_address_of_version_6_is_written_in_brackets() {
        let config = parse("[quic]\nadvertise = [\"fd00::1\"]\nlisten = \"[::]:77\"").unwrap();
        assert_eq!(config.server(), "[fd00::1]:77");
    }
}
