//! `bench [--quick] [ingest|agent|docker…]`: the figures of docs/BENCH.md on this machine.

use std::process::ExitCode;

#[path = "../../benches/mod.rs"]
mod benches;

/// As in the aggregator, of which parts are measured in this program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match benches::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
