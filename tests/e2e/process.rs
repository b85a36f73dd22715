//! Programs as processes. Whatever a test starts, it ends, by its own child handle.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Path of a program that was built beside this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().find(|p| p.join(name).is_file());
    folder
        .map(|f| f.join(name))
        .unwrap_or_else(|| panic!("{name} is not built: run `make build`"))
}

/// Runs a program to its end; its error output is in the error.
pub fn run(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().with_context(|| format!("{command:?}"))?;
    let out = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(out);
    }
    bail!(
        "{command:?}: {status}\n{out}\n{}",
        String::from_utf8_lossy(&stderr)
    )
}

/// A running program with its log in a file.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program; its output goes to `log`, added at the end.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM).
    pub fn ask_to_end(&self) -> Result<()> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("a process has an id")?, rustix::process::Signal::TERM)?;
        Ok(())
    }

    /// Asks it to end and waits for that.
    pub fn stop(mut self, limit: Duration) -> Result<()> {
        self.ask_to_end()?;
        let status = until("the program ends", limit, || Ok(self.child.try_wait()?))?;
        if status.success() {
            Ok(())
        } else {
            bail!("{status}; log:\n{}", self.log_text())
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What it logged so far.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_else(|e| format!("no log: {e}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again, until there is an answer or the limit is over. The condition decides, not the pause.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    let mut last = None;
    loop {
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(e) => last = Some(e),
        }
        if Instant::now() >= end {
            let last = last.map_or_else(String::new, |e| format!("; the last error was: {e:#}"));
            bail!("waited {limit:?} for: {what}{last}");
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// Lets a moment pass that a seed chose: nothing is waited for.
pub fn pass(moment: Duration) {
    let end = Instant::now() + moment;
    while let Some(rest) = end
        .checked_duration_since(Instant::now())
        .filter(|d| !d.is_zero())
    {
        std::thread::park_timeout(rest);
    }
}
