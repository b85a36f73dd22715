//! Figures with their targets. A missed target is printed as missed; nothing is asserted.

use std::fmt;

use serde::Serialize;

/// What a figure shall reach.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// One figure.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<bool>,
}

/// The figures of one measurement.
#[derive(Debug, Serialize)]
pub struct Report {
    name: &'static str,
    figures: Vec<Figure>,
    notes: Vec<String>,
}

impl Report {
    /// Without figures yet.
    pub fn new(name: &'static str) -> Self {
        let (figures, notes) = (Vec::new(), Vec::new());
        Self { name, figures, notes }
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: &str, value: f64, unit: &'static str) {
        let name = name.to_owned();
        self.figures.push(Figure {
            name,
            value,
            unit,
            target: None,
            reached: None,
        });
    }

    /// Adds a figure that has a target.
    pub fn judged(&mut self, name: &str, value: f64, unit: &'static str, target: Target) {
        let reached = match target {
            Target::AtLeast(least) => value >= least,
            Target::AtMost(most) => value <= most,
        };
        let name = name.to_owned();
        self.figures.push(Figure {
            name,
            value,
            unit,
            target: Some(target),
            reached: Some(reached),
        });
    }

    /// Adds words that a reader needs.
    pub fn note(&mut self, words: impl Into<String>) {
        self.notes.push(words.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Figure {
            name,
            value,
            unit,
            target,
            reached,
        } in &self.figures
        {
            write!(f, "{name:<58} {:>12} {unit}", number(*value))?;
            if let (Some(target), Some(reached)) = (target, reached) {
                let (sign, bound) = match target {
                    Target::AtLeast(least) => ("≥", least),
                    Target::AtMost(most) => ("≤", most),
                };
                let word = if *reached { "reached" } else { "MISSED" };
                write!(f, "   target {sign} {}: {word}", number(*bound))?;
            }
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// Three digits where there are few, none where there are many.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.6}"),
    }
}
