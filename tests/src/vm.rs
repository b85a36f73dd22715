//! A small virtual machine with pure cgroup v2: Debian's cloud kernel, a busybox initramfs and the
//! caller's files under qemu with software emulation, no network, output over the serial console.
//!
//! `scripts/setup.sh test` fetches the kernel into `target/vm`; nothing here reaches for the network.
//! Must not know what is tested in the machine: it takes files and a script and returns text.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

// The newc archive that the kernel unpacks as its first file system.
mod cpio;
// Debian's systemd inside the machine.
mod systemd;

use cpio::Archive;

const QEMU: &str = "qemu-system-x86_64";
const BUSYBOX: &str = "/bin/busybox";
const INIT: &str = include_str!("../vm/init");
const BEGIN: &str = "@@tallyman-vm begin@@";
const END: &str = "@@tallyman-vm end ";
const MEMORY_MIB: u32 = 768;
const DISK_BYTES: u64 = 64 << 20;
const SERIAL_BYTES_MAX: usize = 16 << 20;

/// One virtual machine to be booted once: what lies in it and what it runs.
pub struct Vm {
    files: Vec<GuestFile>,
    script: String,
}

struct GuestFile {
    guest: String,
    mode: u32,
    bytes: Vec<u8>,
}

impl Default for Vm {
    fn default() -> Self {
        Self::new()
    }
}

impl Vm {
    /// A machine with busybox, 768 MiB of memory, two processors, an empty disk of 64 MiB as `/dev/vda`
    /// and every cgroup v2 controller enabled below the root.
    pub fn new() -> Self {
        Self {
            files: Vec::new(),
            script: String::new(),
        }
    }

    /// Why no machine can be booted here, in words for an operator; `None` when it can.
    pub fn unavailable() -> Option<String> {
        if Command::new(QEMU).arg("--version").output().is_err() {
            return Some(format!("{QEMU} is not installed; run scripts/setup.sh test"));
        }
        if !statically_linked(Path::new(BUSYBOX)) {
            return Some("busybox-static is not installed; run scripts/setup.sh test".to_owned());
        }
        if !kernel_dir().join("complete").exists() {
            return Some("target/vm holds no kernel; run scripts/setup.sh test".to_owned());
        }
        None
    }

    /// A machine, or `None` with the reason on standard error where none can be booted.
    ///
    /// # Panics
    /// When `CI` is set and no machine can be booted: there a skip would hide a failure.
    pub fn or_skip() -> Option<Self> {
        let Some(reason) = Self::unavailable() else {
            return Some(Self::new());
        };
        assert!(
            std::env::var_os("CI").is_none(),
            "no virtual machine in CI: {reason}"
        );
        eprintln!("SKIPPED: no virtual machine: {reason}");
        None
    }

    /// Copies one file of this machine into the guest, keeping its permission bits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn file(mut self, host: &Path, guest: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let bytes = fs::read(host).with_context(|| format!("read {}", host.display()))?;
        let mode = fs::metadata(host)?.permissions().mode() & 0o777;
        self.files.push(GuestFile {
            guest: guest.to_owned(),
            mode,
            bytes,
        });
        Ok(self)
    }

    /// Copies a program and, when it is linked dynamically, the shared libraries that `ldd` names.
    ///
    /// # Errors
    /// When the program or one of its libraries cannot be read.
    pub fn program(mut self, host: &Path, guest: &str) -> Result<Self> {
        self = self.file(host, guest)?;
        for library in shared_libraries(host)? {
            let name = library.to_string_lossy().into_owned();
            if !self.files.iter().any(|file| file.guest == name) {
                self = self.file(&library, &name)?;
            }
        }
        Ok(self)
    }

    /// Writes a text file, such as a configuration, in the guest.
    #[must_use]
    pub fn text(mut self, guest: &str, content: &str) -> Self {
        let bytes = content.as_bytes().to_vec();
        self.files.push(GuestFile {
            guest: guest.to_owned(),
            mode: 0o644,
            bytes,
        });
        self
    }

    /// The shell script that the machine runs as root; its exit status is the result of [`Vm::run`].
    #[must_use]
    pub fn script(mut self, sh: &str) -> Self {
        sh.clone_into(&mut self.script);
        self
    }

    /// Boots, runs the script, powers off, and returns what the script printed.
    ///
    /// # Errors
    /// When the machine does not come up or end within `timeout`, or the script's status is not 0;
    /// the error carries the serial console.
    pub fn run(self, timeout: Duration) -> Result<String> {
        let dir = tempfile::tempdir().context("make a folder for the machine")?;
        let initramfs = dir.path().join("initramfs");
        fs::write(&initramfs, self.initramfs()?).context("write the initramfs")?;
        let disk = dir.path().join("disk");
        File::create(&disk)?
            .set_len(DISK_BYTES)
            .context("make the disk")?;
        let serial = boot(&initramfs, &disk, timeout)?;
        between_markers(&serial)
    }

    fn initramfs(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::new();
        archive.file("/init", 0o755, INIT.as_bytes());
        archive.file("/bin/busybox", 0o755, &fs::read(BUSYBOX).context("read busybox")?);
        archive.file("/script", 0o644, self.script.as_bytes());
        let mut modules: Vec<PathBuf> = fs::read_dir(kernel_dir().join("modules"))?
            .map(|entry| entry.map(|found| found.path()))
            .collect::<std::io::Result<_>>()?;
        modules.sort();
        for module in modules {
            let name = module
                .file_name()
                .context("a module without a name")?
                .to_string_lossy();
            archive.file(&format!("/modules/{name}"), 0o644, &fs::read(&module)?);
        }
        for file in &self.files {
            archive.file(&file.guest, file.mode, &file.bytes);
        }
        Ok(archive.finish())
    }
}

