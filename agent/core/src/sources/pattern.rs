//! Patterns that select cgroups and map paths and names to owners.
//!
//! A pattern is a path of components: `*` stands for any bytes within one component, `**` alone in a component for
//! any number of components, none included; all else is meant as it stands. So `/tenants.slice/**` is that slice and
//! all below it, `/tenants.slice/*` what is directly in it. A name without slashes is a path of one component.
//! Matching is bounded by the product of the lengths of pattern and path.

use std::fmt;

use thiserror::Error;

/// The longest pattern; a cgroup path is at most 4,096 bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// A checked pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`
    AnyDepth,
    /// One component, in which a byte `*` stands for any bytes.
    Component(Vec<u8>),
}

/// Why a pattern was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Nothing to match.
    #[error("the pattern is empty")]
    Empty,
    /// Longer than any pattern needs to be.
    #[error("the pattern has {bytes} bytes; at most {PATTERN_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// `?`, `[`, `]`, `{` and `}` mean more than themselves in other pattern languages; none does here.
    #[error("`{found}` at byte {at} is not supported; only `*` and `**` stand for something else")]
    Unsupported {
        /// The character.
        found: char,
        /// Bytes before it.
        at: usize,
    },
    /// `a**` could be read in two ways.
    #[error("`**` must be a whole component, as in `/a/**/b`")]
    AnyDepthInsideComponent,
}

impl Pattern {
    /// Checks a pattern. Slashes at the start and end mean nothing.
    pub fn parse(source: &str) -> Result<Pattern, PatternError> {
        if source.is_empty() {
            return Err(PatternError::Empty);
        }
        if source.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { bytes: source.len() });
        }
        if let Some((at, found)) = source.char_indices().find(|(_, found)| "?[]{}".contains(*found)) {
            return Err(PatternError::Unsupported { found, at });
        }
        let mut parts = Vec::new();
        for component in components(source.as_bytes()) {
            let part = match component {
                b"**" => Part::AnyDepth,
                _ if component.windows(2).any(|pair| pair == b"**") => {
                    return Err(PatternError::AnyDepthInsideComponent);
                }
                _ => Part::Component(component.to_vec()),
            };
            parts.push(part);
        }
        Ok(Pattern {
            source: source.to_string(),
            parts,
        })
    }

    /// Whether a path, or a name, is meant.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut remaining = components(path);
        let mut parts = &self.parts[..];
        // On a mismatch only the last `**` is given one component more: what an earlier one could take, it can too.
        let mut retry: Option<(&[Part], Components<'_>)> = None;
        loop {
            let mut ahead = remaining.clone();
            match (parts.split_first(), ahead.next()) {
                (None, None) => return true,
                (Some((Part::AnyDepth, rest)), _) => {
                    parts = rest;
                    retry = Some((rest, remaining.clone()));
                    continue;
                }
                (Some((Part::Component(pattern), rest)), Some(component)) if wildcard(pattern, component) => {
                    parts = rest;
                    remaining = ahead;
                    continue;
                }
                _ => {}
            }
            let Some((behind_any_depth, from)) = retry.as_mut() else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            parts = behind_any_depth;
            remaining = from.clone();
        }
    }

    /// The leading components that stand for themselves, as a path: where a search for matches can start.
    pub fn fixed_prefix(&self) -> Vec<u8> {
        let fixed = self.parts.iter().map_while(|part| match part {
            Part::Component(component) if !component.contains(&b'*') => Some(component),
            _ => None,
        });
        fixed.fold(Vec::new(), |mut path, component| {
            path.push(b'/');
            path.extend_from_slice(component);
            path
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.source)
    }
}

/// The components of a path; empty ones do not count.
#[derive(Clone)]
struct Components<'a> {
    rest: &'a [u8],
}

fn components(path: &[u8]) -> Components<'_> {
    Components { rest: path }
}

impl<'a> Iterator for Components<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let from = self.rest.iter().position(|byte| *byte != b'/')?;
        let path = &self.rest[from..];
        let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
        self.rest = &path[end..];
        Some(&path[..end])
    }
}

