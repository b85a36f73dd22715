//! Whose claims are whose, by date. A claim that nobody registered stays `unconfirmed`; it is never lost.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tallyman_common::ids::Owner;
use tallyman_common::time::Hour;

use super::Registry;
use super::command::{Command, Rejected, TenantTerms};
use crate::rating::BillingZone;
use tallyman_common::money::Currency;

/// Terms by the hour from which they hold. Shared: a copy of the registry is a copy of addresses, and a node of a tree has
/// room for eleven values, of which most tenants have one.
type Dated = BTreeMap<Hour, Arc<TenantTerms>>;

/// All terms of all tenants.
#[derive(Debug, Clone, Default)]
pub struct Tenants {
    by_tenant: BTreeMap<Arc<str>, Dated>,
    /// Claim → tenants that have it at any time, by key, so that nobody looks through all of them.
    by_claim: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Account → tenants that named it at any time, by key.
    by_account: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Tenants {
    /// Checks terms: names, zone, currency, language, and that no claim belongs to two tenants at once.
    pub fn check(&self, terms: &TenantTerms) -> Result<(), Rejected> {
        let invalid = |reason: String| Err(Rejected::Invalid(reason));
        if !is_key(&terms.tenant) {
            return invalid(format!(
                "tenant key `{}`: 1 to 64 of a-z, 0-9, `-`, `_` and `.` are allowed (the name can be any)",
                terms.tenant
            ));
        }
        if let Err(e) = BillingZone::parse(&terms.zone) {
            return invalid(format!("zone `{}`: {e}", terms.zone));
        }
        if let Err(e) = Currency::parse(&terms.currency) {
            return invalid(format!("currency `{}`: {e}", terms.currency));
        }
        if !["en", "zh"].contains(&terms.language.as_str()) {
            return invalid(format!("language `{}`: `en` or `zh`", terms.language));
        }
        for claim in &terms.claims {
            let Ok(owner) = Owner::claim(claim) else {
                return invalid(format!("claim `{claim}` can't be a label's value"));
            };
            self.check_claim(&owner, terms)?;
        }
        self.check_fixed(terms)
    }

    fn check_claim(&self, owner: &Owner, terms: &TenantTerms) -> Result<(), Rejected> {
        let other = |tenant: &Arc<str>| {
            let dated = self.by_tenant.get(&**tenant)?;
            let taken = dated
                .range(terms.from..)
                .any(|(_, t)| t.claims.iter().any(|c| c == owner.name()))
                || in_force(dated, terms.from).is_some_and(|t| t.claims.iter().any(|c| c == owner.name()));
            (taken && **tenant != *terms.tenant).then(|| tenant.clone())
        };
        match self.who_had(owner).find_map(other) {
            Some(tenant) => Err(Rejected::NotNow(format!(
                "claim `{owner}` belongs to tenant `{tenant}`"
            ))),
            None => Ok(()),
        }
    }

    /// A change of zone or currency is not offered yet, so none is taken.
    fn check_fixed(&self, terms: &TenantTerms) -> Result<(), Rejected> {
        let Some(first) = self.by_tenant.get(&*terms.tenant).and_then(|d| d.values().next()) else {
            return Ok(());
        };
        if (&first.zone, &first.currency) == (&terms.zone, &terms.currency) {
            Ok(())
        } else {
            let reason = "zone and currency of a tenant stay as they were first set in this release";
            Err(Rejected::NotNow(reason.to_owned()))
        }
    }

    /// Hours at which somebody else would pay from then on, if these terms were taken.
    pub(super) fn changes_of_payer(&self, terms: &TenantTerms) -> Vec<Hour> {
        let Some(dated) = self.by_tenant.get(&*terms.tenant) else {
            return Vec::new();
        };
        let differs = |(hour, other): (&Hour, &Arc<TenantTerms>)| {
            (other.account != terms.account).then_some((*hour).max(terms.from))
        };
        let until = dated.range(..=terms.from).next_back();
        let then = dated.range(terms.from.next()..).next();
        [until, then].into_iter().flatten().filter_map(differs).collect()
    }

    /// Takes terms that were checked.
    pub fn set(&mut self, terms: TenantTerms) {
        let known = self.by_tenant.get_key_value(&*terms.tenant);
        let key: Arc<str> = known.map_or_else(|| terms.tenant.as_str().into(), |(key, _)| key.clone());
        for claim in &terms.claims {
            note(&mut self.by_claim, claim, &key);
        }
        note(&mut self.by_account, &terms.account, &key);
        let dated = self.by_tenant.entry(key).or_default();
        dated.insert(terms.from, Arc::new(terms));
    }

    /// The tenant of an owner's claim in an hour.
    pub fn tenant_of(&self, owner: &Owner, hour: Hour) -> Option<&TenantTerms> {
        let in_hour = |tenant: &Arc<str>| {
            let terms = in_force(self.by_tenant.get(&**tenant)?, hour)?;
            terms.claims.iter().any(|c| c == owner.name()).then_some(terms)
        };
        self.who_had(owner).find_map(in_hour)
    }

    /// Tenants that have an owner's claim at any time; nobody has what is not a claim.
    fn who_had(&self, owner: &Owner) -> impl Iterator<Item = &Arc<str>> {
        let claim = match owner {
            Owner::Claim(name) => Some(name.as_str()),
            Owner::Host | Owner::Unattributed => None,
        };
        claim
            .and_then(|claim| self.by_claim.get(claim))
            .into_iter()
            .flatten()
    }

    /// The owners that mean a tenant in an hour.
    pub fn owners_of(&self, tenant: &str, hour: Hour) -> Vec<Owner> {
        let claims = self
            .by_tenant
            .get(tenant)
            .and_then(|d| in_force(d, hour))
            .map(|t| &t.claims);
        claims
            .into_iter()
            .flatten()
            .map(|c| Owner::Claim(c.as_str().into()))
            .collect()
    }

    /// The owners that mean a tenant in some hours, each with those in which it does, as [`Tenants::owners_of`] has them
    /// hour by hour.
    pub fn owners_in(&self, tenant: &str, hours: &Range<Hour>) -> Vec<(Owner, Range<Hour>)> {
        let Some(dated) = self.by_tenant.get(tenant) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut terms = dated.iter().peekable();
        while let Some((from, terms_then)) = terms.next() {
            let until = terms
                .peek()
                .map_or(hours.end, |(next, _)| (**next).min(hours.end));
            let span = (*from).max(hours.start)..until;
            if span.start < span.end {
                let owners = terms_then.claims.iter().map(|c| Owner::Claim(c.as_str().into()));
                found.extend(owners.map(|owner| (owner, span.clone())));
            }
        }
        found
    }

    /// Latest terms of a tenant.
    pub fn latest(&self, tenant: &str) -> Option<&TenantTerms> {
        self.by_tenant.get(tenant)?.values().next_back().map(|it| &**it)
    }

    /// Terms of a tenant in an hour; before the first ones, the first ones.
    pub fn at_or_first(&self, tenant: &str, hour: Hour) -> Option<&TenantTerms> {
        let dated = self.by_tenant.get(tenant)?;
        in_force(dated, hour).or_else(|| dated.values().next().map(|it| &**it))
    }

    /// Terms of a tenant at the end of some hours. Who pays changes with a month, so these say who pays for all of one.
    pub fn at_end(&self, tenant: &str, hours: &Range<Hour>) -> Option<&TenantTerms> {
        in_force(self.by_tenant.get(tenant)?, Hour(hours.end.0.checked_sub(1)?))
    }

    /// The tenants that an account pays for in a month's hours, by key.
    pub fn of_account(&self, account: &str, month: &Range<Hour>) -> impl Iterator<Item = &TenantTerms> {
        let then = self.ever_of(account).filter_map(|it| self.at_end(it, month));
        then.filter(move |it| it.account == account)
    }

    /// The tenants that an account paid for at any time, or will, by key.
    pub fn ever_of(&self, account: &str) -> impl Iterator<Item = &str> {
        let tenants = self.by_account.get(account).into_iter().flatten();
        tenants.map(|it| &**it)
    }

    /// Accounts that some tenant named at any time, by key.
    pub fn accounts(&self) -> impl Iterator<Item = &str> {
        self.by_account.keys().map(|it| &**it)
    }

    /// Latest terms of every tenant.
    pub fn iter(&self) -> impl Iterator<Item = &TenantTerms> {
        let latest = |dated| Dated::values(dated).next_back().map(|it| &**it);
        self.by_tenant.values().filter_map(latest)
    }
}

/// Terms that were set for hours that were sealed by then: what they change of final months is billed late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackDated {
    /// Whose.
    pub tenant: String,
    /// From the first hour for which they hold to the newest that was sealed.
    pub hours: Range<Hour>,
}

