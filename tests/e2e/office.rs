//! One aggregator that only bills: a data folder with a month that is to be invoiced, orders of the command line on it, and
//! the program while it runs. No host sends anything.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tallyman_aggregator::io::rocks::Create;
use tallyman_aggregator_core::rating::Month;
use tallyman_common::time::Hour;
use tempfile::TempDir;

use super::process::{Running, program, run, until};
use super::site::{free_tcp_port, free_udp_port};
use super::{http, month};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// The folder, and the program while it runs.
pub struct Office {
    folder: TempDir,
    /// Port of the HTTP API.
    pub http: u16,
    /// The month that is to be invoiced.
    pub month: String,
    /// Its hours with usage.
    pub hours: Range<Hour>,
    token: String,
    aggregator: Option<Running>,
}

impl Office {
    /// Makes one with so many accounts, and usage in the last `hours` of a final month. Nothing is billed by itself.
    pub fn fill(accounts: usize, hours: u32) -> Result<Self> {
        Self::make(accounts, hours, false)
    }

    /// The same with an invoice for everybody, issued when the month was final, so that all are overdue.
    pub fn billed(accounts: usize, hours: u32) -> Result<Self> {
        Self::make(accounts, hours, true)
    }

    fn make(accounts: usize, hours: u32, is_billed: bool) -> Result<Self> {
        let (name, whole) = month::final_month()?;
        let mut office = Self {
            folder: TempDir::new()?,
            http: free_tcp_port()?,
            month: name.to_string(),
            hours: Hour(whole.end.0 - hours)..whole.end,
            token: String::new(),
            aggregator: None,
        };
        let data = office.path("data");
        run(office
            .command()
            .arg("--data")
            .arg(&data)
            .args(["init", "--advertise", "127.0.0.1"])
            .args(["--listen", &format!("127.0.0.1:{}", free_udp_port()?)])
            .args(["--http", &format!("127.0.0.1:{}", office.http)]))?;
        let config = std::fs::read_to_string(office.config())?;
        let config = config.replace("automatic_invoices = true", "automatic_invoices = false");
        // The hours since then had nobody; sealing them would only take time.
        let config = config.replace("seal_grace_hours = 72", "seal_grace_hours = 8760");
        std::fs::write(office.config(), config)?;
        office.fill_store(&data.join("store"), accounts, is_billed.then_some(name))?;
        let made = office.json(&["token", "create", "test"])?;
        office.token = made["token"].as_str().context("a token")?.to_owned();
        Ok(office)
    }

    fn fill_store(&self, path: &Path, accounts: usize, billed: Option<Month>) -> Result<()> {
        std::fs::remove_dir_all(path)?;
        let mut store = month::open(path, Create::Yes)?;
        month::fill(&mut store, accounts, self.hours.clone())?;
        billed.map_or(Ok(()), |month| month::issue(&mut store, month))
    }

    /// A path in the office's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its settings.
    pub fn config(&self) -> PathBuf {
        self.path("aggregator.toml")
    }

    /// `tallyman-aggregator` with its configuration.
    pub fn command(&self) -> Command {
        let mut command = Command::new(program("tallyman-aggregator"));
        command.arg("--config").arg(self.config());
        command
    }

    /// Gives an order that is carried out; what it prints.
    pub fn order(&self, arguments: &[&str]) -> Result<String> {
        run(self.command().args(arguments))
    }

    /// The same as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = run(self.command().arg("--json").args(arguments))?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Gives an order that is refused, by a status other than 0 and a reason with these words.
    pub fn refused(&self, arguments: &[&str], words: &str) -> Result<()> {
        let output = self.command().args(arguments).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{arguments:?} was carried out");
        ensure!(
            told.contains(words),
            "{arguments:?}: `{words}` is missing in: {told}"
        );
        Ok(())
    }

    /// A copy of the store as it is, while nothing runs, in a data folder of its own.
    pub fn copy(&self, name: &str) -> Result<PathBuf> {
        let data = self.path(name);
        std::fs::create_dir(&data)?;
        month::open(&self.path("data").join("store"), Create::No)?.checkpoint(&data.join("store"))?;
        Ok(data)
    }

    /// Gives an order on such a copy; its answer as JSON.
    pub fn json_on(&self, copy: &Path, arguments: &[&str]) -> Result<Value> {
        let text = run(self
            .command()
            .arg("--data")
            .arg(copy)
            .arg("--json")
            .args(arguments))?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Starts the program and waits until it is ready.
    pub fn start(&mut self) -> Result<()> {
        let log = self.path("aggregator.log");
        let mut running = Running::start(self.command().arg("run"), &log)?;
        until("the aggregator is ready", START, || {
            ensure!(running.is_running()?, "it ended: {}", running.log_text());
            Ok((http::get(self.http, "/ready", None)?.0 == 200).then_some(()))
        })?;
        self.aggregator = Some(running);
        Ok(())
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.aggregator.take().context("it runs")?.kill()
    }

    /// Ends it in order.
    pub fn stop(&mut self) -> Result<()> {
        let running = self.aggregator.take().context("it runs")?;
        running.stop(Duration::from_secs(30))
    }

    /// Asks the API.
    pub fn ask(&self, path: &str) -> Result<Value> {
        http::json(self.http, path, &self.token)
    }

    /// Asks the API and leaves before the answer.
    pub fn ask_and_leave(&self, path: &str) -> Result<()> {
        http::ask_and_leave(self.http, path, &self.token)
    }

    /// Begins a monthly run by the API; where it is asked about.
    pub fn begin_run(&self) -> Result<String> {
        let path = format!("/api/v1/admin/generate-invoices?period={}", self.month);
        let (status, body) = http::post(self.http, &path, &self.token)?;
        ensure!(status == 202, "POST {path}: {status} {body}");
        let begun: Value = serde_json::from_str(&body)?;
        Ok(format!("/api/v1/admin/invoice-runs/{}", begun["run"]))
    }
}
