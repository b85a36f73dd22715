//! Workloads come, work and go. One tenant comes for a few minutes and is away for a day, so that agents retire its
//! series; then it is back.

use tallyman_common::time::{HOUR_MS, MINUTE_MS};

use super::world::{HOURS, START_MS, What, World};

/// Number of the tenant that is away for a day; those below it come and go all the time.
pub(super) const SEASONAL: u64 = 3;
/// Until here the seasonal tenant comes first, world milliseconds.
pub(super) const SEASON_ENDS_MS: u64 = START_MS + HOUR_MS;
/// From here on it is back.
pub(super) const SEASON_BACK_MS: u64 = START_MS + (HOURS - 1) * HOUR_MS;

impl World {
    pub(super) fn work(&mut self, node: usize) {
        let elapsed = self.rng.between(20_000, 400_000);
        if !self.healing {
            let Self { nodes, rng, .. } = self;
            for workload in nodes[node].workloads.values_mut() {
                if rng.chance(70) {
                    let has_network = workload.container.is_some();
                    workload.counters.work(elapsed, has_network, rng);
                }
            }
            self.plan(elapsed, What::Work { node });
        }
    }

    pub(super) fn population(&mut self, node: usize) {
        if self.healing {
            return;
        }
        let ready = self.nodes[node].metering;
        if ready && self.nodes[node].workloads.len() < 6 && self.rng.chance(60) {
            let tenant = self.rng.below(SEASONAL);
            self.spawn(node, tenant);
        } else if let Some(life) = self.nodes[node]
            .workloads
            .keys()
            .next()
            .copied()
            .filter(|_| self.rng.chance(50))
        {
            self.end_workload(node, life);
        }
        let wait = self.rng.between(300, 900_000);
        self.plan(wait, What::Population { node });
    }

    fn spawn(&mut self, node: usize, tenant: u64) -> u64 {
        let life = self.nodes[node].spawn(tenant, self.now_ms, &mut self.rng);
        self.note(format!(
            "n{node} workload {life} of {}",
            self.nodes[node].workloads[&life].path
        ));
        let delay = self.rng.below(9_000);
        self.plan(delay, What::Describe { node, life });
        life
    }

    fn end_workload(&mut self, node: usize, life: u64) {
        self.hit("workload ended");
        self.note(format!("n{node} workload {life} ends"));
        self.nodes[node].end(life, self.now_ms);
    }

    /// The seasonal tenant comes for five minutes, `guest`, and goes.
    pub(super) fn season(&mut self, node: usize, guest: Option<u64>) {
        if self.healing {
            return;
        }
        if let Some(life) = guest.filter(|life| self.nodes[node].workloads.contains_key(life)) {
            self.end_workload(node, life);
        }
        let is_early = self.now_ms < SEASON_ENDS_MS;
        if guest.is_none() && self.nodes[node].metering && (is_early || self.now_ms >= SEASON_BACK_MS) {
            let guest = Some(self.spawn(node, SEASONAL));
            return self.plan(5 * MINUTE_MS, What::Season { node, guest });
        }
        let until_back = SEASON_BACK_MS.checked_sub(self.now_ms);
        let wait = match until_back {
            Some(_) if is_early && guest.is_none() => MINUTE_MS,
            Some(ms) => ms + self.rng.below(HOUR_MS / 4),
            None => self.rng.between(MINUTE_MS, HOUR_MS / 4),
        };
        self.plan(wait, What::Season { node, guest: None });
    }
}