impl Registry {
    /// Takes a decision about tenants or payers.
    pub(super) fn apply_payers(&mut self, command: Command, position: u64) {
        match command {
            Command::SetTenant(terms) => {
                self.note_back_dated(&terms);
                Arc::make_mut(&mut self.tenants).set(terms);
            }
            Command::SetSeller(seller) => {
                let payers = Arc::make_mut(&mut self.payers);
                payers.sellers.insert(seller.seller.clone(), *seller);
            }
            Command::SetAccount(account) => {
                let payers = Arc::make_mut(&mut self.payers);
                let since = payers.since.entry(account.account.clone());
                since.or_insert(position);
                payers.accounts.insert(account.account.clone(), *account);
            }
            Command::SetTerms { account, text, from } => self.set_terms(account, &text, from),
            _ => unreachable!("the caller sends what is about payers"),
        }
    }

    fn note_back_dated(&mut self, terms: &TenantTerms) {
        let Some(sealed) = self.seals.newest().filter(|newest| terms.from <= *newest) else {
            return;
        };
        self.back_dated.push(BackDated {
            tenant: terms.tenant.clone(),
            hours: terms.from..sealed.next(),
        });
    }
}

fn in_force(dated: &Dated, hour: Hour) -> Option<&TenantTerms> {
    dated.range(..=hour).next_back().map(|(_, terms)| &**terms)
}

