//! Documents are made void now and then; their months are billed again by the run of `billing`, which asks for exactly that.

use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::aggregator::Answer;
use tallyman_aggregator_core::registry::Rejected;

use super::documents::living;
use super::world::World;

impl World {
    /// Makes an invoice or debit note void, if no later one counts on it.
    pub(super) fn void_one(&mut self) -> Result<(), String> {
        let known = living(&self.hub.store)?;
        if known.is_empty() {
            return Ok(());
        }
        let at = self.billing.rng.below(known.len() as u64) as usize;
        let number = known[at].document.number.clone();
        self.billing.waiting.push_back(MoneyCommand::Void {
            trace: format!("void {number}"),
            number,
            reason: "sent to the wrong company".to_owned(),
        });
        Ok(())
    }

    /// What became of it.
    pub(super) fn voided(&mut self, answer: Answer) -> Result<(), String> {
        match answer {
            Answer::Booked(booked) if booked.repeated => self.hit("void entered twice"),
            Answer::Booked(_) => {
                self.hit("document made void");
                // Late usage that waited for it can be on a later month now.
                self.billing.nothing.clear();
            }
            // A later one counts on it, it is void already, or numbers are fenced.
            Answer::Rejected(Rejected::NotNow(_)) => self.hit("void refused"),
            other => return Err(format!("I9: a void was answered {other:?}")),
        }
        Ok(())
    }
}
