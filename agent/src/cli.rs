//! The command line: parses, and hands over. Every command but `run` works while the agent is stopped.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use tallyman_common::ids::Digest;

use crate::config::{Config, DEFAULT_PATH, LogLevel};
use crate::io::keys::KeyFolder;
use crate::io::quic::ServerAddress;
use crate::resend::Chosen;
use crate::{certificate, inspect, once, resend, run};

/// How a command ended that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Good,
    /// It found something that is not: damage, a source that can't be read.
    Bad,
}

/// Meters what every tenant uses on this host and ships it in signed batches.
#[derive(Debug, Parser)]
#[command(name = "tallyman-agent", version)]
pub struct Cli {
    /// Configuration file.
    #[arg(long, global = true, default_value = DEFAULT_PATH, value_name = "FILE")]
    config: PathBuf,
    /// Keys, spool and status, instead of `state_dir` of the configuration.
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Meter and ship until asked to end.
    Run,
    /// Join an aggregator with a single-use token.
    Enrol(Enrol),
    /// Check the configuration and print what is in effect.
    CheckConfig,
    /// Read everything once and print it, without a spool.
    Once {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Read a second time after so many seconds, and print the difference.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3_600))]
        seconds: Option<u64>,
    },
    /// How the agent is doing; also while it is stopped.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send batches again that were acknowledged; the aggregator counts none of them twice.
    Resend {
        #[command(flatten)]
        chosen: Chosen,
        /// Only say what would be sent.
        #[arg(long)]
        dry_run: bool,
    },
    /// The batches on this host's disk.
    Spool {
        #[command(subcommand)]
        command: Spool,
    },
}

#[derive(Debug, Args)]
struct Enrol {
    /// Where the aggregator is, HOST:PORT (UDP).
    #[arg(long, value_name = "HOST:PORT")]
    server: ServerAddress,
    /// Fingerprint of the aggregator's authority, as `tallyman-aggregator init` printed it.
    #[arg(long, value_name = "sha256:HEX", value_parser = fingerprint)]
    ca_fingerprint: Digest,
    #[command(flatten)]
    token: Token,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Token {
    /// File with the token, `-` for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The token itself; other users of this host may see it.
    #[arg(long)]
    token: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Spool {
    /// One line per batch.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read everything and tell damage.
    Verify {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy batches into a file for `tallyman-aggregator import`, for a host with no way out. They stay here.
    Export {
        /// The file; it must not exist.
        file: PathBuf,
        #[command(flatten)]
        chosen: Chosen,
    },
}

impl Cli {
    /// Carries the command out; `log` is called before `run` begins.
    pub fn execute(self, log: impl FnOnce(LogLevel)) -> Result<Outcome> {
        let mut config = Config::load(&self.config)?;
        if let Some(state) = self.state_dir {
            config.state = state;
        }
        match self.command {
            Command::Run => {
                log(config.log);
                run::run(&config)?;
                Ok(Outcome::Good)
            }
            Command::Enrol(enrol) => enrol.execute(&config),
            Command::CheckConfig => {
                say(&config.to_string())?;
                Ok(Outcome::Good)
            }
            Command::Once { json, seconds } => once::once(&config, json, seconds),
            Command::Status { json } => inspect::status(&config, json),
            Command::Resend { chosen, dry_run } => resend::resend(&config, &chosen, dry_run),
            Command::Spool { command } => match command {
                Spool::List { json } => inspect::list(&config, json),
                Spool::Verify { json } => inspect::verify(&config, json),
                Spool::Export { file, chosen } => resend::export(&config, &file, &chosen),
            },
        }
    }
}

impl Enrol {
    fn execute(self, config: &Config) -> Result<Outcome> {
        let token = self.token.read()?;
        let keys = KeyFolder::of_state(&config.state);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let enrolling = certificate::enrol(&self.server, self.ca_fingerprint, token, &keys);
        let enrolment = runtime
            .block_on(enrolling)
            .with_context(|| format!("enrolling at {}", self.server))?;
        println!("node         {}", enrolment.node);
        println!("aggregator   {}", enrolment.server);
        println!("keys         {}", config.state.join("identity").display());
        println!("certificate  renews by itself");
        Ok(Outcome::Good)
    }
}

/// Prints to standard output. Whoever reads it may stop reading.
pub fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

impl Token {
    fn read(self) -> Result<String> {
        let text = match (self.token, self.token_file) {
            (Some(token), _) => token,
            (None, Some(file)) if file == Path::new("-") => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("standard input")?;
                text
            }
            (None, Some(file)) => {
                std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?
            }
            (None, None) => String::new(),
        };
        let token = text.trim();
        if token.is_empty() {
            bail!("the token is empty: make one with `tallyman-aggregator node token`");
        }
        Ok(token.to_owned())
    }
}

fn fingerprint(text: &str) -> Result<Digest, String> {
    let fault = || format!("`{text}` is not sha256: and 64 hexadecimal digits");
    let digits = text.strip_prefix("sha256:").ok_or_else(fault)?;
    digits.parse().map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let parse = |line: &str| {
            Cli::try_parse_from(line.split(' '))
                .map(drop)
                .map_err(|e| e.to_string())
        };
        let hex = "ab".repeat(32);
        let enrol = format!("tallyman-agent enrol --server a:1 --ca-fingerprint sha256:{hex} --token t");
        assert_eq!(parse(&enrol), Ok(()));
        assert!(
            parse(&enrol.replace(" --token t", ""))
                .unwrap_err()
                .contains("--token-file")
        );
        assert!(
            parse(&enrol.replace("sha256:", ""))
                .unwrap_err()
                .contains("64 hexadecimal digits")
        );
        assert!(
            parse(&enrol.replace("a:1", "a"))
                .unwrap_err()
                .contains("HOST:PORT")
        );
        for line in [
            "run",
            "once --json --seconds 2",
            "status",
            "spool list",
            "spool verify --json",
            "check-config",
            "resend --from 2026-11-01T00:00Z --to 2026-11-02 --dry-run",
            "resend --seq 1..20",
            "spool export /tmp/x --seq 7",
        ] {
            assert_eq!(
                parse(&format!("tallyman-agent {line} --config /x --state-dir /y")),
                Ok(()),
                "{line}"
            );
        }
    }
}
