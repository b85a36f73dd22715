//! Numbers: gapless in their series, taken at the very end, never given twice (docs/adr/0010-ledger-and-numbers.md).
//!
//! After a restore from a backup a series may have given numbers that the backup does not know. Every series then goes on
//! under a new generation, named by the instant of the restore, for a count could begin anew with the same backup.

use std::collections::BTreeMap;

use tallyman_common::time::WallMs;

use super::decide::Refusal;
use super::tables::{Series, get, keys};
use crate::ports::{Read, Table};
use crate::registry::Rejected;
use crate::registry::money::{DocumentKind, SeriesPlace};

/// Series that a command takes numbers of, as they stand after the numbers taken so far.
pub struct Numbers<'r> {
    read: &'r dyn Read,
    generation: &'r str,
    taken: BTreeMap<String, Series>,
}

impl<'r> Numbers<'r> {
    /// Nothing taken yet.
    pub fn new(read: &'r dyn Read, generation: &'r str) -> Self {
        let taken = BTreeMap::new();
        Self {
            read,
            generation,
            taken,
        }
    }

    /// The next number of a series.
    pub fn next(
        &mut self,
        prefix: &str,
        seller: &str,
        kind: DocumentKind,
    ) -> Result<(SeriesPlace, String), Refusal> {
        if !is_prefix(prefix) {
            return Err(Refusal::invalid(format!(
                "prefix `{prefix}`: 1 to 10 of A-Z and 0-9 are allowed"
            )));
        }
        let known = match self.taken.get(prefix) {
            Some(series) => Some(series.clone()),
            None => get(self.read, Table::MoneyIndex, &keys::series(prefix))?,
        };
        let mut series = known.unwrap_or(Series {
            seller: seller.to_owned(),
            kind,
            generation: self.generation.to_owned(),
            last: 0,
        });
        if series.seller != seller || series.kind != kind {
            let (other, what) = (&series.seller, series.kind.name());
            return Err(Rejected::NotNow(format!(
                "numbers that begin with `{prefix}` are for each {what} of seller `{other}`: choose another prefix"
            ))
            .into());
        }
        if series.generation != self.generation {
            (series.generation, series.last) = (self.generation.to_owned(), 0);
        }
        series.last += 1;
        let place = SeriesPlace {
            prefix: prefix.to_owned(),
            generation: series.generation.clone(),
            ordinal: series.last,
        };
        self.taken.insert(prefix.to_owned(), series);
        let number = number_text(&place);
        Ok((place, number))
    }
}

/// A number as it is printed: `INV-000001`, or `INV-R261204113000-000001` after a restore.
pub fn number_text(place: &SeriesPlace) -> String {
    let SeriesPlace {
        prefix,
        generation,
        ordinal,
    } = place;
    match generation.as_str() {
        "" => format!("{prefix}-{ordinal:06}"),
        generation => format!("{prefix}-{generation}-{ordinal:06}"),
    }
}

/// The generation of numbers given after the restore at an instant; empty if there was none.
pub fn generation(restored: Option<WallMs>) -> String {
    let Some(at) = restored else {
        return String::new();
    };
    let millis = i64::try_from(at.0).ok();
    let instant = millis.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    instant.map_or_else(
        || format!("R{}", at.0),
        |at| at.strftime("R%y%m%d%H%M%S").to_string(),
    )
}

/// What the numbers of notes begin with, by the kind and prefix of what they correct: `CN` for `INV`.
pub fn note_prefix(kind: DocumentKind, corrected: (DocumentKind, &str)) -> String {
    let own = match kind {
        DocumentKind::DebitNote => "DN",
        DocumentKind::Invoice | DocumentKind::CreditNote => "CN",
    };
    let name = match corrected {
        (DocumentKind::DebitNote, prefix) => prefix.strip_prefix("DN").unwrap_or(prefix),
        (_, prefix) => prefix,
    };
    match name {
        "" | "INV" => own.to_owned(),
        other => format!("{own}{other}"),
    }
}

fn is_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    (1..=10).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_expect() {
        let place = |generation: &str| SeriesPlace {
            prefix: "INV".to_owned(),
            generation: generation.to_owned(),
            ordinal: 42,
        };
        assert_eq!(number_text(&place("")), "INV-000042");
        let later = generation(Some(WallMs(1_796_383_800_000)));
        assert_eq!(number_text(&place(&later)), "INV-R261204113000-000042");
        assert_eq!(generation(None), "");
        use DocumentKind::{CreditNote, DebitNote, Invoice};
        assert_eq!(note_prefix(CreditNote, (Invoice, "INV")), "CN");
        assert_eq!(note_prefix(CreditNote, (DebitNote, "DN")), "CN");
        assert_eq!(note_prefix(CreditNote, (DebitNote, "DNACME")), "CNACME");
        assert_eq!(note_prefix(DebitNote, (Invoice, "DNS")), "DNDNS");
        // What the check of sellers' prefixes takes them for.
        for prefix in ["INV", "C", "CNC", "ACME"] {
            let notes = [CreditNote, DebitNote].map(|it| note_prefix(it, (Invoice, prefix)));
            assert_eq!(crate::registry::payers::series_of(prefix)[1..], notes);
        }
    }
}
