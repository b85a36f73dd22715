//! What the agent has to tell an operator: a stable code, how bad it is, and words that say what to do.
//!
//! Notices are values; the shell logs them. Must not hold labels or usage of tenants beyond what names the fault.

use std::fmt;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Someone should look.
    Warning,
    /// Something is not measured, or not shipped.
    Error,
}

/// One message for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How bad.
    pub level: Level,
    /// Stable name of the kind, for alerts and tests.
    pub code: &'static str,
    /// Words.
    pub text: String,
}

impl Notice {
    /// Worth knowing.
    pub(crate) fn info(code: &'static str, text: String) -> Self {
        let level = Level::Info;
        Self { level, code, text }
    }

    /// Someone should look.
    pub(crate) fn warning(code: &'static str, text: String) -> Self {
        let level = Level::Warning;
        Self { level, code, text }
    }

    /// Something is not measured, or not shipped.
    pub(crate) fn error(code: &'static str, text: String) -> Self {
        let level = Level::Error;
        Self { level, code, text }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}
