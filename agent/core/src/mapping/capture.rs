//! Patterns that also say what their `*`s took, for rules like "the slice's name is the tenant".
//!
//! `*` stands for any bytes within one component of a path, `**` alone in a component for any number of components.
//! Each `*` takes as little as it can. Must not know what is named by what was taken.

/// What the `*`s of `pattern` took in `path`, in order; `None` when it does not match.
pub(super) fn captures<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let parts: Vec<&str> = components(pattern).collect();
    let steps: Vec<&str> = components(path).collect();
    let mut taken = Vec::new();
    walk(&parts, &steps, &mut taken).then_some(taken)
}

/// How many placeholders a pattern can fill.
pub(super) fn stars(pattern: &str) -> usize {
    components(pattern)
        .filter(|part| *part != "**")
        .map(|part| part.matches('*').count())
        .sum()
}

/// How many `**` a pattern has; each multiplies the work of a match by the path's depth.
pub(super) fn any_depths(pattern: &str) -> usize {
    components(pattern).filter(|part| *part == "**").count()
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

fn walk<'a>(parts: &[&str], steps: &[&'a str], taken: &mut Vec<&'a str>) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return steps.is_empty();
    };
    let before = taken.len();
    if *part == "**" {
        return (0..=steps.len()).any(|skipped| {
            taken.truncate(before);
            walk(rest, &steps[skipped..], taken)
        });
    }
    let Some((step, ahead)) = steps.split_first() else {
        return false;
    };
    component(part, step, taken) && walk(rest, ahead, taken)
}

/// One component. On a mismatch only the last `*` is given one byte more: what an earlier one could take, it can too.
fn component<'a>(pattern: &str, text: &'a str, taken: &mut Vec<&'a str>) -> bool {
    let (pattern, bytes) = (pattern.as_bytes(), text.as_bytes());
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let (mut p, mut t, mut behind_star) = (0, 0, None);
    while t < bytes.len() || p < pattern.len() {
        if pattern.get(p) == Some(&b'*') {
            ranges.push((t, t));
            p += 1;
            behind_star = Some(p);
        } else if t < bytes.len() && pattern.get(p) == bytes.get(t) {
            (p, t) = (p + 1, t + 1);
        } else {
            let (Some(again), Some(last)) = (behind_star, ranges.last_mut()) else {
                return false;
            };
            if last.1 == bytes.len() {
                return false;
            }
            last.1 += 1;
            (p, t) = (again, last.1);
        }
    }
    // A `*` ends where the pattern or the text goes on with the same byte, which is never inside a character.
    let pieces: Option<Vec<&str>> = ranges.iter().map(|(from, to)| text.get(*from..*to)).collect();
    match pieces {
        Some(pieces) => {
            taken.extend(pieces);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_say_what_they_took() {
        let table = [
            (
                "/tenants.slice/tenant-*.slice",
                "/tenants.slice/tenant-acme.slice",
                Some(vec!["acme"]),
            ),
            ("/tenants.slice/tenant-*.slice", "/tenants.slice/acme.slice", None),
            ("/tenants.slice/*", "/tenants.slice/a/b", None),
            ("/**/t-*.slice/**", "/x/y/t-1.slice/z", Some(vec!["1"])),
            ("/**/t-*.slice/**", "/t-1.slice", Some(vec!["1"])),
            ("*-*", "a-b-c", Some(vec!["a", "b-c"])),
            ("web-*", "web-", Some(vec![""])),
            ("华东-*", "华东-存储", Some(vec!["存储"])),
            ("*", "x/y", None),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(captures(pattern, path), expected, "{pattern} on {path}");
        }
        assert_eq!((stars("/**/a*b*"), any_depths("/**/a*b*")), (2, 1));
    }

    #[test]
    fn a_hostile_name_costs_little() {
        let name = "a".repeat(4_000);
        assert_eq!(captures("*a*a*a*a*a*a*a*b", &name), None);
    }
}
