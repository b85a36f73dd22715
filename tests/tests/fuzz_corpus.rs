//! The fuzzers' corpus as a plain test: whatever once was interesting, or broke something, is read again with each run.

use std::path::{Path, PathBuf};

/// What is fed.
#[path = "../fuzz/bodies.rs"]
mod bodies;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn every_target_reads_its_corpus() {
    for (name, body) in bodies::TARGETS {
        let corpus = folder().join("corpus").join(name);
        let entries = std::fs::read_dir(&corpus).unwrap_or_else(|e| panic!("{}: {e}", corpus.display()));
        let mut read = 0;
        for entry in entries {
            let path = entry.expect("a folder of files").path();
            let bytes = std::fs::read(&path).expect("listed, so there");
            let told = std::panic::catch_unwind(|| body(&bytes));
            assert!(told.is_ok(), "{name} breaks over {}", path.display());
            read += 1;
        }
        assert!(read > 0, "{} is empty", corpus.display());
        let source = folder().join("fuzz_targets").join(format!("{name}.rs"));
        assert!(source.exists(), "{} is missing", source.display());
    }
}
