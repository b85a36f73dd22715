//! cgroups of the test's own making, under whatever trees this machine has, and the kernel's own counters of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A cgroup of our own: the same relative path in every tree that counts.
pub struct Cgroup {
    path: String,
    folders: Vec<PathBuf>,
    cpu: PathBuf,
    is_v2: bool,
}

/// Roots of the trees: pure v2 has one, v1 and hybrid several.
fn roots() -> Vec<PathBuf> {
    let base = Path::new("/sys/fs/cgroup");
    if base.join("cgroup.controllers").exists() {
        return vec![base.to_owned()];
    }
    let names = ["cpuacct", "memory", "blkio", "unified"];
    names
        .iter()
        .map(|n| base.join(n))
        .filter(|p| p.is_dir())
        .collect()
}

impl Cgroup {
    /// Makes it (parents too). `path` begins with a slash.
    pub fn make(path: &str) -> Result<Self> {
        let mut folders = Vec::new();
        for root in roots() {
            let folder = root.join(&path[1..]);
            fs::create_dir_all(&folder).with_context(|| format!("{}: are you root?", folder.display()))?;
            folders.push(folder);
        }
        let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let file = if is_v2 { "cpu.stat" } else { "cpuacct.usage" };
        let cpu = folders[0].join(file);
        Ok(Self {
            path: path.to_owned(),
            folders,
            cpu,
            is_v2,
        })
    }

    /// Its path from the root of the tree.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// CPU time as the kernel counts it, in nanoseconds.
    pub fn cpu_ns(&self) -> Result<u128> {
        let text = fs::read_to_string(&self.cpu)?;
        let usage = if self.is_v2 {
            text.lines().next().and_then(|l| l.split(' ').nth(1))
        } else {
            Some(text.trim())
        };
        let number: u128 = usage.context("a CPU counter")?.parse()?;
        Ok(if self.is_v2 { number * 1_000 } else { number })
    }

    /// Whether no process is in it.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(fs::read_to_string(self.folders[0].join("cgroup.procs"))?.is_empty())
    }

    /// Runs a shell command inside it.
    pub fn spawn(&self, script: &str) -> Result<Child> {
        let mut enter = String::new();
        for folder in &self.folders {
            enter.push_str(&format!("echo $$ > {}/cgroup.procs\n", folder.display()));
        }
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{enter}{script}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(command.spawn()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // A child that is just ending may still be in it; an empty cgroup left behind does no harm.
            let _ = fs::remove_dir(folder);
        }
    }
}
