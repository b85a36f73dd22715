//! Answers for lists and reports, pure over a snapshot. They change nothing and know no scopes: who asks was decided
//! before, and an account's list is made of that account's index alone.

/// What is due, by age.
pub mod age;
/// Documents, page by page.
pub mod list;
/// An account's movements.
pub mod statement;

pub use age::{Ages, ages};
pub use list::{Filter, Page, Row, document, documents, invoice_of};
pub use statement::{Movement, Statement, statement};

use std::ops::ControlFlow;

use tallyman_common::time::WallMs;

pub use super::tables::GrantState;
use super::tables::{AccountsError, keys, parse};
use crate::bills::Books;
use crate::log::prefix_end;
use crate::ports::{Read, Table, try_scan};
use crate::rating::{BillingZone, Day};

/// Which day it is, for those who judge what is late.
#[derive(Clone, Copy)]
pub enum Today<'a> {
    /// This one, whoever owes.
    Is(Day),
    /// That of the account's zone: what it owes is due by the day there.
    There(Books<'a>),
}

impl Today<'_> {
    /// The day of an account; that of UTC for one that is not registered.
    ///
    /// # Errors
    /// When the present lies outside the calendar.
    pub fn of(self, account: &str) -> Result<Day, AccountsError> {
        let books = match self {
            Self::Is(day) => return Ok(day),
            Self::There(books) => books,
        };
        let zone = books
            .registry
            .payers
            .accounts
            .get(account)
            .map(|it| BillingZone::parse(&it.zone));
        let day = zone
            .unwrap_or_else(|| Ok(BillingZone::utc()))
            .and_then(|it| it.day_of(books.now.hour()));
        day.map_err(|e| AccountsError::Broken {
            position: books.position,
            reason: format!("account `{account}`: {e}"),
        })
    }
}

impl From<Day> for Today<'_> {
    fn from(day: Day) -> Self {
        Self::Is(day)
    }
}

/// Credits of an account that can be used at an instant, in the order in which they are drawn: priority, then the earlier
/// end, then the older one.
pub fn grants_of(read: &dyn Read, account: &str, at: WallMs) -> Result<Vec<GrantState>, AccountsError> {
    let mut found = all_grants_of(read, account)?;
    found.retain(|g| g.granted.expires.is_none_or(|end| at < end) && g.left.minor_units() > 0);
    found.sort_by_key(|g| {
        let end = g.granted.expires;
        (g.granted.priority, end.is_none(), end, g.position)
    });
    Ok(found)
}

/// All credits of an account, used up or not, by key.
pub fn all_grants_of(read: &dyn Read, account: &str) -> Result<Vec<GrantState>, AccountsError> {
    let (from, mut found) = (keys::grants(account), Vec::new());
    let range = (&from[..], &prefix_end(&from)[..]);
    try_scan(read, Table::MoneyIndex, range, |_, value| {
        found.push(parse(Table::MoneyIndex, value)?);
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    Ok(found)
}
