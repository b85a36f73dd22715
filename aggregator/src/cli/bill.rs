//! `bill`: a tenant's bill so far, as text for a terminal or as JSON. The same draft that the API gives.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tallyman_aggregator_core::api::text::parse_period;
use tallyman_aggregator_core::api::usage::zone_of;
use tallyman_aggregator_core::bills::{BillError, Books, Viewer, draft, text};

use super::desk::Desk;
use super::print;
use crate::config::Config;

/// A bill that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Bill {
    /// Key of the tenant.
    tenant: String,
    /// Month (2026-01), day (2026-01-31) or UTC hour (2026-01-31T23:00:00Z); the running month without.
    #[arg(long)]
    period: Option<String>,
}

impl Bill {
    /// Prints it.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let answer = Desk::open(config)?.bill(self)?;
        let text = answer["text"].as_str().map_or_else(String::new, str::to_owned);
        print(as_json, &answer["bill"], &text)
    }

    /// Drafts it: the bill as data and as text.
    pub fn answer(&self, books: Books<'_>) -> Result<Value, BillError> {
        let zone = zone_of(books, &self.tenant)?;
        let calendar =
            |e: tallyman_aggregator_core::rating::calendar::CalendarError| BillError::Rating(e.to_string());
        let period = match &self.period {
            Some(name) => parse_period(name, &zone).map_err(BillError::Rating)?,
            None => {
                let month = zone.month_of(books.now.hour()).map_err(calendar)?;
                zone.month_hours(month).map_err(calendar)?
            }
        };
        let bill = draft(books, &self.tenant, period, Viewer::Operator)?;
        Ok(json!({"text": text::render(&bill), "bill": bill}))
    }
}
