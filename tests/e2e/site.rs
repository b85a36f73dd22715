//! One aggregator and one agent in a folder of their own: what a newcomer sets up, as a value.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::http;
use super::process::{Running, program, run, until};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// How long the end of a minute, its shipping and its writing may take.
pub const MINUTE: Duration = Duration::from_secs(150);

/// Where a site stands, when not on this host with both programs beside each other.
pub struct Ground {
    /// Address of the aggregator's QUIC port.
    pub address: String,
    /// Network namespace of the agent.
    pub agent_namespace: Option<String>,
    /// Folders (`aggregator`, `agent`) that are somewhere else.
    pub folders: Vec<(&'static str, PathBuf)>,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            address: "127.0.0.1".to_owned(),
            agent_namespace: None,
            folders: Vec::new(),
        }
    }
}

impl Ground {
    /// One of the two folders on another disk.
    pub fn with_folder(name: &'static str, target: &Path) -> Self {
        Self {
            folders: vec![(name, target.to_owned())],
            ..Self::default()
        }
    }
}

/// The two programs and their folder.
pub struct Site {
    folder: TempDir,
    /// Port of the HTTP API.
    pub http: u16,
    /// Port of QUIC.
    pub quic: u16,
    /// Operator's token.
    pub token: String,
    address: String,
    agent_namespace: Option<String>,
    /// The aggregator, while it runs.
    pub aggregator: Option<Running>,
    /// The agent, while it runs.
    pub agent: Option<Running>,
}

impl Site {
    /// Initialises an aggregator, starts it, registers tenants and prices. `rules` is added to the agent's
    /// configuration.
    pub fn new(tenants: &[&str], rules: &str) -> Result<Self> {
        Self::on(&Ground::default(), tenants, rules)
    }

