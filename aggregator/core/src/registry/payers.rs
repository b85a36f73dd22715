//! Who sells and who pays: sellers, paying accounts, and what was agreed with each, by date.
//!
//! An account without terms pays the price book's prices; one that nobody registered can be drafted, not billed. It must
//! not know usage or amounts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use tallyman_common::money::Currency;
use tallyman_common::time::Hour;

use super::Registry;
use super::command::{Rejected, TenantTerms};
use super::tenants::is_key;
use crate::rating::calendar::CalendarError;
use crate::rating::{BillingZone, PriceBook, Terms, hour_text};

/// Lines of an address and the like, at most.
const LINES_MAX: usize = 10;
/// Characters of one line, at most.
const LINE_CHARS_MAX: usize = 200;

/// Who sells, as it stands on invoices.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Seller {
    /// Key.
    pub seller: String,
    /// Full name.
    pub name: String,
    /// Address, line by line.
    pub address: Vec<String>,
    /// Number that the tax office knows it by.
    pub tax_id: Option<String>,
    /// Telephone, e-mail and the like, line by line.
    pub contact: Vec<String>,
    /// Where to pay, line by line.
    pub bank: Vec<String>,
    /// What its invoices' numbers begin with, such as `INV`.
    pub prefix: String,
}

/// Who pays, from an hour on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Account {
    /// Key.
    pub account: String,
    /// The organisation that it belongs to.
    pub organisation: Option<String>,
    /// Full name.
    pub name: String,
    /// Key of the seller.
    pub seller: String,
    /// Currency of its invoices.
    pub currency: String,
    /// IANA zone of its months.
    pub zone: String,
    /// Language of its invoices: `en` or `zh`.
    pub language: String,
    /// Address, line by line.
    pub address: Vec<String>,
    /// Number that the tax office knows it by.
    pub tax_id: Option<String>,
    /// Telephone, e-mail and the like, line by line.
    pub contact: Vec<String>,
    /// Days from the issue of an invoice until it is due.
    pub due_days: u16,
}

/// Sellers, accounts, terms.
#[derive(Debug, Clone, Default)]
pub struct Payers {
    /// Sellers by key, as they are now.
    pub sellers: BTreeMap<String, Seller>,
    /// Accounts by key, as they are now.
    pub accounts: BTreeMap<String, Account>,
    /// Account → position of the decision that first registered it.
    pub since: BTreeMap<String, u64>,
    /// Account → terms by the hour from which they hold.
    terms: BTreeMap<String, BTreeMap<Hour, Terms>>,
}

impl Payers {
    /// Terms of an account in an hour; none were agreed without.
    pub fn terms(&self, account: &str, hour: Hour) -> Terms {
        let dated = self
            .terms
            .get(account)
            .and_then(|it| it.range(..=hour).next_back());
        dated.map_or_else(Terms::none, |(_, terms)| terms.clone())
    }
}

impl Payers {
    /// Terms of an account that hold in some hours, each with those in which they do.
    pub(super) fn terms_in(&self, account: &str, hours: &Range<Hour>) -> Vec<(Range<Hour>, &Terms)> {
        let Some(dated) = self.terms.get(account) else {
            return Vec::new();
        };
        let carried = dated.range(..hours.start).next_back();
        let begun = dated.range(hours.clone());
        let ends = |from: &Hour| {
            self.terms_behind(account, *from)
                .map_or(hours.end, |it| it.min(hours.end))
        };
        let found = carried.into_iter().chain(begun);
        let found = found.map(|(from, terms)| ((*from).max(hours.start)..ends(from), terms));
        found.filter(|(span, _)| span.start < span.end).collect()
    }

    /// First hour of the terms of an account that follow those of an hour.
    pub(super) fn terms_behind(&self, account: &str, hour: Hour) -> Option<Hour> {
        let dated = self.terms.get(account)?;
        dated.range(hour.next()..).next().map(|(from, _)| *from)
    }

    /// The first of some hours that begins a month in the zone of an account.
    pub fn first_end_of_month(&self, hours: Range<Hour>) -> Option<Hour> {
        let names: BTreeSet<&str> = self.accounts.values().map(|it| it.zone.as_str()).collect();
        let zones = names.into_iter().filter_map(|name| BillingZone::parse(name).ok());
        let first = |zone: BillingZone| {
            let month = |hour: u32| zone.month_of(Hour(hour)).ok();
            (hours.start.0..hours.end.0).find(|at| *at > 0 && month(*at) != month(*at - 1))
        };
        zones.filter_map(first).min().map(Hour)
    }
}

