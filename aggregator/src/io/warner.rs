//! Lines about what strangers do, at most one for each cause in a while: a flood must not fill the journal too.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::WARNING_DISTANCE;

/// What was said when, by cause; causes are a closed list.
#[derive(Debug, Default)]
pub struct Warner(Mutex<BTreeMap<&'static str, Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl Warner {
    /// Whether to say it now; then with how many that were not said since the last time.
    pub fn may_say(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get_mut(cause) {
            Some(last) if now.duration_since(last.at) < WARNING_DISTANCE => {
                last.unsaid += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.unsaid))
            }
            None => {
                said.insert(cause, Said { at: now, unsaid: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_in_a_while_with_its_number() {
        let (warner, start) = (Warner::default(), Instant::now());
        assert_eq!(warner.may_say("a", start), Some(0));
        for _ in 0..500 {
            assert_eq!(warner.may_say("a", start), None);
        }
        assert_eq!(warner.may_say("b", start), Some(0), "another cause");
        assert_eq!(warner.may_say("a", start + WARNING_DISTANCE), Some(500));
        assert_eq!(warner.may_say("a", start + WARNING_DISTANCE * 2), Some(0));
    }
}