/// Ends qemu with the test, whatever way the test ends.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn boot(initramfs: &Path, disk: &Path, timeout: Duration) -> Result<String> {
    let child = Command::new(QEMU)
        .args([
            "-machine",
            "q35,accel=tcg",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            &MEMORY_MIB.to_string(),
        ])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-nic",
            "none",
            "-no-reboot",
        ])
        .args(["-serial", "stdio", "-kernel"])
        .arg(kernel_dir().join("vmlinuz"))
        .arg("-initrd")
        .arg(initramfs)
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 systemd.unified_cgroup_hierarchy=1",
        ])
        .arg("-drive")
        .arg(format!("file={},if=none,id=disk,format=raw", disk.display()))
        .args(["-device", "virtio-blk-pci,drive=disk"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start qemu")?;
    let mut machine = Machine(child);
    let serial = machine.0.stdout.take().context("qemu has no serial console")?;
    let serial = read_until(serial, Instant::now() + timeout);
    let outcome = serial.map_err(|seen| {
        anyhow::anyhow!(
            "the machine did not end within {} s; its console:\n{seen}",
            timeout.as_secs()
        )
    })?;
    let status = machine.0.wait().context("wait for qemu")?;
    if !status.success() {
        let mut complaint = String::new();
        machine
            .0
            .stderr
            .take()
            .context("qemu has no standard error")?
            .read_to_string(&mut complaint)?;
        bail!("qemu ended with {status}: {complaint}");
    }
    Ok(outcome)
}

/// The console up to its end, or what was seen when the deadline passed.
fn read_until(serial: impl Read + Send + 'static, deadline: Instant) -> Result<String, String> {
    let (lines, received) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(serial).split(b'\n') {
            let Ok(line) = line else { break };
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let mut seen = String::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match received.recv_timeout(left) {
            Ok(line) if seen.len() < SERIAL_BYTES_MAX => {
                seen.push_str(String::from_utf8_lossy(&line).trim_end_matches('\r'));
                seen.push('\n');
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => return Err(seen),
            Err(RecvTimeoutError::Disconnected) => return Ok(seen),
        }
    }
}

fn between_markers(serial: &str) -> Result<String> {
    let (_, after) = serial
        .split_once(BEGIN)
        .with_context(|| format!("the machine did not reach its script; its console:\n{serial}"))?;
    let (output, tail) = after
        .split_once(END)
        .with_context(|| format!("the script did not end; the console:\n{serial}"))?;
    let status = tail
        .split("@@")
        .next()
        .context("no status after the end marker")?;
    // The first line feed ends the marker's line, the last one was added before the end marker.
    let output = output.strip_prefix('\n').unwrap_or(output);
    let output = output.strip_suffix('\n').unwrap_or(output);
    if status != "0" {
        bail!("the script ended with status {status}; its output:\n{output}");
    }
    Ok(output.to_owned())
}

fn kernel_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/vm")
}

fn statically_linked(program: &Path) -> bool {
    program.exists() && shared_libraries(program).is_ok_and(|libraries| libraries.is_empty())
}

/// The absolute paths in `ldd`'s answer; none for a static program.
fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let answer = Command::new("ldd").arg(program).output().context("run ldd")?;
    let text = String::from_utf8_lossy(&answer.stdout);
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} lacks a library: {}", program.display(), line.trim());
    }
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_text_between_the_markers() {
        let serial = "noise\n@@tallyman-vm begin@@\none\ntwo\n\n@@tallyman-vm end 0@@\nnoise\n";
        assert_eq!(between_markers(serial).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_failed_script_is_an_error_with_its_output() {
        let serial = "@@tallyman-vm begin@@\nno such file\n\n@@tallyman-vm end 3@@\n";
        let error = between_markers(serial).unwrap_err().to_string();
        assert!(
            error.contains("status 3") && error.contains("no such file"),
            "{error}"
        );
    }

    #[test]
    fn a_console_without_markers_is_shown() {
        let error = between_markers("Kernel panic").unwrap_err().to_string();
        assert!(error.contains("Kernel panic"), "{error}");
    }
}