impl Registry {
    pub(super) fn check_seller(&self, seller: &Seller) -> Result<(), Rejected> {
        let Seller {
            seller: key,
            name,
            address,
            tax_id,
            contact,
            bank,
            prefix,
        } = seller;
        check_key("seller", key)?;
        check_lines("name", std::slice::from_ref(name))?;
        check_lines("address", address)?;
        check_lines("contact", contact)?;
        check_lines("bank", bank)?;
        check_lines("tax number", tax_id.as_slice())?;
        let good = (1..=8).contains(&prefix.len())
            && prefix
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !good {
            return Err(Rejected::Invalid(format!(
                "prefix `{prefix}`: 1 to 8 of A-Z and 0-9 are allowed, such as INV"
            )));
        }
        if ["CN", "DN"].contains(&prefix.as_str()) {
            return Err(Rejected::Invalid(format!(
                "prefix `{prefix}`: what begins with it is the number of a note on an invoice of INV; choose another, such as INV"
            )));
        }
        let others = self.payers.sellers.values().filter(|it| it.seller != *key);
        for other in others {
            if let Some(series) = common_series(prefix, &other.prefix) {
                return Err(Rejected::NotNow(format!(
                    "prefix `{prefix}`: numbers that begin with `{series}` belong to seller `{}`, whose prefix is `{}`; choose \
                     another",
                    other.seller, other.prefix
                )));
            }
        }
        Ok(())
    }

    pub(super) fn check_account(&self, account: &Account) -> Result<(), Rejected> {
        check_key("account", &account.account)?;
        check_lines("name", std::slice::from_ref(&account.name))?;
        check_lines("address", &account.address)?;
        check_lines("contact", &account.contact)?;
        check_lines("tax number", account.tax_id.as_slice())?;
        check_lines("organisation", account.organisation.as_slice())?;
        if !self.payers.sellers.contains_key(&account.seller) {
            return Err(Rejected::Missing {
                what: "seller",
                name: account.seller.clone(),
            });
        }
        BillingZone::parse(&account.zone).map_err(|e| Rejected::Invalid(e.to_string()))?;
        Currency::parse(&account.currency).map_err(|e| Rejected::Invalid(e.to_string()))?;
        if !["en", "zh"].contains(&account.language.as_str()) {
            return Err(Rejected::Invalid(format!(
                "language `{}`: `en` or `zh`",
                account.language
            )));
        }
        if !(1..=365).contains(&account.due_days) {
            return Err(Rejected::Invalid("an invoice is due within 1 to 365 days".into()));
        }
        let fixed = |it: &Account| (it.zone.clone(), it.currency.clone());
        if self
            .payers
            .accounts
            .get(&account.account)
            .is_some_and(|it| fixed(it) != fixed(account))
        {
            let text = "zone and currency of an account stay as they were first set in this release";
            return Err(Rejected::NotNow(text.into()));
        }
        let mut tenants = self.tenants.iter().filter(|it| it.account == account.account);
        match tenants.find(|it| (&it.zone, &it.currency) != (&account.zone, &account.currency)) {
            Some(other) => Err(Rejected::NotNow(format!(
                "tenant `{}` has zone {} and currency {}, not the account's",
                other.tenant, other.zone, other.currency
            ))),
            None => Ok(()),
        }
    }

    /// Another account pays for a tenant from a month's first hour on, of a month that is open; it has the tenant's zone
    /// and currency.
    pub(super) fn check_payer(&self, terms: &TenantTerms) -> Result<(), Rejected> {
        if let Some(account) = self.payers.accounts.get(&terms.account)
            && (&account.zone, &account.currency) != (&terms.zone, &terms.currency)
        {
            return Err(Rejected::NotNow(format!(
                "account `{}` has zone {} and currency {}, not the tenant's",
                account.account, account.zone, account.currency
            )));
        }
        let invalid = |e: CalendarError| Rejected::Invalid(e.to_string());
        let zone = BillingZone::parse(&terms.zone).map_err(invalid)?;
        for hour in self.tenants.changes_of_payer(terms) {
            let month = zone.month_of(hour).map_err(invalid)?;
            let hours = zone.month_hours(month).map_err(invalid)?;
            if hours.start != hour {
                let text = format!(
                    "who pays changes with a month's first hour in the tenant's zone, not at {}: say `--from {}`",
                    hour_text(hour),
                    hour_text(hours.end)
                );
                return Err(Rejected::Invalid(text));
            }
            if self.seals.is_final(&hours) {
                let text = format!("month {month} is final: who paid for it stays as it is");
                return Err(Rejected::NotNow(text));
            }
        }
        Ok(())
    }

