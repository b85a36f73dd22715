//! The repository's files as git sees them, and cuts through Rust text that need no parser.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file of the repository.
pub struct TextFile {
    /// From the root, with `/`.
    pub path: String,
    pub text: String,
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Paths of all files that git knows or would add, sorted.
pub fn paths() -> Vec<String> {
    let output = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let mut paths: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    paths.retain(|path| root().join(path).is_file());
    paths.sort();
    paths.dedup();
    assert!(paths.len() > 100, "only {} files", paths.len());
    paths
}

/// All text files whose path passes.
pub fn texts(wanted: impl Fn(&str) -> bool) -> Vec<TextFile> {
    let read = |path: String| {
        let bytes = std::fs::read(root().join(&path)).expect("listed, so there");
        String::from_utf8(bytes).ok().map(|text| TextFile { path, text })
    };
    paths()
        .into_iter()
        .filter(|path| wanted(path))
        .filter_map(read)
        .collect()
}

/// All Rust files.
pub fn rust() -> Vec<TextFile> {
    texts(|path| path.ends_with(".rs"))
}

impl TextFile {
    /// True when all of the file is test code.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        self.path
            .split('/')
            .any(|part| part == "tests" || part == "benches")
            || name.ends_with("tests.rs")
            || name == "testing.rs"
    }

    /// The lines before the unit tests, with their numbers from 1 on; none of a file that is test code.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = if self.is_test() {
            Vec::new()
        } else {
            self.text.lines().collect()
        };
        let end = lines
            .iter()
            .position(|line| line.starts_with("#[cfg(test)]"))
            .unwrap_or(lines.len());
        (1..).zip(lines.into_iter().take(end))
    }

    /// The lines of tests, with their numbers from 1 on.
    pub fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let skipped = self.code().count();
        (1..).zip(self.text.lines()).skip(skipped)
    }
}

/// True for a line that holds nothing but a comment.
pub fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// True when `word` occurs with no letter, digit or underscore beside it.
pub fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(inside)
            && !line[at + word.len()..].chars().next().is_some_and(inside)
    })
}
