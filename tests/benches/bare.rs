//! The least that reading counters can cost: a loop of `pread` on kept descriptors, nothing parsed, nothing kept, in
//! a process of its own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::agent::wait_until;
use super::cost::cpu_of_this_process;

/// The first argument of the process that loops.
pub const ARGUMENT: &str = "bare-loop";
/// Enough for every counter's file.
const BUFFER_BYTES: usize = 64 << 10;

/// The counters' files that a process keeps open and whose path has `part` in it.
pub fn files_of(pid: u32, part: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let is_counter = |path: &PathBuf| {
        let text = path.to_string_lossy();
        let event = text.ends_with("/cgroup.events") || text.ends_with("/cgroup.procs");
        text.contains(part) && text.starts_with("/sys/fs/cgroup/") && !event && path.is_file()
    };
    let mut files: Vec<PathBuf> = links.filter(is_counter).collect();
    files.sort();
    Ok(files)
}

/// How many workloads the files are of: the last folders' names, for a workload has one in each tree.
pub fn folders(files: &[PathBuf]) -> usize {
    let names: BTreeSet<_> = files.iter().filter_map(|f| f.parent()?.file_name()).collect();
    names.len()
}

/// What the loop spent.
pub struct Spent {
    /// CPU time of all sweeps; opening is not in it.
    pub cpu: Duration,
}

/// Runs the loop in a process of its own.
pub fn run(files: &[PathBuf], interval: Duration, sweeps: u32) -> Result<Spent> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, &interval.as_millis().to_string(), &sweeps.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut list = child.stdin.take().context("a pipe")?;
    for file in files {
        writeln!(list, "{}", file.display())?;
    }
    drop(list);
    let output = child.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "the bare loop: {}", output.status);
    let nanoseconds: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Spent {
        cpu: Duration::from_nanos(nanoseconds),
    })
}

/// The process that loops: interval in milliseconds and sweeps as arguments, paths on standard input; it says its CPU
/// time in nanoseconds.
pub fn main(arguments: &[String]) -> Result<()> {
    let number =
        |at: usize| -> Result<u64> { Ok(arguments.get(at).context("interval and sweeps")?.parse()?) };
    let (interval, sweeps) = (Duration::from_millis(number(0)?), number(1)?);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    let paths: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let files: Vec<File> = paths
        .iter()
        .map(|path| open(Path::new(path)))
        .collect::<Result<_>>()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    sweep(&files, &mut buffer)?;
    let (start, before) = (Instant::now(), cpu_of_this_process());
    for number in 1..=sweeps {
        wait_until(start + interval * u32::try_from(number)?);
        sweep(&files, &mut buffer)?;
    }
    println!("{}", (cpu_of_this_process() - before).as_nanos());
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| path.display().to_string())
}

fn sweep(files: &[File], buffer: &mut [u8]) -> Result<()> {
    for file in files {
        rustix::io::pread(file, &mut *buffer, 0)?;
    }
    Ok(())
}
