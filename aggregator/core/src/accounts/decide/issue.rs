//! Giving invoices their numbers: one living one for each account, month and kind; as late as possible; what can't be
//! issued stops nothing else. Invariants: I7, I9, I12. It must not know how a draft was made.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_common::ids::Digest;
use tallyman_common::money::Money;

use super::void::months_ahead;
use super::{Context, Made, Refusal, named, unfenced};
use crate::accounts::adjust::{Accounted, accounted};
use crate::accounts::command::{DOCUMENTS_MAX, DocumentFate, Draft, Fate};
use crate::accounts::document::{Adjusted, DOCUMENT_FORMAT, Document, Kind};
use crate::accounts::fold::documents_key;
use crate::accounts::paper::{Sums, sums};
use crate::accounts::run::void_text;
use crate::accounts::series::{Numbers, generation};
use crate::accounts::tables::{Found, GrantState, get, keys};
use crate::ports::{Read, Table};
use crate::rating::{Day, Month};
use crate::registry::Rejected;
use crate::registry::money::{Issued, MoneyAct, SeriesPlace};

/// What the documents before in the same command did.
struct Run<'r> {
    read: &'r dyn Read,
    position: u64,
    at: u64,
    numbers: Numbers<'r>,
    keys: BTreeMap<Vec<u8>, Found>,
    ids: BTreeSet<String>,
    grants: BTreeMap<(String, String), Money>,
}

/// The issue of all drafts that can be issued.
pub(super) fn issue(
    read: &dyn Read,
    context: &Context,
    month: &str,
    drafts: &[Draft],
) -> Result<Made, Refusal> {
    unfenced(context)?;
    Month::parse(month).map_err(|e| Refusal::invalid(e.to_string()))?;
    if drafts.len() > DOCUMENTS_MAX {
        return Err(Refusal::invalid(format!(
            "{} documents at a time, at most {DOCUMENTS_MAX} are taken",
            drafts.len()
        )));
    }
    let generation = generation(context.restored);
    let mut run = Run {
        read,
        position: context.position,
        at: context.at.0,
        numbers: Numbers::new(read, &generation),
        keys: BTreeMap::new(),
        ids: BTreeSet::new(),
        grants: BTreeMap::new(),
    };
    let (mut issued, mut documents, mut fates) = (Vec::new(), Vec::new(), Vec::new());
    for draft in drafts {
        let (id, fate) = match run.one(month, draft) {
            Ok(Ok((one, bytes))) => {
                let number = one.number.clone();
                documents.push((one.id.clone(), bytes));
                issued.push(one);
                (draft.document.id.clone(), Fate::Issued { number })
            }
            Ok(Err(Found { number, id, .. })) => (id, Fate::Existed { number }),
            Err(Refusal::Rejected(rejected)) => {
                let reason = rejected.to_string();
                (draft.document.id.clone(), Fate::Refused { reason })
            }
            Err(failed @ Refusal::Failed(_)) => return Err(failed),
        };
        fates.push(DocumentFate {
            account: draft.document.account.key.clone(),
            month: month.to_owned(),
            kind: draft.document.kind,
            id,
            fate,
        });
    }
    let act = (!issued.is_empty()).then_some(MoneyAct::Issue { documents: issued });
    Ok(Made {
        act,
        documents,
        fates,
    })
}

