//! Credits whose end has come: which of them can go, for a credit pays usage up to its end, and the invoice of that comes
//! later. What a month can still use stays until that month is billed (docs/adr/0016-voids-and-months-billed-again.md).
//!
//! It must not know who asks; taking them back is the ledger's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tallyman_common::time::WallMs;

use super::adjust::LateMonths;
use super::draft::{DraftError, Past, Purpose, draft_beside, rating};
use super::run::{final_months, newest_of};
use super::tables::{AccountsError, GrantState, keys, parse};
use crate::bills::Books;
use crate::log::prefix_end;
use crate::ports::{Table, try_scan};
use crate::rating::{BillingZone, Month};
use crate::registry::Account;
use crate::registry::money::Rest;

/// Credits that are looked at in one go; the next one goes on.
pub const EXPIRED_MAX: usize = 1_000;

/// What is left of credits that end by an instant, and that no month can use any more. A month can as long as it is not
/// final, or is final and has no living invoice although there is something to bill.
pub fn ended(books: Books<'_>, upto: WallMs) -> Result<Vec<Rest>, DraftError> {
    let known = with_end(books, upto.min(books.now))?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let mut months = Months {
        books,
        past: Past::new(books.store),
        late: LateMonths::read(books)?,
        waiting: BTreeMap::new(),
    };
    let mut found = Vec::new();
    for grant in known {
        if found.len() < EXPIRED_MAX && !months.can_use(&grant)? {
            found.push(Rest {
                account: grant.granted.account,
                key: grant.granted.key,
                amount: grant.left,
            });
        }
    }
    Ok(found)
}

/// Credits with something left that end by an instant.
fn with_end(books: Books<'_>, upto: WallMs) -> Result<Vec<GrantState>, AccountsError> {
    let (from, mut found) = (keys::all_grants(), Vec::new());
    let range = (&from[..], &prefix_end(&from)[..]);
    try_scan(books.store, Table::MoneyIndex, range, |_, value| {
        let state: GrantState = parse(Table::MoneyIndex, value)?;
        let ends = state.granted.expires.is_some_and(|end| end <= upto);
        if ends && state.left.minor_units() > 0 {
            found.push(state);
        }
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Months of accounts that wait for their invoice.
struct Months<'a> {
    books: Books<'a>,
    past: Past<'a>,
    late: LateMonths,
    /// By account, each with the instant of its end.
    waiting: BTreeMap<String, BTreeSet<(WallMs, Month)>>,
}

impl Months<'_> {
    /// Whether a credit can pay for a month that is to be billed: for one that ended by the credit's end.
    fn can_use(&mut self, grant: &GrantState) -> Result<bool, DraftError> {
        let Granted { account, end } = match Granted::of(grant, self.books) {
            Some(it) => it,
            // Nobody bills such an account.
            None => return Ok(false),
        };
        if !self.waiting.contains_key(&account.account) {
            let waiting = self.of(account)?;
            self.waiting.insert(account.account.clone(), waiting);
        }
        let waiting = &self.waiting[&account.account];
        Ok(waiting.iter().any(|(month_end, _)| *month_end <= end))
    }

    /// An account's months that are not billed, of those that are looked at by a run by itself, and of the time since.
    fn of(&self, account: &Account) -> Result<BTreeSet<(WallMs, Month)>, DraftError> {
        let (books, mut waiting) = (self.books, BTreeSet::new());
        let zone = BillingZone::parse(&account.zone).map_err(rating)?;
        let end_of = |month: Month| zone.month_hours(month).map(|it| it.end.start()).map_err(rating);
        let mut last = None;
        if let Some(newest) = books.registry.seals.newest() {
            let since = books.registry.payers.since.get(&account.account);
            for (month, sealed) in final_months(books, &account.zone, newest)? {
                last = last.max(Some(month));
                if since.is_some_and(|since| *since < sealed) && self.waits(account, month)? {
                    waiting.insert((end_of(month)?, month));
                }
            }
        }
        // The first month that is not final; all behind it end later.
        let open = match last {
            Some(last) => last.next().map_err(rating)?,
            None => return Ok([(WallMs(0), zone.month_of(books.now.hour()).map_err(rating)?)].into()),
        };
        waiting.insert((end_of(open)?, open));
        Ok(waiting)
    }

    /// Whether a final month is still to be billed.
    fn waits(&self, account: &Account, month: Month) -> Result<bool, DraftError> {
        match newest_of(self.books, &account.account, month)? {
            Some(it) => Ok(it.void),
            None => {
                let shared = (self.books, &self.past, &self.late);
                let made = draft_beside(shared, &account.account, month, Purpose::Issue);
                // What can't be drafted now can be later.
                Ok(made.map_or(true, |it| !it.document.is_empty()))
            }
        }
    }
}

/// A credit's account and end.
struct Granted<'b> {
    account: &'b Account,
    end: WallMs,
}

impl<'b> Granted<'b> {
    fn of(grant: &GrantState, books: Books<'b>) -> Option<Self> {
        let account = books.registry.payers.accounts.get(&grant.granted.account)?;
        Some(Self {
            account,
            end: grant.granted.expires?,
        })
    }
}
