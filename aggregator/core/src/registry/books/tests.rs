//! When a price book, terms, a tenant or a seller's prefix is taken, and with which words it is refused: one row each.

use tallyman_common::ids::Digest;
use tallyman_common::time::{Hour, WallMs};

use crate::rating::parse_hour;
use crate::registry::seals::Seal;
use crate::registry::{Account, Command, Decision, Registry, Rejected, Seller, TenantTerms};

const CPU: &str = "[[item]]\nkey = \"cpu\"\ntitle = \"CPU\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-second\"\nmodel = \"per_unit\"\nprice = \"1\"\n";
const DISK: &str = "[[item]]\nkey = \"disk\"\ntitle = \"Disk\"\nmeters = [\"requests.read\"]\nunit = \"request\"\nmodel = \"per_unit\"\nprice = \"1\"\n";
const PLAN: &str =
    "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"10\"\nper = \"month\"\ndue = \"in_arrears\"\n";
const GOLD: &str = "[[discount]]\nkey = \"gold\"\ntitle = \"Gold\"\nclasses = [\"gold\"]\npercent = \"10\"\n";

fn book(parts: &[&str]) -> String {
    format!("format = 1\nname = \"T\"\ncurrency = \"USD\"\n{}", parts.concat())
}

fn hour(text: &str) -> Hour {
    parse_hour(&format!("{text}:00:00Z")).expect("an hour")
}

fn seller(key: &str, prefix: &str) -> Command {
    Command::SetSeller(Box::new(Seller {
        seller: key.into(),
        name: "Cloud".into(),
        address: vec![],
        tax_id: None,
        contact: vec![],
        bank: vec![],
        prefix: prefix.into(),
    }))
}

fn account(key: &str, zone: &str) -> Command {
    Command::SetAccount(Box::new(Account {
        account: key.into(),
        organisation: None,
        name: key.into(),
        seller: "cloud".into(),
        currency: "USD".into(),
        zone: zone.into(),
        language: "en".into(),
        address: vec![],
        tax_id: None,
        contact: vec![],
        due_days: 30,
    }))
}

fn tenant(key: &str, account: &str) -> Command {
    Command::SetTenant(TenantTerms {
        tenant: key.into(),
        name: key.into(),
        claims: vec![key.into()],
        account: account.into(),
        zone: "UTC".into(),
        currency: "USD".into(),
        language: "en".into(),
        from: Hour(0),
    })
}

fn terms(account: &str, text: &str, from: &str) -> Command {
    Command::SetTerms {
        account: account.into(),
        text: format!("format = 1\n{text}"),
        from: hour(from),
    }
}

fn prices(text: &str, from: &str) -> Command {
    Command::AddPriceBook {
        text: text.to_owned(),
        from: hour(from),
    }
}

/// A registry with a seller, an account in UTC with one tenant, one in New York, and a book since 2026.
fn registry(parts: &[&str]) -> Registry {
    let mut registry = Registry::default();
    let all = [
        seller("cloud", "INV"),
        account("acme", "UTC"),
        account("york", "America/New_York"),
        tenant("web", "acme"),
        prices(&book(parts), "2026-01-01T00"),
    ];
    all.into_iter()
        .for_each(|it| taken(&mut registry, it).expect("taken"));
    registry
}