/// Notes a tenant under a claim or account, once.
fn note(index: &mut BTreeMap<Arc<str>, Vec<Arc<str>>>, under: &str, tenant: &Arc<str>) {
    let under = match index.get_mut(under) {
        Some(known) => known,
        None => index.entry(under.into()).or_default(),
    };
    if let Err(place) = under.binary_search(tenant) {
        under.insert(place, tenant.clone());
    }
}

pub(super) fn is_key(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    (1..=64).contains(&key.len()) && key.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(tenant: &str, claims: &[&str], from: u32) -> TenantTerms {
        TenantTerms {
            tenant: tenant.into(),
            name: tenant.into(),
            claims: claims.iter().map(|c| (*c).to_owned()).collect(),
            account: tenant.into(),
            zone: "UTC".into(),
            currency: "USD".into(),
            language: "en".into(),
            from: Hour(from),
        }
    }

    #[test]
    fn a_claim_is_one_tenants_at_a_time() {
        let mut tenants = Tenants::default();
        tenants.set(terms("acme", &["acme", "acme-old"], 10));
        assert!(tenants.check(&terms("other", &["acme-old"], 12)).is_err());
        assert!(tenants.check(&terms("other", &["other"], 12)).is_ok());
        tenants.set(terms("acme", &["acme"], 20));
        assert!(tenants.check(&terms("other", &["acme-old"], 20)).is_ok());
        assert!(tenants.check(&terms("other", &["acme-old"], 19)).is_err());
    }

    #[test]
    fn terms_hold_from_their_hour_on() {
        let mut tenants = Tenants::default();
        tenants.set(terms("acme", &["a"], 10));
        tenants.set(terms("acme", &["b"], 20));
        let a = Owner::claim("a").unwrap();
        assert!(tenants.tenant_of(&a, Hour(9)).is_none());
        assert!(tenants.tenant_of(&a, Hour(19)).is_some());
        assert!(tenants.tenant_of(&a, Hour(20)).is_none());
        assert_eq!(tenants.owners_of("acme", Hour(25)), [Owner::claim("b").unwrap()]);
    }

    #[test]
    fn owners_by_span_are_those_of_each_hour() {
        let mut tenants = Tenants::default();
        tenants.set(terms("acme", &["a", "b"], 10));
        tenants.set(terms("acme", &["b", "c"], 20));
        tenants.set(terms("acme", &[], 25));
        for (from, to) in [(0, 9), (0, 30), (12, 21), (20, 25), (25, 40)] {
            let spans = tenants.owners_in("acme", &(Hour(from)..Hour(to)));
            for hour in (from..to).map(Hour) {
                let then = spans.iter().filter(|(_, span)| span.contains(&hour));
                let then: Vec<Owner> = then.map(|(owner, _)| owner.clone()).collect();
                assert_eq!(then, tenants.owners_of("acme", hour), "{hour:?} of {from}..{to}");
            }
        }
        assert!(tenants.owners_in("nobody", &(Hour(0)..Hour(9))).is_empty());
    }

    #[test]
    fn a_label_named_like_a_reserved_owner_is_a_claim_like_any_other() {
        let mut tenants = Tenants::default();
        tenants.set(terms("acme", &["host"], 0));
        assert!(tenants.tenant_of(&Owner::Host, Hour(5)).is_none());
    }

    #[test]
    fn faults_say_what_is_allowed() {
        let tenants = Tenants::default();
        let mut wrong = terms("Acme Corp", &[], 0);
        assert!(tenants.check(&wrong).unwrap_err().to_string().contains("a-z"));
        wrong.tenant = "acme".into();
        wrong.currency = "EURO".into();
        assert!(tenants.check(&wrong).unwrap_err().to_string().contains("EURO"));
    }
}
