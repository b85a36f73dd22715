//! `resend` and `spool export`: which batches a person means, and what becomes of them. Frames are never changed here.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tallyman_agent_core::BatchRange;
use tallyman_agent_core::spool::{self, ListedFrame};
use tallyman_common::export::ExportWriter;
use tallyman_common::ids::{Seq, SpoolId};
use tallyman_common::time::WallMs;

use crate::cli::{Outcome, say};
use crate::config::Config;
use crate::control::{Progress, order_resend};
use crate::inspect::open;

/// How often progress is asked for.
const LOOK: Duration = Duration::from_millis(200);
/// Looks between two lines of progress.
const LOOKS_A_LINE: u32 = 10;

/// Which batches; without a choice all that are here.
#[derive(Debug, Args)]
pub struct Chosen {
    /// Windows that end after this: 2026-11-01, 2026-11-01T08:00Z (UTC unless an offset says otherwise).
    #[arg(long, value_name = "TIME", conflicts_with = "seq")]
    from: Option<Instant>,
    /// Windows that begin before this.
    #[arg(long, value_name = "TIME", conflicts_with = "seq")]
    to: Option<Instant>,
    /// Batches by number, both ends included: 20..35, or 20.
    #[arg(long, value_name = "A..B")]
    seq: Option<Numbers>,
    /// Only batches of this spool; with --seq the newest by default.
    #[arg(long, value_name = "ID")]
    spool: Option<SpoolId>,
}

/// An instant of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instant(WallMs);

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = |e: jiff::Error| format!("`{text}` is no time such as 2026-11-01T08:00Z: {e}");
        let at = match text.parse::<jiff::Timestamp>() {
            Ok(at) => at,
            Err(_) => {
                let civil: DateTime = text.trim_end_matches('Z').parse().map_err(fault)?;
                civil.to_zoned(TimeZone::UTC).map_err(fault)?.timestamp()
            }
        };
        let ms = u64::try_from(at.as_millisecond()).map_err(|_| format!("`{text}` lies before 1970"))?;
        Ok(Self(WallMs(ms)))
    }
}

/// Numbers of a command line, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    first: Seq,
    last: Seq,
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number = |part: &str| {
            let parsed = part.trim_start_matches('=').parse::<Seq>();
            parsed.map_err(|_| format!("`{text}` is not a range of batches such as 20..35"))
        };
        let numbers = Self {
            first: number(first)?,
            last: number(last)?,
        };
        if numbers.first == 0 || numbers.first > numbers.last {
            return Err(format!(
                "`{text}` names no batch: they are numbered from 1 on, rising"
            ));
        }
        Ok(numbers)
    }
}

impl Chosen {
    fn holds(&self, frame: &ListedFrame, newest: SpoolId) -> bool {
        let spool = self.spool.or(self.seq.map(|_| newest));
        spool.is_none_or(|s| s == frame.spool)
            && self.seq.is_none_or(|n| (n.first..=n.last).contains(&frame.seq))
            && self.from.is_none_or(|from| frame.window.wall_end > from.0)
            && self.to.is_none_or(|to| frame.window.wall_start < to.0)
    }

    /// The batches that are meant and here, oldest first. An error when there are none.
    fn find(&self, config: &Config) -> Result<Vec<ListedFrame>> {
        let all = match open(&config.spool())? {
            Some(mut disk) => spool::list(&mut disk)?,
            None => Vec::new(),
        };
        let (Some(oldest), Some(newest)) = (all.first(), all.last()) else {
            bail!("{} holds no batch", config.spool().display());
        };
        let here = format!(
            "{} holds {} batches, of windows from {} to {}, the newest batch {} of spool {}",
            config.spool().display(),
            all.len(),
            instant(oldest.window.wall_start),
            instant(newest.window.wall_end),
            newest.seq,
            newest.spool
        );
        let newest = newest.spool;
        let found: Vec<_> = all.into_iter().filter(|f| self.holds(f, newest)).collect();
        if found.is_empty() {
            bail!("no batch is meant: {here}");
        }
        Ok(found)
    }
}

fn instant(at: WallMs) -> String {
    let ms = i64::try_from(at.0).ok();
    ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{} ms", at.0), |t| t.to_string())
}

/// Neighbouring numbers as ranges.
fn ranges(frames: &[ListedFrame]) -> Vec<BatchRange> {
    let mut ranges: Vec<BatchRange> = Vec::new();
    for frame in frames {
        match ranges.last_mut() {
            Some(last) if last.spool == frame.spool && last.last + 1 == frame.seq => last.last = frame.seq,
            _ => ranges.push(BatchRange {
                spool: frame.spool,
                first: frame.seq,
                last: frame.seq,
            }),
        }
    }
    ranges
}

