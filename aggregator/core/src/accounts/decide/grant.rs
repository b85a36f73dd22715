//! Credits that are granted, and what is taken back at their end. It must not know what they are used for.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tallyman_common::time::WallMs;

use super::{Context, Made, Refusal, named, positive, words};
use crate::accounts::tables::{AccountsError, GrantState, keys, parse};
use crate::log::prefix_end;
use crate::ports::{Read, Table, try_scan};
use crate::registry::Rejected;
use crate::registry::money::{Granted, MoneyAct, Rest};

/// Grants that one decision takes back at most; the next one goes on.
const EXPIRED_MAX: usize = 1_000;

pub(super) fn grant(context: &Context, granted: &Granted) -> Result<Made, Refusal> {
    named("account", &granted.account)?;
    named("credit", &granted.key)?;
    words("the credit's title", &granted.title)?;
    positive("a credit", granted.amount)?;
    if granted.expires.is_some_and(|end| end <= context.at) {
        return Err(Rejected::NotNow("a credit that has ended can't be granted".to_owned()).into());
    }
    let unique: BTreeSet<&String> = granted.items.iter().collect();
    if unique.len() != granted.items.len() || granted.items.len() > 100 {
        return Err(Refusal::invalid("items: up to 100, each once".to_owned()));
    }
    Ok(Made::act(MoneyAct::Grant(granted.clone())))
}

pub(super) fn expire(read: &dyn Read, context: &Context, upto: WallMs) -> Result<Made, Refusal> {
    if upto > context.at {
        return Err(Refusal::invalid(
            "credits expire when their time has come".to_owned(),
        ));
    }
    let (from, mut rests) = (keys::all_grants(), Vec::new());
    let range = (&from[..], &prefix_end(&from)[..]);
    try_scan(read, Table::MoneyIndex, range, |_, value| {
        let state: GrantState = parse(Table::MoneyIndex, value)?;
        let ended = state.granted.expires.is_some_and(|end| end <= upto);
        if ended && state.left.minor_units() > 0 {
            rests.push(Rest {
                account: state.granted.account,
                key: state.granted.key,
                amount: state.left,
            });
        }
        let full = rests.len() >= EXPIRED_MAX;
        Ok::<_, AccountsError>(if full {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    let act = (!rests.is_empty()).then_some(MoneyAct::Expire { rests });
    Ok(Made {
        act,
        documents: Vec::new(),
        fates: Vec::new(),
    })
}
