//! What a process or a thread costs: CPU time, memory, bytes on disk. As the kernel counts it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Ticks of a second in `/proc/*/stat`; part of Linux' interface to programs.
const TICKS_PER_S: u64 = 100;

/// CPU time of a process, user and system, of all its threads so far. In steps of 10 ms; of a process whose threads
/// all live on, the larger and finer sum of these.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything, also brackets; behind the last one come numbers.
    let (_, fields) = text.rsplit_once(')').context("a line of /proc/*/stat")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || -> Result<u64> { Ok(times.next().context("utime and stime")?.parse()?) };
    let ticks = next()? + next()?;
    let living = cpu_of_threads(Path::new(&format!("/proc/{pid}")));
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_S).max(living))
}

/// Calls of a process so far that read from a file or a socket.
pub fn reads_of(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let found = text.lines().find_map(|l| l.strip_prefix("syscr: "));
    Ok(found.context("syscr of /proc/*/io")?.parse()?)
}

/// CPU time so far of all threads that live, of all processes with one of these names. To the nanosecond, which
/// matters for many processes that each do little.
pub fn cpu_of_named(names: &[&str]) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if names.contains(&name.trim()) {
            sum += cpu_of_threads(&entry.path());
        }
    }
    Ok(sum)
}

/// Of the threads of a process; those that end meanwhile are not counted.
fn cpu_of_threads(process: &Path) -> Duration {
    let threads = std::fs::read_dir(process.join("task"))
        .into_iter()
        .flatten()
        .flatten();
    let cpu = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    threads.filter_map(cpu).sum()
}

/// CPU time that this machine's processors spent on anything so far.
pub fn cpu_of_all() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("a first line of /proc/stat")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // user, nice, system, then idle and iowait, then irq, softirq; what a hypervisor stole was spent elsewhere.
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|at| fields.get(*at))
        .sum::<u64>();
    Ok(Duration::from_millis(busy * 1_000 / TICKS_PER_S))
}

/// CPU time of this thread so far.
pub fn cpu_of_this_thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of this process so far, of all its threads.
pub fn cpu_of_this_process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).expect("CPU time is not negative");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("below a second"))
}

/// A line of `/proc/*/status` in bytes: `VmRSS` (now) or `VmHWM` (the most so far).
pub fn memory_of(pid: u32, line: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let kib = found
        .with_context(|| format!("{line} of process {pid}"))?
        .trim()
        .trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? * 1_024)
}

/// Bytes that the files below a folder take on disk. A file that vanishes meanwhile counts nothing.
pub fn disk_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_of(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
