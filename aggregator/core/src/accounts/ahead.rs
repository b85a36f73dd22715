//! Fees of a month that the month before was billed, in advance: read back from its invoice.
//!
//! Invariant: I7, a fee is paid once, under whichever terms. It must not know who asks.

use std::collections::BTreeMap;

use tallyman_common::money::Money;

use super::document::{Kind, SectionKind};
use super::draft::{DraftError, document_id, rating};
use super::reads::document;
use super::sections::fee_note_prefix;
use crate::bills::Books;
use crate::rating::policy::Titles;
use crate::rating::statement::BilledAhead;
use crate::rating::{ItemKey, Month};

/// By plan, what the invoice of the month before has of this month. A void one has nothing: it was given back whole.
pub(super) fn billed_ahead(
    books: Books<'_>,
    (account, currency): (&str, &str),
    month: Month,
) -> Result<Vec<BilledAhead>, DraftError> {
    let before = month.previous().map_err(rating)?;
    let id = document_id(account, before, Kind::Invoice);
    let Some((document, record)) = document(books.store, &id)? else {
        return Ok(Vec::new());
    };
    if record.voided.is_some() || document.currency != currency {
        return Ok(Vec::new());
    }
    let note = fee_note_prefix(month);
    let fees = document
        .sections
        .iter()
        .filter(|it| it.kind == SectionKind::Subscription);
    let mut found: BTreeMap<ItemKey, BilledAhead> = BTreeMap::new();
    for line in fees.flat_map(|it| &it.lines) {
        if !line.note.as_ref().is_some_and(|it| it.starts_with(&note)) {
            continue;
        }
        let plan = ItemKey::parse(&line.item).map_err(rating)?;
        let fee = Money::parse(&format!("{} {currency}", line.amount)).map_err(rating)?;
        let known = found.remove(&plan).map(|it| it.fee);
        let fee = known.map_or(Ok(fee), |it| it.checked_add(fee)).map_err(rating)?;
        let ahead = BilledAhead {
            plan: plan.clone(),
            titles: Titles {
                own: line.title.clone(),
                by_language: BTreeMap::new(),
            },
            tax_class: line.tax_class.clone(),
            fee,
        };
        found.insert(plan, ahead);
    }
    Ok(found.into_values().collect())
}
