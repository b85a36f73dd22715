//! Credits that are granted, and what is taken back at their end. It must not know what they are used for.

use std::collections::BTreeSet;

use tallyman_common::time::WallMs;

use super::{Context, Made, Refusal, named, positive, words};
use crate::accounts::expiry::EXPIRED_MAX;
use crate::accounts::tables::{GrantState, get, keys};
use crate::ports::{Read, Table};
use crate::registry::Rejected;
use crate::registry::money::{Granted, MoneyAct, Rest};

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

/// Takes back what is left of credits that were found to have ended. What was used, or given back, since they were looked at
/// stays: they are looked at again.
pub(super) fn expire(
    read: &dyn Read,
    context: &Context,
    (upto, found): (WallMs, Option<&[Rest]>),
) -> Result<Made, Refusal> {
    if upto > context.at {
        return Err(Refusal::invalid(
            "credits expire when their time has come".to_owned(),
        ));
    }
    let found = found.unwrap_or(&[]);
    if found.len() > EXPIRED_MAX {
        return Err(Refusal::invalid(format!(
            "{} credits at a time, at most {EXPIRED_MAX} are taken",
            found.len()
        )));
    }
    let (mut rests, mut seen) = (Vec::new(), BTreeSet::new());
    for rest in found {
        positive("what is left of a credit", rest.amount)?;
        let key = keys::grant(&rest.account, &rest.key);
        let state: Option<GrantState> = get(read, Table::MoneyIndex, &key)?;
        let ended = |it: &GrantState| it.granted.expires.is_some_and(|end| end <= upto);
        let is_so = state.is_some_and(|it| ended(&it) && it.left == rest.amount);
        if is_so && seen.insert((&rest.account, &rest.key)) {
            rests.push(rest.clone());
        }
    }
    let act = (!rests.is_empty()).then_some(MoneyAct::Expire { rests });
    Ok(Made {
        act,
        documents: Vec::new(),
        fates: Vec::new(),
    })
}
