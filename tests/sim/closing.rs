//! Hours are closed while the world goes on: holes judged, hours sealed, with a short grace, so that usage comes late in
//! every run. A bill that is final is asked for again and again (I9).

use tallyman_aggregator_core::bills::{Books, Viewer, draft, standing};
use tallyman_aggregator_core::seal::Draft;
use tallyman_common::time::{HOUR_MS, Hour};

use super::world::{What, World};

/// How long after its end an hour is sealed.
pub(super) const GRACE_MS: u64 = 2 * HOUR_MS;
/// The month whose end every run sees: November 2025 in UTC.
const NOVEMBER: std::ops::Range<Hour> = Hour(489_432)..Hour(490_152);

impl World {
    /// An hour or less passes, then all is decided that is due.
    pub(super) fn close(&mut self) {
        if self.hub.process.is_some() {
            self.close_due(GRACE_MS);
        }
        let wait = self.rng.between(HOUR_MS / 4, HOUR_MS);
        self.plan(wait, What::Close);
    }

    /// Decides all that is due after a grace. A process that dies of a commit decides again when it is back.
    pub(super) fn close_due(&mut self, grace_ms: u64) {
        // What waits is answered first.
        self.hub_commit();
        while self.hub.process.is_some() {
            let now = self.wall();
            match self.hub.decide_next(now, grace_ms) {
                None if self.hub.process.is_none() => return self.hub_died(),
                None => break,
                Some(Draft::Hole(draft)) => {
                    let judgement = draft.judgement;
                    self.hit(if judgement.values > 0 {
                        "usage inferred"
                    } else {
                        "hole judged"
                    });
                    self.note(format!(
                        "hole before {} of {} judged: {} values, {} unresolved, {} contradictions",
                        judgement.seq,
                        judgement.spool,
                        judgement.values,
                        judgement.unresolved,
                        judgement.contradictions
                    ));
                }
                Some(Draft::Hour(_)) => self.hit("hour sealed"),
            }
        }
        if let Err(broken) = self.final_bills_stay() {
            self.fault.get_or_insert(broken);
        }
    }

    /// I9: what a final bill said it says for good, whatever came since.
    pub(super) fn final_bills_stay(&mut self) -> Result<(), String> {
        let Some(process) = self.hub.process.as_ref() else {
            return Ok(());
        };
        if !process.registry().seals.is_final(&NOVEMBER) {
            return Ok(());
        }
        let mut adjusted = false;
        for tenant in ["t0", "t1", "t2"] {
            let books = Books {
                store: &self.hub.store,
                registry: process.registry(),
                marks: process.marks(),
                position: process.position(),
                now: self.wall(),
            };
            let mut bill = draft(books, tenant, NOVEMBER, Viewer::Operator).map_err(|e| e.to_string())?;
            adjusted |= bill.adjustment.take().is_some();
            if bill.status != standing::FINAL {
                return Err(format!("I9: a sealed month's bill is `{}`", bill.status));
            }
            let text = serde_json::to_string(&bill).map_err(|e| e.to_string())?;
            let first = self.final_bills.entry(tenant).or_insert_with(|| text.clone());
            if *first != text {
                return Err(format!("I9: a final bill changed:\n{first}\n{text}"));
            }
        }
        self.hit(if adjusted {
            "final month adjusted"
        } else {
            "final month stands"
        });
        Ok(())
    }
}
