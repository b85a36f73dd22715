//! Whether what terms name is there: tenants, a member class, tax classes. It must not know usage or amounts.

use std::collections::BTreeSet;

use tallyman_common::time::Hour;

use super::Registry;
use super::command::Rejected;
use super::payers::Account;
use crate::rating::Terms;

impl Registry {
    /// Terms name tenants that the account pays for, and a class that is good for something.
    pub(super) fn check_names(&self, account: &Account, terms: &Terms, from: Hour) -> Result<(), Rejected> {
        let own: BTreeSet<&str> = self.tenants.ever_of(&account.account).collect();
        for tenant in terms.overrides.iter().filter_map(|it| it.tenant.as_deref()) {
            if !own.contains(tenant) {
                let text = format!(
                    "`tenant = \"{tenant}\"`: account `{}` pays for no such tenant; correct the name, or register the tenant with \
                     this account first",
                    account.account
                );
                return Err(Rejected::Invalid(text));
            }
        }
        let Some(books) = self.books_of(&account.currency) else {
            return Ok(());
        };
        for item in terms.overrides.iter().map(|it| &it.item) {
            let taxes = books.at(from).map_or_else(Vec::new, |it| terms.taxes_with(it));
            let (key, class) = (item.key(), item.tax_class());
            if !taxes.is_empty() && taxes.iter().all(|it| it.class != class) {
                return Err(Rejected::Invalid(format!(
                    "item `{key}`: no `[[tax]]` of the price book has its tax class `{class}`, so it would be untaxed; correct it, \
                     give it a rate of its own by a `[[tax]]` here, or add a book with a tax for it first, of 0 percent if there is none"
                )));
            }
            if let Some(reason) = item.absurd_price() {
                return Err(Rejected::Invalid(format!("item `{key}`: {reason}")));
            }
        }
        let Some(class) = &terms.class else {
            return Ok(());
        };
        // Also one that only a later book has: it begins to count with that.
        let end = self.payers.terms_behind(&account.account, from);
        let in_time = books
            .versions()
            .iter()
            .filter(|(begins, _)| end.is_none_or(|end| *begins < end));
        let known: BTreeSet<&String> = in_time
            .flat_map(|(_, book)| book.policies().discounts.iter().flat_map(|it| &it.classes))
            .collect();
        if known.contains(class) {
            return Ok(());
        }
        let names: Vec<String> = known.iter().map(|it| format!("`{it}`")).collect();
        let names = match names.is_empty() {
            true => "no discount has any".to_owned(),
            false => format!("known are {}", names.join(", ")),
        };
        Err(Rejected::Invalid(format!(
            "`class = \"{class}\"`: no discount of a price book in {} is for it, {names}; correct it, leave it out, or add a book \
             with a discount for it first",
            account.currency
        )))
    }
}
