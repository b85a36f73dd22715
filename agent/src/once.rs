//! `once`: reads everything that would be metered, and prints it in the kernel's own units. No spool, no core agent:
//! a second view of the same files.
//!
//! A figure that this machine does not have is said to be absent; one that is there and can't be read is a failure.

/// Values of one file, in the kernel's units.
mod figures;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tallyman_agent_core::mapping::{Mapping, Subject};
use tallyman_agent_core::sources::identity::ContainerId;
use tallyman_agent_core::{Description, FileKind, ReadFault, SourceKind, Tree, Trees};
use tallyman_common::ids::Owner;

use crate::cli::{Outcome, say};
use crate::config::{Config, shown_rule};
use crate::io::discover::{Found, SOURCE_HOST, scan};
use crate::io::docker::Session;
use crate::io::files::{Buffer, Files};
use crate::io::host::{hardware, host_name};
use crate::io::netns::{Look, Namespaces};
use crate::meter::Machine;
use crate::run::machine;
use figures::{Figure, figures};

/// Everything, as printed.
#[derive(Debug, Serialize)]
struct Report {
    workloads: Vec<Seen>,
    /// What can't be read although it is configured.
    faults: Vec<String>,
}

/// One workload.
#[derive(Debug, Serialize)]
struct Seen {
    path: String,
    kind: &'static str,
    container: Option<String>,
    name: String,
    owner: String,
    /// What named the owner.
    because: String,
    figures: Vec<Figure>,
    /// What this machine does not count.
    absent: Vec<String>,
    #[serde(skip)]
    open: Opened,
}

#[derive(Debug)]
struct Opened {
    files: Files,
    kinds: Vec<FileKind>,
}