/// Whether a component matches a pattern in which `*` stands for any bytes. As above, only the last `*` is retried.
fn wildcard(pattern: &[u8], component: &[u8]) -> bool {
    let (mut p, mut c) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while c < component.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, c));
        } else if pattern.get(p) == Some(&component[c]) {
            p += 1;
            c += 1;
        } else if let Some((behind_star, taken)) = retry {
            p = behind_star;
            c = taken + 1;
            retry = Some((behind_star, c));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        let check = |pattern: &str, path: &str, expected: bool| {
            let found = Pattern::parse(pattern).unwrap().matches(path.as_bytes());
            assert_eq!(found, expected, "{pattern} on {path}");
        };
        check("/a.slice", "/a.slice", true);
        check("a.slice/", "/a.slice", true);
        check("/a.slice", "/a.slice/b", false);
        check("/a.slice", "/x/a.slice", false);
        check("/a.slice/*", "/a.slice/b", true);
        check("/a.slice/*", "/a.slice", false);
        check("/a.slice/*", "/a.slice/b/c", false);
        check("/tenant-*.slice", "/tenant-a.slice", true);
        check("/tenant-*.slice", "/tenant-.slice", true);
        check("/tenant-*.slice", "/tenant-a.slice.x", false);
        check("/tenant-*-*.slice", "/tenant-a-b-c.slice", true);
        check("/*a*b", "/xaxbab", true);
        check("/*a*b", "/xaxbac", false);
        check("/a/**", "/a", true);
        check("/a/**", "/a/b/c", true);
        check("/a/**", "/ab", false);
        check("**", "/", true);
        check("**", "/a/b", true);
        check("/**/x.scope", "/x.scope", true);
        check("/**/x.scope", "/a/b/x.scope", true);
        check("/**/x.scope", "/a/b/x.scope/c", false);
        check("/a/**/b/**/c", "/a/b/b/x/c", true);
        check("/a/**/b/**/c", "/a/x/b/c/c/d", false);
        check("/a/**/b/*", "/a/b/b/b/x", true);
        check("web-*", "web-1", true);
        check("web-*", "db-1", false);
        check("/", "/", true);
        check("/", "/a", false);
        check("/sys-\\x2d.slice", "/sys-\\x2d.slice", true);
        check("/租户-*", "/租户-甲", true);
    }

    #[test]
    fn refused_patterns() {
        let check = |pattern: &str, expected: &str| {
            let shown = Pattern::parse(pattern).map_err(|error| error.to_string());
            assert_eq!(shown, Err(expected.to_string()), "{pattern}");
        };
        check("", "the pattern is empty");
        check(
            "/a/[ab]",
            "`[` at byte 3 is not supported; only `*` and `**` stand for something else",
        );
        check(
            "/a?",
            "`?` at byte 2 is not supported; only `*` and `**` stand for something else",
        );
        check("/a**", "`**` must be a whole component, as in `/a/**/b`");
        check("/***", "`**` must be a whole component, as in `/a/**/b`");
        check(
            &"x".repeat(1_025),
            "the pattern has 1025 bytes; at most 1024 are allowed",
        );
    }

    #[test]
    fn the_worst_patterns_stay_cheap() {
        let pattern = Pattern::parse(&"/**/*a*a".repeat(128)).unwrap();
        assert!(!pattern.matches("/aaaab".repeat(680).as_bytes()));
        let stars = Pattern::parse(&format!("{}b", "*a".repeat(511))).unwrap();
        assert!(!stars.matches("a".repeat(4_096).as_bytes()));
    }

    #[test]
    fn the_fixed_prefix_is_where_a_search_starts() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(
                Pattern::parse(pattern).unwrap().fixed_prefix(),
                expected.as_bytes(),
                "{pattern}"
            );
        };
        check("/a/b/*", "/a/b");
        check("/a/b", "/a/b");
        check("/a*/b", "");
        check("**", "");
    }
}
