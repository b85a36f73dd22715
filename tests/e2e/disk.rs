//! Disks that are full, and syncs that fail: a small file system of the test's own, and strace's fault injection.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::process::{run, until};

/// A file system in memory, unmounted when dropped. Make it before what uses it, so that it goes last.
pub struct SmallDisk {
    mount: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB; needs root.
    pub fn mount(mib: u64) -> Result<Self> {
        let mount = TempDir::new()?;
        let size = format!("size={mib}m,mode=0755");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tallyman-test"])
            .arg(mount.path()))?;
        std::fs::create_dir(mount.path().join("data"))?;
        Ok(Self { mount })
    }

    /// The folder for the program.
    pub fn folder(&self) -> PathBuf {
        self.mount.path().join("data")
    }

    /// Fills it until only `free_bytes` are left.
    pub fn fill_to(&self, free_bytes: u64) -> Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.filler())?;
        let zeros = vec![0; 64 << 10];
        loop {
            let Some(over) = self
                .free_bytes()?
                .checked_sub(free_bytes)
                .filter(|over| *over > 0)
            else {
                return Ok(());
            };
            let piece = usize::try_from(over).map_or(zeros.len(), |over| over.min(zeros.len()));
            match filler.write(&zeros[..piece]) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes what filled it.
    pub fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    /// What is left.
    pub fn free_bytes(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(self.mount.path())?;
        Ok(disk.f_bavail * disk.f_frsize)
    }

    fn filler(&self) -> PathBuf {
        self.mount.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is still open keeps it alive, but nobody finds it any more.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.mount.path())
            .status();
    }
}

/// System calls of a running program that fail, until dropped.
pub struct Injection {
    strace: Child,
}

impl Injection {
    /// Attaches to a process and all its threads. `what` is strace's own: `fdatasync:error=EIO:when=2`. What was
    /// injected is in `log`.
    pub fn attach(pid: u32, what: &str, log: &Path) -> Result<Self> {
        let calls = what.split(':').next().context("calls come first")?;
        let mut strace = Command::new("strace")
            .args([
                "-f",
                "-p",
                &pid.to_string(),
                "-e",
                &format!("trace={calls}"),
                "-e",
            ])
            .arg(format!("inject={what}"))
            .arg("-o")
            .arg(log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("strace is not installed")?;
        let mut said = strace.stderr.take().context("it has one")?;
        // It says so once it holds all threads; an end without that word is a failure.
        let mut text = Vec::new();
        let mut piece = [0; 512];
        while !String::from_utf8_lossy(&text).contains("attached") {
            let read = said.read(&mut piece)?;
            ensure!(read > 0, "strace ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..read]);
        }
        // Nobody reads on; what it says of new threads is little.
        std::mem::forget(said);
        Ok(Self { strace })
    }

    /// Waits until something was injected.
    pub fn happened(log: &Path, limit: Duration) -> Result<()> {
        until("a system call was made to fail", limit, || {
            Ok(std::fs::read_to_string(log)?.contains("(INJECTED)").then_some(()))
        })
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // It detaches on SIGTERM; the program goes on.
        let pid = i32::try_from(self.strace.id()).ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.strace.wait();
    }
}