fn taken(registry: &mut Registry, command: Command) -> Result<(), Rejected> {
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

/// All hours before this one are sealed.
fn sealed(registry: &mut Registry, until: &str) {
    registry.seals.push(Seal {
        hour: Hour(hour(until).0 - 1),
        position: 1,
        at: WallMs(0),
        values: 0,
        digest: Digest::default(),
    });
}

/// Each row: a command, and words of its refusal; none where it is taken, without any effect on the rows behind it.
fn check(registry: &Registry, table: &[(Command, &str)]) {
    for (command, wanted) in table {
        match (registry.check(command, WallMs(0)), *wanted) {
            (Ok(()), "") => {}
            (Err(said), wanted) if !wanted.is_empty() && said.to_string().contains(wanted) => {}
            (got, wanted) => panic!("{command:?}\n wanted {wanted}\n got {got:?}"),
        }
    }
}

/// Protects: a final month's prices stay in every zone in which one is billed, not in the book's alone.
#[test]
fn final_months_of_every_zone() {
    let mut registry = registry(&[CPU]);
    let dearer = book(&[&CPU.replace("\"1\"", "\"2\"")]);
    // November is over and final in New York, which is five hours behind; December is open in both.
    sealed(&mut registry, "2026-12-20T00");
    #[rustfmt::skip]
    check(&registry, &[
        (prices(&dearer, "2026-12-01T00"), "month 2026-11 is final in zone America/New_York, which account `york` has: prices in it stay \
          as they are. It ends at 2026-12-01T05:00:00Z: let the book begin there or later"),
        (prices(&dearer, "2026-12-01T04"), "month 2026-11 is final in zone America/New_York"),
        (prices(&dearer, "2026-11-30T23"), "month 2026-11 is final in zone"),
        (prices(&dearer, "2026-12-01T05"), ""),
        (prices(&dearer.replace("USD", "EUR"), "2026-12-01T00"), ""),
    ]);
}

/// Protects: no month of any zone has an item in two units, whether the other book is before or behind the new one.
#[test]
fn units_beside_both_neighbours() {
    let mut registry = registry(&[CPU, DISK]);
    let minutes = book(&[&CPU.replace("CPU-second", "CPU-minute"), DISK]);
    taken(
        &mut registry,
        prices(&book(&[CPU, &DISK.replace("\"1\"", "\"2\"")]), "2026-12-10T00"),
    )
    .expect("a price change");
    #[rustfmt::skip]
    check(&registry, &[
        (prices(&minutes, "2026-12-15T07"), "item `cpu` changes its unit from CPU-second to CPU-minute"),
        // A month's edge in UTC lies inside a month of New York.
        (prices(&minutes, "2027-01-01T00"), "in zone America/New_York, which account `york` has, that month is from \
          2026-12-01T05:00:00Z to 2027-01-01T05:00:00Z. Give the item another key"),
        (prices(&book(&[&CPU.replace("cpu\"", "cpu-minutes\""), DISK]), "2026-12-01T00"), ""),
    ]);
    let mut alone = Registry::default();
    let all = [
        seller("cloud", "INV"),
        account("acme", "UTC"),
        prices(&book(&[CPU]), "2026-01-01T00"),
    ];
    all.into_iter()
        .for_each(|it| taken(&mut alone, it).expect("taken"));
    check(
        &alone,
        &[
            (prices(&minutes, "2027-01-01T00"), ""),
            (prices(&minutes, "2027-01-01T01"), "only from a month's edge on"),
        ],
    );
    // A book at a month's edge, and one that is scheduled for later in its month and has the old unit.
    taken(
        &mut alone,
        prices(&book(&[&CPU.replace("\"1\"", "\"2\"")]), "2027-01-10T00"),
    )
    .expect("a price change");
    check(
        &alone,
        &[(
            prices(&minutes, "2027-01-01T00"),
            "beside the price book from 2027-01-10T00:00:00Z item `cpu` changes its unit from CPU-second to CPU-minute",
        )],
    );
}

/// Protects: a month has one set of policies from its first hour to its last; prices alone change at any hour.
#[test]
fn what_holds_for_months_changes_with_one() {
    let tax = "[[tax]]\nclass = \"standard\"\ntitle = \"VAT\"\npercent = \"6\"\n";
    let registry = registry(&[CPU, PLAN, GOLD, tax]);
    let now = |cpu: &str, others: &[&str]| book(&[&[cpu], others].concat());
    #[rustfmt::skip]
    check(&registry, &[
        (prices(&now(&CPU.replace("\"1\"", "\"2\""), &[PLAN, GOLD, tax]), "2026-02-28T07"), ""),
        (prices(&now(CPU, &[&PLAN.replace("Pro\"", "Professional\""), GOLD, tax]), "2026-02-28T07"), ""),
        (prices(&now(CPU, &[PLAN, GOLD, &tax.replace('6', "9")]), "2026-02-28T00"),
         "what holds for whole months begins with one, and this book changes tax `standard`. Let it begin with month 2026-02 or \
          2026-03, or leave these as they are in `T`: prices alone may change at any hour"),
        (prices(&now(CPU, &[PLAN, GOLD, &tax.replace('6', "9")]), "2026-03-01T00"), ""),
        (prices(&now(CPU, &[&PLAN.replace("10", "20"), tax]), "2026-02-28T00"), "this book changes discount `gold`, plan `pro`."),
        (prices(&now(&format!("{CPU}maximum = \"5\"\n"), &[PLAN, GOLD, tax]), "2026-02-28T00"), "changes the maximum of item `cpu`"),
        (prices(&now(&format!("discounts = \"in_turn\"\n{CPU}"), &[PLAN, GOLD, tax]), "2026-02-28T00"), "changes `discounts`"),
    ]);
}

/// Protects: a book that lacks what terms need while it is in force is refused with the names of the accounts, and terms that
/// need what a scheduled book lacks; what is over needs nothing.
#[test]
fn plans_and_items_that_terms_need() {
    let mut registry = registry(&[CPU, DISK, PLAN]);
    let own = "[[item]]\nkey = \"disk\"\ntitle = \"D\"\nmeters = [\"requests.read\"]\nunit = \"request\"\nmodel = \"per_unit\"\nprice = \"2\"\n";
    let coupon = "[[coupon]]\nkey = \"c\"\ntitle = \"C\"\npercent = \"10\"\nitems = [\"disk\"]\nfrom = \"2026-03\"\nmonths = \"2\"\n";
    let all = [
        terms(
            "acme",
            "plan = \"pro\"\nplan_from = \"2026-02-01\"\nplan_until = \"2026-06-01\"\n",
            "2026-02-01T00",
        ),
        terms("york", &format!("{coupon}{own}"), "2026-03-01T05"),
        terms("york", "", "2026-09-01T04"),
    ];
    all.into_iter()
        .for_each(|it| taken(&mut registry, it).expect("taken"));
    #[rustfmt::skip]
    check(&registry, &[
        (prices(&book(&[CPU, DISK]), "2026-05-01T00"), "account `acme` has plan `pro`\nKeep it in the book, or first add terms without it"),
        (prices(&book(&[CPU, DISK]), "2026-06-01T00"), ""),
        (prices(&book(&[CPU, PLAN]), "2026-04-01T00"),
         "account `york` has its own price for item `disk`\naccount `york` has coupon `c` for item `disk`\nKeep"),
        (prices(&book(&[CPU, PLAN]), "2026-06-01T00"), "account `york` has its own price for item `disk`\nKeep"),
        (prices(&book(&[CPU, PLAN]), "2026-10-01T00"), ""),
    ]);
    taken(&mut registry, prices(&book(&[CPU, DISK]), "2026-07-01T00")).expect("a book without plans");
    #[rustfmt::skip]
    check(&registry, &[
        (terms("acme", "plan = \"pro\"\nplan_from = \"2026-02-01\"\n", "2026-06-01T00"),
         "the price book `T`, in force from 2026-07-01T00:00:00Z, lacks something: the account has plan `pro`"),
        (terms("acme", "plan = \"pro\"\nplan_from = \"2026-02-01\"\nplan_until = \"2026-07-01\"\n", "2026-06-01T00"), ""),
    ]);
}

/// Protects: what terms, tenants and sellers name is there, so that a slip of the pen does not cost money in silence.
#[test]
fn names_that_nothing_has() {
    let tax = "[[tax]]\nclass = \"standard\"\ntitle = \"VAT\"\npercent = \"6\"\n";
    let mut registry = registry(&[CPU, GOLD, tax]);
    let own = CPU.replace("[[item]]\n", "[[item]]\ntenant = \"web\"\n");
    #[rustfmt::skip]
    check(&registry, &[
        (terms("acme", "class = \"platinumm\"\n", "2026-02-01T00"), "`class = \"platinumm\"`: no discount of a price book in USD is for it, known are `gold`; correct it"),
        (terms("acme", "class = \"gold\"\n", "2026-02-01T00"), ""),
        (terms("acme", &own, "2026-02-01T00"), ""),
        (terms("acme", &own.replace("\"web\"", "\"nobody\""), "2026-02-01T00"),
         "`tenant = \"nobody\"`: account `acme` pays for no such tenant; correct the name, or register the tenant with this account first"),
        (terms("york", &own, "2026-02-01T05"), "account `york` pays for no such tenant"),
        (terms("acme", &format!("{own}tax_class = \"standrad\"\n"), "2026-02-01T00"), "no `[[tax]]` of the price book has its tax class `standrad`"),
        (terms("acme", &own.replace("\"1\"", "\"99999999\""), "2026-02-01T00"), "a price of 99999999 for one CPU-second is more than anything costs"),
        (tenant("shop", "later"), ""),
        (tenant("shop", "shop"), ""),
        (tenant("shop", "acme"), ""),
        (seller("cloud2", "CN"), "prefix `CN`: what begins with it is the number of a note"),
        (seller("cloud2", "INV"), "numbers that begin with `INV` belong to seller `cloud`"),
        (seller("cloud2", "CNC"), ""),
        (seller("cloud", "INV"), ""),
    ]);
    taken(&mut registry, seller("cloud2", "C")).expect("taken");
    check(
        &registry,
        &[(
            seller("cloud3", "CNC"),
            "numbers that begin with `CNC` belong to seller `cloud2`, whose prefix is `C`",
        )],
    );
    check(
        &registry,
        &[(
            seller("cloud3", "DNC"),
            "numbers that begin with `DNC` belong to seller `cloud2`",
        )],
    );
}

/// Protects: an update that refuses more than the release before still starts on its log: what was in force stays in force.
#[test]
fn what_was_logged_once_is_read_whatever_is_refused_today() {
    let tax = "[[tax]]\nclass = \"standrad\"\ntitle = \"VAT\"\npercent = \"6\"\n";
    let text = book(&[CPU, tax]);
    let mut registry = Registry::default();
    let command = Command::AddPriceBook { text, from: Hour(0) };
    assert!(registry.check(&command, WallMs(0)).is_err());
    registry.apply(&Decision {
        position: 1,
        at: WallMs(0),
        actor: "a".into(),
        source: "s".into(),
        command,
    });
    assert_eq!(registry.books.len(), 1);
}
