//! `tallyman-aggregator`: reads the command line and the environment, sets logging up, and ends with a status.
//!
//! A panic anywhere ends the process: it comes back from what is durable.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tallyman_aggregator::cli::Cli;
use tallyman_aggregator::run;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Records are allocated on the network's threads and freed on the writer's; the C library's allocator spends a fifth of
/// all CPU time on that (docs/BENCH.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = Cli::parse().run(|config| {
        log_to(&config.log);
        abort_on_panic();
        run::run(&config)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tallyman-aggregator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// To the journal when the service manager connects us to it, else to the terminal or file that standard error is.
fn log_to(filter: &str) {
    let filter = EnvFilter::new(filter);
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