/// Reads once, or twice with `seconds` in between, and prints. Bad when a source can't be read.
pub fn once(config: &Config, as_json: bool, seconds: Option<u64>) -> Result<Outcome> {
    let machine = machine()?;
    let mut report = look(config, &machine);
    read(&mut report, &machine, None);
    if let Some(seconds) = seconds {
        std::thread::sleep(Duration::from_secs(seconds));
        read(&mut report, &machine, Some(seconds));
    }
    if as_json {
        say(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        say(&shown(&report)?)?;
    }
    Ok(if report.faults.is_empty() {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

fn look(config: &Config, machine: &Machine) -> Report {
    let found = scan(&machine.trees, &config.selection(), "/", &mut |_| {});
    let has_containers = found.iter().any(|f| f.container.is_some());
    let mut faults = Vec::new();
    let descriptions = match (&config.docker, has_containers) {
        (Some(socket), true) => describe(socket).unwrap_or_else(|fault| {
            faults.push(fault);
            BTreeMap::new()
        }),
        _ => BTreeMap::new(),
    };
    let namespaces = Namespaces::open(&machine.proc);
    let host = config.host.then(|| Seen {
        path: "/".to_owned(),
        kind: SOURCE_HOST,
        container: None,
        name: host_name(),
        owner: Owner::Host.to_string(),
        because: "host = true".to_owned(),
        figures: Vec::new(),
        absent: Vec::new(),
        open: Opened {
            files: Files::of_host(&machine.proc),
            kinds: vec![
                FileKind::ProcStat,
                FileKind::Meminfo,
                FileKind::Diskstats,
                FileKind::NetDev,
            ],
        },
    });
    let others = found.into_iter().map(|found| {
        let description = found.container.and_then(|id| descriptions.get(&id));
        seen(found, description, config, machine, &namespaces)
    });
    Report {
        workloads: host.into_iter().chain(others).collect(),
        faults,
    }
}

fn seen(
    found: Found,
    description: Option<&Description>,
    config: &Config,
    machine: &Machine,
    namespaces: &Namespaces,
) -> Seen {
    let last = found.path.rsplit('/').next();
    let name = description.map_or_else(|| last.unwrap_or(&found.path).to_owned(), |d| d.name.clone());
    let subject = Subject {
        path: &found.path,
        name: &name,
        labels: description.map(|d| (&d.labels, &d.image_labels)),
    };
    let (owner, because) = owner(&config.mapping, &subject);
    let mut files = Files::of_cgroup(&found.path);
    let mut kinds = kinds(machine.trees.trees());
    let mut absent = Vec::new();
    if found.container.is_some() {
        let folder = machine.trees.folder(&found.path);
        match folder.map(|folder| namespaces.look(&folder)) {
            Some(Look::Own { file, .. }) => {
                files.keep_net(Some(file));
                kinds.push(FileKind::NetDev);
            }
            Some(Look::Host) => absent.push("network: it is in the host's network".to_owned()),
            Some(Look::Denied) => absent.push("network: its namespace may not be looked at".to_owned()),
            Some(Look::Empty) | None => absent.push("network: no process".to_owned()),
        }
    }
    Seen {
        kind: match found.kind {
            SourceKind::Docker => "container",
            SourceKind::Cgroup => "cgroup",
            SourceKind::Host => SOURCE_HOST,
        },
        container: found.container.map(|id| id.to_string()),
        path: found.path,
        owner: owner.to_string(),
        because,
        name,
        figures: Vec::new(),
        absent,
        open: Opened { files, kinds },
    }
}

fn kinds(trees: Trees) -> Vec<FileKind> {
    let of = |tree: Option<Tree>, v1: &[FileKind], v2: &[FileKind]| match tree {
        Some(Tree::V1) => v1.to_vec(),
        Some(Tree::V2) => v2.to_vec(),
        None => Vec::new(),
    };
    [
        of(trees.cpu, &[FileKind::CpuacctUsage], &[FileKind::CpuStat]),
        of(
            trees.memory,
            &[FileKind::MemoryUsageInBytes, FileKind::MemoryStatV1],
            &[
                FileKind::MemoryCurrent,
                FileKind::MemorySwapCurrent,
                FileKind::MemoryStat,
            ],
        ),
        of(
            trees.io,
            &[FileKind::BlkioServiceBytes, FileKind::BlkioServiced],
            &[FileKind::IoStat],
        ),
    ]
    .concat()
}

/// The owner, and what named it.
fn owner(mapping: &Mapping, subject: &Subject<'_>) -> (Owner, String) {
    let (owner, warning) = mapping.owner_of(subject);
    let only = |label: &str, rules: &[tallyman_agent_core::mapping::Rule]| {
        let part = Mapping {
            label: label.to_owned(),
            rules: rules.to_vec(),
        };
        part.owner_of(subject).0 == owner
    };
    let because = if owner == Owner::Unattributed {
        "no label and no rule".to_owned()
    } else if only(&mapping.label, &[]) {
        format!("label {}", mapping.label)
    } else {
        let rule = mapping
            .rules
            .iter()
            .find(|rule| only("", std::slice::from_ref(rule)));
        rule.map_or_else(String::new, |rule| format!("rule {}", shown_rule(rule)))
    };
    let warning = warning.map_or_else(String::new, |warning| format!(" ({warning})"));
    (owner, format!("{because}{warning}"))
}

/// What Docker says of the containers that run.
fn describe(socket: &std::path::Path) -> Result<BTreeMap<ContainerId, Description>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let listed = runtime.block_on(async { Session::open(socket).await?.list().await });
    let listed = listed.map_err(|e| e.to_string())?;
    Ok(listed.into_iter().map(|d| (d.container, d)).collect())
}

/// Reads all files; with `after` the second time, for the difference.
fn read(report: &mut Report, machine: &Machine, after: Option<u64>) {
    let mut buffer = Buffer::default();
    let hardware = hardware(&machine.sys, &machine.proc);
    for seen in &mut report.workloads {
        for kind in seen.open.kinds.clone() {
            let path = seen
                .open
                .files
                .path_of(kind, &machine.trees)
                .unwrap_or_else(|| PathBuf::from(kind.to_string()));
            let values = match seen.open.files.read(kind, &machine.trees, &mut buffer) {
                Ok(bytes) => figures(kind, bytes, &hardware).map_err(|e| e.to_string()),
                Err(ReadFault::Absent) => {
                    if after.is_none() {
                        seen.absent
                            .push(format!("{kind}: this machine does not count it"));
                    }
                    continue;
                }
                // It ended while it was looked at.
                Err(ReadFault::Gone) => continue,
                Err(ReadFault::Failed) => Err("it can't be read".to_owned()),
            };
            match values {
                Ok(values) if values.is_empty() && is_silent(kind) => {
                    seen.absent
                        .push(format!("{kind}: counted only where a throttle rule exists"));
                }
                Ok(values) if after.is_some() => figures::compare(&mut seen.figures, values),
                Ok(values) => seen.figures.extend(values),
                Err(reason) => report.faults.push(format!("{}: {reason}", path.display())),
            }
        }
    }
}

/// v1 counters of block I/O, which most kernels leave at nothing.
fn is_silent(kind: FileKind) -> bool {
    matches!(kind, FileKind::BlkioServiceBytes | FileKind::BlkioServiced)
}

fn shown(report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for seen in &report.workloads {
        writeln!(text, "{} {}", seen.kind, seen.path)?;
        writeln!(text, "  name    {}", seen.name)?;
        writeln!(text, "  owner   {}  [{}]", seen.owner, seen.because)?;
        for figure in &seen.figures {
            let Figure {
                file,
                name,
                unit,
                value,
                change,
            } = figure;
            let change = change.map_or_else(String::new, |change| format!("  {change:+}"));
            writeln!(text, "  {file:<32} {name:<24} {value:>20} {unit}{change}")?;
        }
        for absent in &seen.absent {
            writeln!(text, "  absent  {absent}")?;
        }
    }
    for fault in &report.faults {
        writeln!(text, "unreadable  {fault}")?;
    }
    Ok(text)
}
