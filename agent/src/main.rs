//! `tallyman-agent`: reads the command line, sets logging up, and ends with a status.
//!
//! A panic anywhere ends the process: it comes back from what is durable.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tallyman_agent::cli::{Cli, Outcome};
use tallyman_agent::config::LogLevel;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let outcome = Cli::parse().execute(|level| {
        log_at(level);
        abort_on_panic();
    });
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(2),
        Err(error) => {
            eprintln!("tallyman-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// To the journal when the service manager connects us to it, else to the terminal or file that standard error is.
fn log_at(level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries speak up only when something is wrong with them.
    let ours = ["tallyman_agent", "tallyman_agent_core"].map(|target| (target, filter));
    let filter = Targets::new()
        .with_default(filter.min(LevelFilter::WARN))
        .with_targets(ours);
    let registry = tracing_subscriber::registry().with(filter);
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    match journal {
        Some(journal) => registry.with(journal).init(),
        None => {
            let colours = std::io::stderr().is_terminal();
            let text = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(colours)
                .with_target(false);
            registry.with(text).init();
        }
    }
}

fn abort_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}