    /// The same on a ground of its own.
    pub fn on(ground: &Ground, tenants: &[&str], rules: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        for (name, target) in &ground.folders {
            std::os::unix::fs::symlink(target, folder.path().join(name))?;
        }
        let (http, quic) = (free_tcp_port()?, free_udp_port()?);
        let mut site = Self {
            folder,
            http,
            quic,
            token: String::new(),
            address: ground.address.clone(),
            agent_namespace: ground.agent_namespace.clone(),
            aggregator: None,
            agent: None,
        };
        let listen = format!("{}:{quic}", site.address);
        let data = site.path("aggregator");
        let init = run(site
            .aggregator_command()
            .arg("--data")
            .arg(&data)
            .args(["init", "--advertise", &site.address, "--listen", &listen])
            .args(["--http", &format!("127.0.0.1:{http}")]))?;
        let token = init.split_whitespace().find(|w| w.starts_with("tally_"));
        site.token = token.with_context(|| format!("no token in: {init}"))?.to_owned();
        site.start_aggregator()?;
        for tenant in tenants {
            site.admin(&[
                "tenant",
                "set",
                tenant,
                "--claim",
                tenant,
                "--currency",
                "USD",
                "--from",
                &this_month(),
            ])?;
        }
        let book = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../deploy/price-books/sandbox-usd.toml"
        );
        site.admin(&["price-book", "add", book, "--from", &this_month()])?;
        let state = site.path("agent");
        let config = format!(
            "server = \"{listen}\"\nstate_dir = \"{}\"\n\n{rules}\n",
            state.display()
        );
        std::fs::write(site.path("agent.toml"), config)?;
        Ok(site)
    }

    /// A path in the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `tallyman-aggregator` with its configuration.
    pub fn aggregator_command(&self) -> Command {
        let mut command = Command::new(program("tallyman-aggregator"));
        command.arg("--config").arg(self.path("aggregator.toml"));
        command
    }

    /// `tallyman-agent` with its configuration.
    pub fn agent_command(&self) -> Command {
        let mut command = match &self.agent_namespace {
            Some(name) => {
                let mut command = Command::new("nsenter");
                command
                    .arg(format!("--net=/run/netns/{name}"))
                    .arg(program("tallyman-agent"));
                command
            }
            None => Command::new(program("tallyman-agent")),
        };
        command.arg("--config").arg(self.path("agent.toml"));
        command
    }

    /// Runs an administrative command against the aggregator.
    pub fn admin(&self, arguments: &[&str]) -> Result<String> {
        run(self.aggregator_command().args(arguments))
    }

    /// Starts the aggregator and waits until it is ready.
    pub fn start_aggregator(&mut self) -> Result<()> {
        let running = Running::start(self.aggregator_command().arg("run"), &self.path("aggregator.log"))?;
        self.aggregator = Some(running);
        until("the aggregator is ready", START, || {
            let alive = self.aggregator.as_mut().context("just started")?.is_running()?;
            anyhow::ensure!(
                alive,
                "it ended: {}",
                self.aggregator.as_ref().context("just started")?.log_text()
            );
            Ok((http::get(self.http, "/ready", None)?.0 == 200).then_some(()))
        })
    }

    /// Enrols this machine with a fresh token.
    pub fn enrol(&self) -> Result<()> {
        self.enrol_by(&[])
    }

    /// The same with a token of its own kind: arguments of `node token`.
    pub fn enrol_by(&self, arguments: &[&str]) -> Result<()> {
        let order = [&["node", "token", "--json"], arguments].concat();
        let made: Value = serde_json::from_str(&self.admin(&order)?)?;
        let made = made.get(0).unwrap_or(&made);
        let text = |key: &str| made[key].as_str().with_context(|| format!("`{key}` in {made}"));
        let token = self.path("node-token");
        std::fs::write(&token, text("token")?)?;
        let server = format!("{}:{}", self.address, self.quic);
        run(self
            .agent_command()
            .args([
                "enrol",
                "--server",
                &server,
                "--ca-fingerprint",
                text("ca_fingerprint")?,
            ])
            .arg("--token-file")
            .arg(&token))?;
        Ok(())
    }

    /// Starts the agent.
    pub fn start_agent(&mut self) -> Result<()> {
        self.agent = Some(Running::start(
            self.agent_command().arg("run"),
            &self.path("agent.log"),
        )?);
        Ok(())
    }

    /// Starts the agent and waits until it meters: a workload that appears afterwards counts from its first nanosecond.
    pub fn start_metering(&mut self) -> Result<()> {
        // What an earlier one left says nothing of this one.
        let status = self.path("agent").join("status.json");
        drop(std::fs::remove_file(&status));
        self.start_agent()?;
        until("the agent meters", START, || Ok(status.exists().then_some(()))).with_context(|| self.logs())
    }

    /// The agent sends to another port of loopback from its next start on.
    pub fn send_agent_to(&self, port: u16) -> Result<()> {
        let path = self.path("agent.toml");
        let config = std::fs::read_to_string(&path)?;
        let (old, new) = (
            format!("{}:{}", self.address, self.quic),
            format!("127.0.0.1:{port}"),
        );
        Ok(std::fs::write(&path, config.replace(&old, &new))?)
    }

    /// Ends the agent in order: its last window is closed and sent.
    pub fn stop_agent(&mut self) -> Result<()> {
        self.agent
            .take()
            .context("it runs")?
            .stop(Duration::from_secs(30))
    }

    /// Waits until the agent said `words` at least `times` times.
    pub fn agent_says(&self, words: &str, times: usize, limit: Duration) -> Result<()> {
        let said = || std::fs::read_to_string(self.path("agent.log")).map(|log| log.matches(words).count());
        until(&format!("the agent says `{words}`"), limit, || {
            Ok((said()? >= times).then_some(()))
        })
        .with_context(|| self.logs())
    }

    /// Waits until what is billed comes to what the kernel counts, to the unit; it is never above it. The counter is
    /// read behind the bill, so that a workload that was only starved, not idle, is no fault.
    pub fn billed_exactly(&self, tenant: &str, kernel: impl Fn() -> Result<u128>) -> Result<()> {
        let what = format!("{tenant} is billed what the kernel counts");
        let done = until(&what, MINUTE, || {
            let (billed, truth) = (self.usage(tenant, "cpu.time")?, kernel()?);
            assert!(billed <= truth, "billed {billed} ns, the kernel counted {truth}");
            anyhow::ensure!(billed == truth && truth > 0, "billed {billed} of {truth} ns");
            Ok(Some(()))
        });
        done.with_context(|| self.logs())
    }

    /// Kills the aggregator (SIGKILL).
    pub fn kill_aggregator(&mut self) -> Result<()> {
        self.aggregator.take().context("it runs")?.kill()
    }

    /// Kills the agent (SIGKILL).
    pub fn kill_agent(&mut self) -> Result<()> {
        self.agent.take().context("it runs")?.kill()
    }

    /// Asks the API.
    pub fn ask(&self, path: &str) -> Result<Value> {
        http::json(self.http, path, &self.token)
    }

    /// A tenant's sum of a meter in this month so far, base units; 0 when there is none.
    pub fn usage(&self, tenant: &str, meter: &str) -> Result<u128> {
        let summary = self.ask(&format!("/api/v1/usage/summary/{}?tenant={tenant}", month_name()))?;
        let rows = summary["usage"]
            .as_array()
            .with_context(|| format!("no usage in {summary}"))?;
        let sums = rows
            .iter()
            .filter(|r| r["meter"] == meter)
            .map(|r| Ok(r["value"].as_str().context("text")?.parse::<u128>()?));
        sums.sum::<Result<u128>>()
    }

    /// Both logs, for a failure's message.
    pub fn logs(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        format!(
            "--- aggregator\n{}\n--- agent\n{}",
            read("aggregator.log"),
            read("agent.log")
        )
    }
}

/// An agent's rules for the cgroups of a folder alone: each owned by its own name.
pub fn cgroup_rules(folder: &str) -> String {
    format!("docker = {{ enabled = false }}\n[[cgroup]]\npath = \"{folder}/*\"\nowner = \"$1\"\n")
}

/// This month in UTC, as in `2026-01`.
pub fn month_name() -> String {
    let seconds = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let text =
        tallyman_aggregator_core::api::text::instant_text(tallyman_common::time::WallMs(seconds * 1_000));
    text[..7].to_owned()
}

fn this_month() -> String {
    format!("{}-01T00:00:00Z", month_name())
}

pub(super) fn free_tcp_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

pub(super) fn free_udp_port() -> Result<u16> {
    Ok(UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