fn describe(frames: &[ListedFrame]) -> String {
    let bytes: u64 = frames.iter().map(|f| f.bytes).sum();
    let mut text = String::new();
    if let (Some(first), Some(last)) = (frames.first(), frames.last()) {
        text = format!(
            "{} batches, {bytes} bytes, windows from {} to {}\n",
            frames.len(),
            instant(first.window.wall_start),
            instant(last.window.wall_end)
        );
    }
    for range in ranges(frames) {
        let _ = writeln!(text, "  {}..{} of spool {}", range.first, range.last, range.spool);
    }
    text
}

/// Sends batches again through the running agent, and waits until each has its answer. Bad when not all were taken.
pub fn resend(config: &Config, chosen: &Chosen, dry_run: bool) -> Result<Outcome> {
    let found = chosen.find(config)?;
    say(&describe(&found))?;
    if dry_run {
        say("nothing is sent: --dry-run\n")?;
        return Ok(Outcome::Good);
    }
    let mut progress = order_resend(&config.state, ranges(&found))?;
    for look in 1u32.. {
        if progress.resend.left == 0 {
            break;
        }
        std::thread::sleep(LOOK);
        progress = order_resend(&config.state, Vec::new())?;
        if look.is_multiple_of(LOOKS_A_LINE) && progress.resend.left > 0 {
            say(&line_of(progress))?;
        }
    }
    let resend = progress.resend;
    say(&format!(
        "{} sent again: {} were there already, {} are new there, {} wait there for a decision, {} were deleted here meanwhile\n",
        resend.asked, resend.known, resend.new, resend.held, resend.gone
    ))?;
    if resend.asked == 0 {
        say("they are not acknowledged yet, and are sent anyway\n")?;
    }
    let all_taken = resend.held == 0 && resend.gone == 0;
    Ok(if all_taken { Outcome::Good } else { Outcome::Bad })
}

fn line_of(progress: Progress) -> String {
    let Progress { resend, connected } = progress;
    let wait = if connected {
        ""
    } else {
        "; waiting for the aggregator (the agent goes on by itself, this command may be ended)"
    };
    format!("  {} of {} to go{wait}\n", resend.left, resend.asked)
}

/// Copies batches into a new file, synced.
pub fn export(config: &Config, file: &Path, chosen: &Chosen) -> Result<Outcome> {
    let found = chosen.find(config)?;
    let mut disk = open(&config.spool())?.context("the spool is gone")?;
    let target = File::create_new(file).with_context(|| format!("{}", file.display()))?;
    let named = || format!("{}", file.display());
    let mut writer = ExportWriter::begin(BufWriter::new(target)).with_context(named)?;
    let mut written = 0u64;
    for frame in &found {
        match spool::frame_of(frame, &mut disk) {
            Some(bytes) => {
                writer.frame(&bytes).with_context(named)?;
                written += 1;
            }
            // Acknowledged and deleted between the list and here.
            None => say(&format!("batch {} of spool {} is gone\n", frame.seq, frame.spool))?,
        }
    }
    let mut target = writer.end().with_context(named)?;
    target.flush().with_context(named)?;
    target.get_ref().sync_all().with_context(named)?;
    say(&describe(&found))?;
    say(&format!(
        "{written} written to {}; on the aggregator's machine: tallyman-aggregator import {}\n",
        file.display(),
        file.display()
    ))?;
    let all = written == found.len() as u64;
    Ok(if all { Outcome::Good } else { Outcome::Bad })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_read_or_refused_with_words() {
        let at = |text: &str| text.parse::<Instant>().map(|at| at.0.0);
        assert_eq!(at("2026-11-01"), Ok(1_793_491_200_000));
        assert_eq!(at("2026-11-01T00:00Z"), at("2026-11-01"));
        assert_eq!(at("2026-11-01T08:00:00+08:00"), at("2026-11-01"));
        assert!(at("yesterday").unwrap_err().contains("2026-11-01T08:00Z"));
        let numbers = |text: &str| text.parse::<Numbers>().map(|n| (n.first, n.last));
        assert_eq!(numbers("20..35"), Ok((20, 35)));
        assert_eq!(numbers("20"), Ok((20, 20)));
        assert!(numbers("35..20").is_err() && numbers("0..3").is_err() && numbers("a..b").is_err());
    }
}
