//! What this machine is, so that figures are compared with their like.

use std::fmt;
use std::process::Command;

use serde::Serialize;

/// One machine at one moment.
#[derive(Debug, Serialize)]
pub struct Machine {
    cpu: String,
    cpus: usize,
    memory_gib: u64,
    kernel: String,
    filesystem: String,
    cgroups: &'static str,
    commit: String,
    date: String,
}

/// This one.
pub fn describe() -> Machine {
    Machine {
        cpu: field("/proc/cpuinfo", "model name"),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: field("/proc/meminfo", "MemTotal")
            .trim_end_matches(" kB")
            .parse()
            .map_or(0, |kib: u64| kib >> 20),
        kernel: first_line(std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
        filesystem: said(
            "stat",
            &["-f", "-c", "%T", &std::env::temp_dir().display().to_string()],
        ),
        cgroups: match std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            true => "v2",
            false => "v1 or hybrid",
        },
        commit: said(
            "git",
            &[
                "-C",
                env!("CARGO_MANIFEST_DIR"),
                "describe",
                "--always",
                "--dirty",
            ],
        ),
        date: said("date", &["-u", "+%Y-%m-%d"]),
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cpus,
            memory_gib,
            kernel,
            filesystem,
            cgroups,
            commit,
            date,
        } = self;
        write!(
            f,
            "{cpus} × {cpu}, {memory_gib} GiB, Linux {kernel}, {filesystem}, cgroup {cgroups}; commit {commit}, {date}"
        )
    }
}

fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let found = text
        .lines()
        .find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix(':'));
    found.map_or_else(|| "unknown".to_owned(), |v| v.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map_or_else(
        |_| String::new(),
        |o| String::from_utf8_lossy(&o.stdout).into_owned(),
    );
    first_line(text)
}

fn first_line(text: String) -> String {
    text.lines()
        .next()
        .map_or_else(|| "unknown".to_owned(), str::to_owned)
}