    pub(super) fn check_terms(&self, account: &str, text: &str, from: Hour) -> Result<(), Rejected> {
        let known = self.payers.accounts.get(account);
        let known = known.ok_or_else(|| Rejected::Missing {
            what: "account",
            name: account.to_owned(),
        })?;
        let zone = BillingZone::parse(&known.zone).map_err(|e| Rejected::Invalid(e.to_string()))?;
        let month = zone.month_of(from).and_then(|m| zone.month_hours(m));
        let month = month.map_err(|e| Rejected::Invalid(e.to_string()))?;
        if month.start != from {
            return Err(Rejected::Invalid(
                "terms hold from a month's first hour in the account's zone".into(),
            ));
        }
        if self.seals.is_final(&month) {
            return Err(Rejected::NotNow(
                "that month is final: what was agreed for it stays as it is".into(),
            ));
        }
        let terms = Terms::parse(text, &*self.book_of_terms(known, from)?).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Rejected::Invalid(format!("the terms have faults:\n{}", lines.join("\n")))
        })?;
        self.check_names(known, &terms, from)?;
        self.check_later_books((account, &known.currency, &zone), &terms, from)
    }

    /// The price book that terms are read with: the one in force when they begin, else the first.
    fn book_of_terms(&self, account: &Account, from: Hour) -> Result<Arc<PriceBook>, Rejected> {
        let books = self.books_of(&account.currency);
        let book = books.as_ref().and_then(|it| {
            let first = || it.versions().first().map(|(_, book)| book);
            it.at(from).or_else(first).cloned()
        });
        book.ok_or_else(|| Rejected::NotNow(format!("no price book in {} is active", account.currency)))
    }

    /// Takes terms that were checked.
    pub(super) fn set_terms(&mut self, account: String, text: &str, from: Hour) {
        let known = self
            .payers
            .accounts
            .get(&account)
            .expect("checked before it was logged");
        let book = self
            .book_of_terms(known, from)
            .expect("checked before it was logged");
        let terms = Terms::parse_logged(text, &book).expect("checked before it was logged");
        let payers = Arc::make_mut(&mut self.payers);
        payers.terms.entry(account).or_default().insert(from, terms);
    }
}

/// What numbers of both sellers would begin with. A seller's notes have its prefix behind CN and DN, and those of INV have
/// nothing behind it (`accounts/series.rs`).
fn common_series(one: &str, other: &str) -> Option<String> {
    let theirs = series_of(other);
    series_of(one).into_iter().find(|it| theirs.contains(it))
}

pub(crate) fn series_of(prefix: &str) -> [String; 3] {
    let name = if prefix == "INV" { "" } else { prefix };
    [prefix.to_owned(), format!("CN{name}"), format!("DN{name}")]
}

fn check_key(what: &str, key: &str) -> Result<(), Rejected> {
    if is_key(key) {
        return Ok(());
    }
    Err(Rejected::Invalid(format!(
        "{what} key `{key}`: 1 to 64 of a-z, 0-9, `-`, `_` and `.` are allowed (the name can be any)"
    )))
}

fn check_lines(what: &str, lines: &[String]) -> Result<(), Rejected> {
    let bad = |it: &&String| {
        it.is_empty()
            || it.trim() != it.as_str()
            || it.chars().count() > LINE_CHARS_MAX
            || it.contains(char::is_control)
    };
    if lines.len() > LINES_MAX {
        return Err(Rejected::Invalid(format!("{what}: more than {LINES_MAX} lines")));
    }
    match lines.iter().find(bad) {
        Some(_) => Err(Rejected::Invalid(format!(
            "{what}: a line has 1 to {LINE_CHARS_MAX} characters, no control characters and no spaces at its ends"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Command, Decision};
    use tallyman_common::time::WallMs;

    fn seller(key: &str, prefix: &str) -> Seller {
        Seller {
            seller: key.into(),
            name: "云海存储有限公司".into(),
            address: vec!["上海市浦东新区".into()],
            tax_id: None,
            contact: vec![],
            bank: vec![],
            prefix: prefix.into(),
        }
    }

    fn account(seller: &str) -> Account {
        Account {
            account: "acme".into(),
            organisation: None,
            name: "Acme".into(),
            seller: seller.into(),
            currency: "USD".into(),
            zone: "UTC".into(),
            language: "en".into(),
            address: vec![],
            tax_id: None,
            contact: vec![],
            due_days: 30,
        }
    }

    fn apply(registry: &mut Registry, command: Command) -> Result<(), Rejected> {
        registry.check(&command, WallMs(0))?;
        registry.apply(&Decision {
            position: 1,
            at: WallMs(0),
            actor: "a".into(),
            source: "s".into(),
            command,
        });
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut registry = Registry::default();
        let said = |r: Result<(), Rejected>| r.expect_err("refused").to_string();
        assert!(
            said(apply(
                &mut registry,
                Command::SetAccount(Box::new(account("none")))
            ))
            .contains("none")
        );
        apply(
            &mut registry,
            Command::SetSeller(Box::new(seller("cloud", "INV"))),
        )
        .expect("taken");
        assert!(
            said(apply(
                &mut registry,
                Command::SetSeller(Box::new(seller("other", "INV")))
            ))
            .contains("cloud")
        );
        assert!(
            said(apply(
                &mut registry,
                Command::SetSeller(Box::new(seller("cloud", "inv")))
            ))
            .contains("A-Z")
        );
        apply(&mut registry, Command::SetAccount(Box::new(account("cloud")))).expect("taken");
        let moved = Account {
            currency: "EUR".into(),
            ..account("cloud")
        };
        assert!(said(apply(&mut registry, Command::SetAccount(Box::new(moved)))).contains("stay"));
        let terms = |from| Command::SetTerms {
            account: "acme".into(),
            text: "format = 1\n".into(),
            from: Hour(from),
        };
        assert!(said(apply(&mut registry, terms(1))).contains("first hour"));
        assert!(said(apply(&mut registry, terms(0))).contains("price book"));
        assert_eq!(registry.payers.terms("acme", Hour(9)), Terms::none());
    }
}
