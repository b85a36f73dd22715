//! The rules of this repository that no compiler holds: size and opening of files, words that must not be there,
//! who may import whom, and documents that name only what exists.
//!
//! A rule that is not here is a wish. Exceptions stand in one list each, with their reason. Must not know what the
//! programs do.

// The repository's files, read once per test.
#[path = "tidy/files.rs"]
mod files;
// Openings, sizes, banned words, floats and clamps.
#[path = "tidy/style.rs"]
mod style;
// Stages and packages: who may know whom.
#[path = "tidy/stages.rs"]
mod stages;
// Documents against the tree.
#[path = "tidy/documents.rs"]
mod documents;

/// Fails with all findings, one a line.
fn require_none(rule: &str, findings: Vec<String>) {
    assert!(
        findings.is_empty(),
        "{rule}: {} findings\n{}\n",
        findings.len(),
        findings.join("\n")
    );
}