impl Run<'_> {
    /// The document as it is stored, or the one that exists.
    fn one(&mut self, month: &str, draft: &Draft) -> Result<Result<(Issued, Vec<u8>), Found>, Refusal> {
        let document = &draft.document;
        check_draft(month, draft)?;
        let key = keys::unique(&document.account.key, month, document.kind);
        let found = match self.keys.get(&key) {
            Some(found) => Some(found.clone()),
            None => get(self.read, Table::MoneyIndex, &key)?,
        };
        match (found, &document.corrects) {
            (None, None) => {}
            (Some(found), Some(number)) if found.void && *number == found.number => {}
            (Some(found), _) if !found.void => return Ok(Err(found)),
            (Some(found), _) => {
                let text = void_text(&found.number, &document.account.key, month);
                return Err(Rejected::NotNow(text).into());
            }
            (None, Some(number)) => {
                let text = format!("{number} is not the void invoice of this month");
                return Err(Refusal::invalid(text));
            }
        }
        self.check_ahead(document)?;
        let sums = sums(document)?;
        self.check_id(&document.id)?;
        check_adjusted(self.read, &document.account.key, &document.adjusted)?;
        let grants = self.use_grants(&document.account.key, &sums)?;
        let (series, number) = self
            .numbers
            .next(&draft.prefix, &document.seller.key, document.kind)?;
        self.grants.extend(grants);
        let (number, id) = (number, document.id.clone());
        self.ids.insert(id.clone());
        self.keys.insert(key, Found::new(&number, &id));
        let days = (draft.issued.clone(), Some(draft.due.clone()));
        Ok(Ok(seal(document.clone(), sums, (series, number), days)))
    }

    /// A later month that was billed without this one has its own fees: it would pay them twice.
    fn check_ahead(&self, document: &Document) -> Result<(), Refusal> {
        let account = &document.account.key;
        for later in months_ahead(&document.fees, &document.period.month)? {
            let key = keys::unique(account, &later.to_string(), document.kind);
            let found: Option<Found> = get(self.read, Table::MoneyIndex, &key)?;
            if let Some(Found { number, .. }) = found.filter(|it| !it.void) {
                return Err(Rejected::NotNow(format!(
                    "the draft bills fees of {later} ahead, which {number} bills already: make {number} void, bill this \
                     month, then {later} again"
                ))
                .into());
            }
        }
        Ok(())
    }

    fn check_id(&self, id: &str) -> Result<(), Refusal> {
        let key = documents_key(id, self.position).map_err(|_| {
            Refusal::invalid(format!(
                "identity `{id}`: 32 lower-case hexadecimal digits are wanted"
            ))
        })?;
        if self.ids.contains(id) || self.read.get(Table::Documents, &key)?.is_some() {
            let name = id.to_owned();
            return Err(Rejected::Exists {
                what: "document",
                name,
            }
            .into());
        }
        Ok(())
    }

    /// What is left of each used grant after this document.
    fn use_grants(&self, account: &str, sums: &Sums) -> Result<BTreeMap<(String, String), Money>, Refusal> {
        let mut left: BTreeMap<(String, String), Money> = BTreeMap::new();
        for (key, amount) in &sums.credits {
            super::positive("a credit's use", *amount)?;
            let place = (account.to_owned(), key.clone());
            let before = match left.get(&place).or_else(|| self.grants.get(&place)) {
                Some(before) => *before,
                None => self.grant(account, key)?,
            };
            let after = before.checked_sub(*amount)?;
            if after.minor_units() < 0 {
                return Err(Rejected::NotNow(format!(
                    "credit `{key}` of account `{account}` has {before} left, the draft uses {amount}: draft it again"
                ))
                .into());
            }
            left.insert(place, after);
        }
        Ok(left)
    }

    fn grant(&self, account: &str, key: &str) -> Result<Money, Refusal> {
        let missing = || Rejected::Missing {
            what: "credit",
            name: format!("{account}/{key}"),
        };
        let found: Option<GrantState> = get(self.read, Table::MoneyIndex, &keys::grant(account, key))?;
        let found = found.ok_or_else(missing)?;
        if found.granted.expires.is_some_and(|end| end.0 <= self.at) && found.left.minor_units() == 0 {
            return Err(
                Rejected::NotNow(format!("credit `{key}` of account `{account}` has expired")).into(),
            );
        }
        Ok(found.left)
    }
}

/// Late usage is billed from where it was billed before: two drafts of the same are not both issued.
pub(super) fn check_adjusted(read: &dyn Read, account: &str, adjusted: &[Adjusted]) -> Result<(), Refusal> {
    for it in adjusted {
        Month::parse(&it.month).map_err(|e| Refusal::invalid(e.to_string()))?;
        let known = accounted(read, account, &it.month)?;
        // A month in which there was nothing to bill has no invoice; its late usage begins somewhere.
        let follows = match known {
            Accounted::Upto(upto) => upto == it.since,
            Accounted::Nothing => true,
            Accounted::Void => false,
        };
        if !follows || it.upto <= it.since {
            return Err(Rejected::NotNow(format!(
                "late usage of {} of account `{account}` was billed meanwhile: draft it again",
                it.month
            ))
            .into());
        }
    }
    Ok(())
}

fn check_draft(month: &str, draft: &Draft) -> Result<(), Refusal> {
    let Draft {
        issued,
        due,
        document,
        ..
    } = draft;
    let day = |text: &str| Day::parse(text).map_err(|e| Refusal::invalid(e.to_string()));
    if day(due)? < day(issued)? {
        return Err(Refusal::invalid(format!(
            "due on {due}, before its issue on {issued}"
        )));
    }
    named("account", &document.account.key)?;
    named("seller", &document.seller.key)?;
    let wrong = |text: &str| Err(Refusal::invalid(text.to_owned()));
    if document.format != DOCUMENT_FORMAT {
        return wrong("the document is of another version");
    }
    if document.kind != Kind::Invoice {
        return wrong("notes are issued against an invoice, not by a run");
    }
    if document.period.month != month {
        return wrong("the document is for another month");
    }
    if document.number.is_some() || document.issued.is_some() || document.due.is_some() {
        return wrong("a draft has no number and no days");
    }
    Ok(())
}

/// The document with its number, as bytes, and what the log keeps of it.
pub(super) fn seal(
    mut document: Document,
    sums: Sums,
    (series, number): (SeriesPlace, String),
    (issued, due): (String, Option<String>),
) -> (Issued, Vec<u8>) {
    document.number = Some(number.clone());
    document.issued = Some(issued.clone());
    document.due.clone_from(&due);
    let bytes = serde_json::to_vec(&document).expect("documents are plain data");
    let one = Issued {
        account: document.account.key,
        seller: document.seller.key,
        month: document.period.month,
        kind: document.kind,
        number,
        series,
        corrects: document.corrects,
        id: document.id,
        issued,
        due,
        subtotal: sums.subtotal,
        discounts: sums.discounts,
        credits: sums.credits,
        taxes: sums.taxes,
        taxes_included: sums.taxes_included,
        total: sums.total,
        digest: Digest::of(&[&bytes]),
        adjusted: document.adjusted,
        fees: document.fees,
    };
    (one, bytes)
}
