//! `import`: signed frames out of files, for hosts with no way out and for what was set aside. They go the way of all
//! batches: signature, duplicates, quarantine; done twice, it changes nothing and says so.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use tallyman_aggregator_core::aggregator::Answer;
use tallyman_common::export::{ExportError, ExportReader};
use tallyman_common::ids::{NodeId, Seq, SpoolId};
use tallyman_common::wire::Frame;

use super::desk::Desk;
use crate::config::Config;
use crate::limits::{IMPORT_BYTES_MAX, IMPORT_FRAMES_MAX};

/// Frames that were not counted and are named one by one; the rest is numbers.
const NAMED_MAX: usize = 20;

/// Take in files that `tallyman-agent spool export` wrote.
#[derive(Debug, Args)]
pub struct Import {
    /// The files, in any order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Which batch a frame says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchName {
    /// Whose.
    pub node: NodeId,
    /// In which spool.
    pub spool: SpoolId,
    /// Which number.
    pub seq: Seq,
}

impl BatchName {
    /// What the frame says; `None` for what is no frame.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let header = Frame::parse(frame).ok()?.header;
        let (node, spool, seq) = (header.node, header.spool, header.seq);
        Some(Self { node, spool, seq })
    }
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Which batch.
    pub name: Option<BatchName>,
    /// How it ended.
    pub fate: Fate,
    /// Why, when it was not counted.
    pub reason: String,
}

/// How a frame ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Counted now.
    New,
    /// It was there before.
    Known,
    /// Waits in quarantine.
    Held,
    /// Not taken.
    Refused,
}

impl Taken {
    /// Not taken, with the reason.
    pub fn refused(name: Option<BatchName>, reason: String) -> Self {
        let fate = Fate::Refused;
        Self { name, fate, reason }
    }

    /// What the aggregator answered.
    pub fn of(name: Option<BatchName>, answer: Answer) -> Self {
        use tallyman_common::message::Verdict;
        let (fate, reason) = match answer {
            Answer::Ack(ack) if ack.known => (Fate::Known, String::new()),
            Answer::Ack(_) => (Fate::New, String::new()),
            Answer::Nack(nack, _) => match nack.verdict {
                Verdict::Hold => (Fate::Held, nack.text),
                Verdict::Retry => (Fate::Refused, nack.text),
            },
            other => (Fate::Refused, format!("an answer that no batch gets: {other:?}")),
        };
        Self { name, fate, reason }
    }

    fn words(&self) -> String {
        let name = self.name.map_or_else(
            || "what is no frame".to_owned(),
            |n| format!("batch {} of spool {} of node {}", n.seq, n.spool, n.node),
        );
        let fate = if self.fate == Fate::Held {
            "held"
        } else {
            "refused"
        };
        format!("{name}: {fate}: {}", self.reason)
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Counted now.
    pub new: u64,
    /// There before.
    pub known: u64,
    /// In quarantine.
    pub held: u64,
    /// Not taken.
    pub refused: u64,
    /// Held and refused ones by name, the first few, in words.
    pub not_counted: Vec<String>,
    /// What is wrong with the file itself; what stands before that place was taken in.
    pub damage: Option<String>,
}

impl Report {
    fn add(&mut self, taken: &Taken) {
        match taken.fate {
            Fate::New => self.new += 1,
            Fate::Known => self.known += 1,
            Fate::Held => self.held += 1,
            Fate::Refused => self.refused += 1,
        }
        let is_named = matches!(taken.fate, Fate::Held | Fate::Refused);
        if is_named && self.not_counted.len() < NAMED_MAX {
            self.not_counted.push(taken.words());
        }
    }

    fn text(&self, file: &Path) -> String {
        let mut text = format!(
            "{}: {} new, {} there already, {} held, {} refused\n",
            file.display(),
            self.new,
            self.known,
            self.held,
            self.refused
        );
        for line in self.not_counted.iter().chain(&self.damage) {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }

    fn is_good(&self) -> bool {
        self.refused == 0 && self.held == 0 && self.damage.is_none()
    }
}

impl Import {
    /// Takes the files in, one after the other. An error when something was not counted.
    pub fn run(&self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        let mut all_good = true;
        for file in &self.files {
            let report = take_file(&mut desk, file)?;
            let value = serde_json::json!({ "file": file, "report": report });
            super::print(as_json, &value, &report.text(file))?;
            all_good &= report.is_good();
        }
        if all_good {
            Ok(())
        } else {
            bail!("not everything was counted: see above; `quarantine list` shows what is held")
        }
    }
}

fn take_file(desk: &mut Desk, file: &Path) -> anyhow::Result<Report> {
    let named = || file.display().to_string();
    let opened = File::open(file).with_context(named)?;
    let mut reader = ExportReader::begin(BufReader::new(opened)).with_context(named)?;
    let mut report = Report::default();
    loop {
        let (frames, ended) = next_group(&mut reader);
        if !frames.is_empty() {
            let taken = desk.import(frames)?;
            taken.iter().for_each(|t| report.add(t));
        }
        match ended {
            None => eprintln!("{}: {} frames read", named(), report.new + report.known),
            Some(Ok(())) => return Ok(report),
            Some(Err(error)) => {
                report.damage = Some(error.to_string());
                return Ok(report);
            }
        }
    }
}

/// Frames for one commit; and, behind the last, whether the file ended as it should.
fn next_group<R: std::io::Read>(
    reader: &mut ExportReader<R>,
) -> (Vec<Vec<u8>>, Option<Result<(), ExportError>>) {
    let (mut frames, mut bytes) = (Vec::new(), 0u64);
    while frames.len() < IMPORT_FRAMES_MAX && bytes < IMPORT_BYTES_MAX / 2 {
        match reader.frame() {
            Ok(Some(frame)) => {
                bytes += frame.len() as u64;
                frames.push(frame);
            }
            Ok(None) => return (frames, Some(Ok(()))),
            Err(error) => return (frames, Some(Err(error))),
        }
    }
    (frames, None)
}
