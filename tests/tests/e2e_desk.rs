//! The orders of the command line about bills, invoices and the ledger, given to the real program over a store with real
//! invoices. Each test is a table that a finance person can read: an order, and what it prints, or the reason for which it is
//! refused. What is refused has changed nothing.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tallyman_aggregator_core::rating::Month;
use tallyman_tests::e2e::month::tenant;
use tallyman_tests::e2e::office::Office;
use tallyman_tests::e2e::site::month_name;

const ACCOUNTS: usize = 6;
/// Hours with usage.
const HOURS: u32 = 30;

/// An invoice that was issued in time, and is overdue.
struct Invoice {
    number: String,
    account: String,
    total: String,
}

impl Invoice {
    fn of(office: &Office, place: usize) -> Result<Self> {
        let row = &office.json(&["invoice", "list", "--account", &tenant(place)])?[0];
        let text = |key: &str| -> Result<String> {
            let value = row[key].as_str();
            Ok(value.with_context(|| format!("{key} in {row}"))?.to_owned())
        };
        ensure!(row["status"] == "overdue" && row["currency"] == "CNY", "{row}");
        Ok(Self {
            number: text("number")?,
            account: text("account")?,
            total: text("total")?,
        })
    }

    /// Its total and 1.00 more.
    fn above(&self) -> Result<String> {
        let (whole, rest) = self.total.split_once('.').context("two digits")?;
        Ok(format!("{}.{rest}", whole.parse::<u64>()? + 1))
    }

    /// Its total less 0.05.
    fn below(&self) -> Result<String> {
        let minor: u64 = self.total.replace('.', "").parse()?;
        let minor = minor.checked_sub(5).context("more than 0.05")?;
        Ok(format!("{}.{:02}", minor / 100, minor % 100))
    }
}

/// Words of an order; those in quotes are one.
fn words(order: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in order.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Everything that an order about money changes: balances, documents with their standing, postings.
fn books(office: &Office) -> Result<[String; 3]> {
    let balance = office.json(&["ledger", "trial-balance"])?;
    for total in balance["totals"].as_array().context("totals")? {
        ensure!(total["debit"] == total["credit"], "{balance}");
    }
    Ok([
        balance.to_string(),
        office.order(&["invoice", "list"])?,
        office.order(&["ledger", "journal"])?,
    ])
}

/// Gives the order of each line and looks for every part of what stands behind the arrow, or for none after `without`; a
/// `refused:` is a status other than 0 with these words, and leaves everything as it is.
fn obey(office: &Office, table: &str) -> Result<()> {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (order, expected) = line.split_once(" -> ").context("an arrow")?;
        let words = words(order);
        let order: Vec<&str> = words.iter().map(String::as_str).collect();
        let expected = expected.trim();
        if let Some(reason) = expected.strip_prefix("refused: ") {
            let before = books(office)?;
            office.refused(&order, reason)?;
            ensure!(books(office)? == before, "it changed something: {line}");
            continue;
        }
        let said = office.order(&order)?;
        for part in expected.split(" | ").map(str::trim) {
            let (part, is_wanted) = match part.strip_prefix("without ") {
                Some(part) => (part, false),
                None => (part, true),
            };
            ensure!(said.contains(part) == is_wanted, "`{part}`: {line}\n{said}");
        }
    }
    // What was done is balanced, and what the log says.
    books(office)?;
    ensure!(
        office
            .order(&["ledger", "check"])?
            .contains("is what the log says")
    );
    Ok(())
}

#[test]
fn invoices_are_listed_shown_and_printed() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let (month, file) = (&office.month, |name: &str| {
        office.path(name).display().to_string()
    });
    let Invoice {
        number: it,
        account,
        total,
    } = Invoice::of(&office, 2)?;
    let (one, two, page, text) = (file("1.pdf"), file("2.pdf"), file("1.html"), file("1.txt"));
    let (data, rows) = (file("1.json"), file("1.csv"));
    obey(
        &office,
        &format!(
            "invoice list --from {month}        -> INV-000001 | INV-000006 | {account} | {total} | overdue | CNY
             invoice list --to {month}          -> without INV-
             invoice list --status paid         -> without INV-
             invoice list --account {account}   -> {it} | without INV-000001
             invoice list --tenant {account}    -> {it} | {total} | without INV-000001
             invoice list --tenant {account} --status paid -> without INV-
             invoice list --tenant nobody       -> refused: there is no tenant `nobody`
             invoice list --tenant {account} --account {account} -> refused: cannot be used with
             invoice list --status late         -> refused: open, paid, overdue, void or disputed
             invoice show {it}                  -> invoice {it} of {account} Limited for {month}, issued | due
             invoice show {it}                  -> 存储容量 | total: {total} CNY | left: {total} CNY | status: overdue
             invoice show {it}                  -> SECTION | Customer {account} | subtotal | total
             invoice show INV-999999            -> refused: there is no invoice or note `INV-999999`
             invoice print {it} --to {one}      -> {one} | bytes | without characters
             invoice print {it} --to {two}      -> {two}
             invoice pdf {it} --to {one}        -> {one} | bytes
             invoice print {it} --to {page}     -> {page}
             invoice print {it} --to {data}     -> {data}
             invoice print {it} --to {rows}     -> {rows}
             invoice print {it} --to {text}     -> refused: the name ends in .pdf, .html, .csv or .json
             invoice print INV-999999 --to {one} -> refused: there is no invoice or note `INV-999999`"
        ),
    )?;
    let pdf = std::fs::read(&one)?;
    ensure!(pdf.starts_with(b"%PDF-") && pdf == std::fs::read(&two)?);
    let printed: Value = serde_json::from_str(&std::fs::read_to_string(&data)?)?;
    let csv = std::fs::read_to_string(&rows)?;
    ensure!(
        printed["number"] == it.as_str() && printed["total"] == total.as_str(),
        "{printed}"
    );
    ensure!(csv.lines().count() > 2 && csv.contains(&total), "{csv}");
    let html = std::fs::read_to_string(&page)?;
    for part in [&it, &format!("{account} Limited"), "云海存储有限公司"] {
        ensure!(html.contains(part), "{part} is missing in {html}");
    }
    Ok(())
}

#[test]
fn what_is_paid_is_paid_once() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let [one, two] = [Invoice::of(&office, 0)?, Invoice::of(&office, 1)?];
    let (it, payer, total) = (&one.number, &one.account, &one.total);
    let (part, partly, above) = (&two.number, &two.account, two.above()?);
    let [on, later_on] = ["10", "11"].map(|day| format!("{}-{day}", office.month));
    let pay = |rest: &str| format!("invoice pay {payer} --ref 'slip 77' {rest}");
    let all = pay(&format!(
        "--on {on} --amount '{total} CNY' --for '{it}={total} CNY'"
    ));
    let later = pay(&format!(
        "--on {later_on} --amount '{total} CNY' --for '{it}={total} CNY'"
    ));
    let ahead = "--amount '1.00 CNY' --rest-to-balance";
    let for_one = "--amount '1.00 CNY' --for";
    obey(
        &office,
        &format!(
            "{all}                                   -> booked at position | without balance
             invoice show {it}                       -> status: paid | left: 0.00 CNY | slip 77 | {on}
             invoice list --status paid              -> {it} | without {part}
             {all}                                   -> done before, at position | nothing was added
             {later}                                 -> refused: {it} is paid: nothing is booked
             {all} --trace a                         -> refused: {it} is paid: nothing is booked
             invoice pay {partly} --ref x --on {on} {for_one} '{it}=1.00 CNY' -> refused: is of account `{payer}`
             invoice pay {payer} --ref x --on {on} {for_one} 'INV-999999=1.00 CNY' -> refused: INV-999999
             invoice pay {partly} --ref x --on {on} {for_one} '{part}=2.00 CNY' -> refused: more is allocated
             invoice pay {partly} --ref x --on {on} --amount '1.00 CNY' -> refused: is for no document
             invoice pay {partly} --ref x --on 2026-02-30 {ahead}         -> refused: `2026-02-30` is not a day
             invoice pay {partly} --ref x --on {on} --amount '1.00 USD' --rest-to-balance -> refused: is in CNY
             invoice pay nobody --ref x --on {on} {ahead}           -> refused: account `nobody` is not registered
             credit grant nobody --key a --amount '1.00 CNY' --title A    -> refused: account `nobody` is not registered
             invoice refund {payer} --amount '1.00 CNY' --ref x --reason x -> refused: is 0.00 CNY, less than 1.00 CNY

             invoice pay {partly} --ref y --on {on} --amount '0.01 CNY' --for '{part}=0.01 CNY' -> booked
             invoice show {part}                     -> paid: 0.01 CNY | status: overdue
             invoice pay {partly} --ref z --on {on} --amount '{above} CNY' --for '{part}={above} CNY' \
                --rest-to-balance                    -> to the prepaid balance: 1.01 CNY
             invoice show {part}                     -> status: paid | left: 0.00 CNY
             invoice apply {partly} --for '{part}=1.00 CNY' -> refused: {part} has 0.00 CNY left to pay
             invoice refund {partly} --amount '1.01 CNY' --ref back --reason 'asked for' -> booked at position
             ledger statement {partly}               -> {part} | payment y | payment z | -0.01
             ledger trial-balance                    -> cash/bank | revenue/cloud | receivable/"
        ),
    )
}

#[test]
fn corrections_are_notes_and_voids_keep_their_number() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let [gone, noted, third] = [0, 1, 2].map(|place| Invoice::of(&office, place));
    let (gone, noted, third) = (gone?, noted?, third?);
    let (void, total, note, late) = (&gone.number, &gone.total, &noted.number, &third.number);
    let (above, below) = (noted.above()?, noted.below()?);
    let (who, month) = (&gone.account, &office.month);
    let credit = "--kind credit --reason x";
    let debit = "--kind debit --reason x";
    obey(
        &office,
        &format!(
            "invoice void {void} --reason 'wrong company'             -> booked at position | CN-000001
             invoice show {void}                                      -> status: void | credited: {total} CNY | left: 0.00 CNY
             invoice list --status void                               -> {void} | without {note}
             invoice show CN-000001                                   -> credit_note CN-000001 | total: -{total} CNY
             invoice void {void} --reason again                       -> refused: is void by credit note CN-000001
             invoice show CN-000001                                   -> corrects: {void} | reason: wrong company
             invoice show {void}                                      -> notes: CN-000001
             invoice void CN-000001 --reason again                    -> refused: is a credit note
             invoice void INV-999999 --reason x                       -> refused: INV-999999
             bill run --period {month}                                -> {who}: VOID: {void} is void | 5 had theirs, 1 void
             bill run --period {month} --account {who}                -> refused: is void: order them again with --again
             bill run --period {month} --again                        -> refused: --account
             bill run --period {month} --account {who} --again --dry-run -> {who}: would be {total} CNY
             bill run --period {month} --account {who} --again        -> {who}: issued INV-000007
             bill run --period {month} --account {who} --again        -> {who}: has INV-000007 | 1 had theirs, 0 void
             bill run --period {month}                                -> 6 had theirs, 0 void
             invoice show INV-000007                                  -> total: {total} CNY | left: {total} CNY
             invoice show {void}                                      -> status: void

             invoice note {note} {credit} --line 'Traffic=0.05 CNY'   -> CN-000002
             invoice show {note}                                      -> credited: 0.05 CNY | left: {below} CNY
             invoice note {note} {credit} --line 'All of it={above} CNY' -> refused: is above the {below} CNY
             invoice note {note} {credit} --line 'A=1.00 USD'         -> refused: is in CNY
             invoice note {note} {credit} --line 'A=1,00 CNY'         -> refused: the decimal separator is a point
             invoice note {note} {credit} --line '99=0.05 CNY'        -> refused: {note} has no line 99
             invoice note {late} {credit} --line '1=99999.00 CNY'     -> refused: is above the
             invoice note INV-999999 {credit} --line 'A=1.00 CNY'     -> refused: INV-999999
             invoice note {late} {debit} --line 'A=1.00 CNY'          -> refused: a debit note has a due day
             invoice note {late} {debit} --line 'A=1.00 CNY' --due 2025-01-01 -> refused: before its issue
             invoice note {late} {debit} --line 'Work=3.00 CNY' --due 2999-01-31 -> DN-000001
             invoice show DN-000001                                   -> total: 3.00 CNY | due 2999-01-31 | status: open

             invoice adjust {late} --reason 'host 7 was away'         -> nothing came late for {late}
             invoice adjust INV-999999 --reason x                     -> refused: INV-999999
             invoice tax-number {late} 'FP 1'                         -> booked at position
             invoice show {late}                                      -> number of the tax office: FP 1
             invoice tax-number {note} 'FP 1'                         -> refused: {late} has the tax office's number FP 1
             invoice pay {who} --ref x --on 2999-01-10 --amount '1.00 CNY' --rest-to-balance -> refused: still to come
             invoice pay {who} --ref x --on 1999-01-10 --amount '1.00 CNY' --rest-to-balance -> refused: had nothing to pay
             ledger journal                                           -> {void} | CN-000001 | DN-000001 | revenue/cloud"
        ),
    )
}

#[test]
fn what_is_disputed_is_not_overdue() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let [first, second] = [Invoice::of(&office, 0)?, Invoice::of(&office, 1)?];
    let (one, total, above) = (&first.number, &first.total, first.above()?);
    let (two, all, payer) = (&second.number, &second.total, &first.account);
    obey(
        &office,
        &format!(
            "invoice list --status overdue                                    -> {one} | {two}
             invoice dispute open {one} --amount '{total} CNY' --reason 'never ordered' -> booked at position
             invoice dispute open {two} --amount '{all} CNY' --reason 'never ordered' -> booked at position
             invoice list --status overdue                                    -> without {one} | without {two}
             invoice show {one}                                               -> status: disputed | disputed: {total} CNY
             ledger ages                                                      -> {payer} | DAYS 31 60 | DISPUTED
             invoice dispute open {one} --amount '1.00 CNY' --reason x        -> refused: is disputed already
             invoice dispute open INV-999999 --amount '1.00 CNY' --reason x   -> refused: INV-999999
             invoice dispute answer INV-000003 'we look at it'                -> refused: has no open dispute
             invoice dispute resolve INV-000003 --reason x                    -> refused: has no open dispute
             invoice dispute resolve {one} --credit '{above} CNY' --reason x  -> refused: is above the {total} CNY

             invoice dispute answer {one} 'ordered on the 3rd'                -> booked at position
             invoice dispute resolve {one} --reason 'the order was found'     -> booked at position
             invoice list --status overdue                                    -> {one} | without {two}
             invoice dispute resolve {two} --credit '{all} CNY' --reason true -> CN-000001
             invoice show {two}                                               -> status: paid | credited: {all} CNY | notes: CN-000001
             invoice show {one} -> dispute over {total} CNY: never ordered | answered: ordered on the 3rd | ended, without a note
             invoice show {two} -> ended, CN-000001: true"
        ),
    )
}

#[test]
fn a_month_has_its_bill_its_sheet_and_its_reasons() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let (month, key, invoice) = (&office.month, tenant(3), Invoice::of(&office, 3)?);
    let (it, total) = (&invoice.number, &invoice.total);
    let hour = tallyman_aggregator_core::rating::hour_text(office.hours.start);
    obey(
        &office,
        &format!(
            "bill show {key} --period {month}         -> Bill (final) of Customer {key} | 存储容量 | {total}
             bill show nobody --period {month}        -> refused: there is no tenant `nobody`
             bill show {key} --period 2026-13         -> refused: `2026-13` is no month
             bill draft {key} --period {month}        -> 存储容量 | total | not issued
             bill draft nobody --period {month}       -> refused: nobody
             bill draft {key} --period 2026-13        -> refused: `2026-13` is not a month
             bill sheet --period {month}              -> {month} in CNY, final | storage | invoiced | INV-000006 | {total}
             bill sheet --period {month}              -> balances, 13 of 13 rows | without fault
             bill sheet --period {month} --csv        -> table,name,title,unit,metered,billed | usage,storage,
             bill sheet --period 2026-13              -> refused: `2026-13` is not a month
             explain {it}                             -> {month} of {key} | storage | final | {key}
             explain {it}                             -> subtotal | WHY | {total}
             explain {it} --tenant {key} --item storage -> as the line says
             explain {it} --tenant {key} --item storage --hour {hour} -> 60 of 60 node-minutes came
             explain {it} --tenant {key} --item gold  -> refused: no metered line of item `gold`
             explain {it} --tenant {key}              -> storage | usage
             explain {it} --tenant nobody             -> refused: account `{key}` pays for no tenant `nobody`
             explain {it} --tenant nobody --item storage -> refused: account `{key}` pays for no tenant `nobody`
             explain INV-999999                       -> refused: there is no invoice or note `INV-999999`"
        ),
    )?;
    let item = office.json(&["explain", it, "--tenant", &key, "--item", "storage"])?;
    ensure!(item["agrees"] == Value::Bool(true), "{item}");
    Ok(())
}

#[test]
fn a_month_that_is_not_over_is_not_billed() -> Result<()> {
    let mut office = Office::billed(ACCOUNTS, HOURS)?;
    let (running, month, one) = (month_name(), office.month.clone(), tenant(1));
    // The same whether the program runs or not.
    for starts in [false, true] {
        if starts {
            office.start()?;
        }
        obey(
            &office,
            &format!(
                "bill run --period {running}                       -> refused: 6 of 6 accounts have no invoice for {running}
                 bill run --period {running} --dry-run             -> refused: 6 of 6 accounts have no invoice for {running}
                 bill run --period 2026-13                         -> refused: `2026-13` is not a month
                 bill run --period {month} --account nobody        -> refused: 1 of 1 accounts have no invoice
                 bill run --period {month}                         -> {one}: has INV-000002 | {month}: 0 issued, 6 had theirs
                 bill run --period {month} --account {one}         -> {month}: 0 issued, 1 had theirs
                 bill run --period {month} --dry-run               -> 0 issued, 6 had theirs | without would"
            ),
        )?;
        let output = office
            .command()
            .args(["bill", "run", "--period", &running])
            .output()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let reason = format!("{one}: NOT billed: month {running} of account `{one}` is not final");
        ensure!(told.contains(&reason) && told.contains("6 not billed"), "{told}");
        let progress = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(progress.contains("6 of 6 accounts, 0 issued"), "{progress}");
    }
    office.stop()
}

#[test]
fn other_prices_are_compared_and_touch_nothing() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let old = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/price-books/storage-cny.toml"
    );
    let prices = std::fs::read_to_string(old)?;
    let file = |name: &str, from: &str, to: &str| -> Result<String> {
        ensure!(prices.contains(from), "{from} is not in the price book");
        std::fs::write(office.path(name), prices.replace(from, to))?;
        Ok(office.path(name).display().to_string())
    };
    let new = file(
        "new.toml",
        "up_to = \"100\", price = \"0.001\"",
        "up_to = \"100\", price = \"0.002\"",
    )?;
    let broken = file("broken.toml", "up_to = \"1024\"", "up_to = \"10\"")?;
    let (month, first, before) = (&office.month, tenant(0), books(&office)?);
    obey(
        &office,
        &format!(
            "price-book diff {old} {new}                              -> item `storage`: tiers: up to 100 0.001 | up to 100 0.002
             price-book diff {old} {old}                              -> without item
             price-book diff 'Storage, CNY' {new} --period {month}    -> {first} | 6 of 6 accounts change
             price-book diff 'No such book' {new}                     -> refused: `No such book` is no file
             what-if --price-book {new} --period {month}              -> {first} | storage | 6 of 6 accounts change
             what-if --price-book {new} --period {month} --account {first} -> 1 of 1 accounts change
             what-if --price-book {new} --period {month} --tenant {first} -> lines of tenant `{first}`: | 1 of 1 accounts
             what-if --price-book {new} --period 2999-01              -> refused: nothing could be rated
             what-if --price-book {new} --period 2026-13              -> refused: `2026-13` is not a month
             what-if --price-book {new} --period {month} --tenant nobody -> refused: there is no tenant `nobody`
             what-if --price-book {broken} --period {month}           -> refused: line 24: item `storage`: tier 2
             price-book add {new} --from {month}                      -> refused: month {month} is final"
        ),
    )?;
    ensure!(books(&office)? == before);
    Ok(())
}

/// A change names what changes; the rest stays. What was agreed can be read back.
#[test]
fn who_pays_and_what_was_agreed_stay_as_they_were() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let (one, running) = (tenant(0), month_name());
    let file = |name: &str, text: &str| -> Result<String> {
        std::fs::write(office.path(name), text)?;
        Ok(office.path(name).display().to_string())
    };
    let first = file("first.toml", "format = 1\ncommitment = \"100\"\n")?;
    let second = file("second.toml", "format = 1\ncommitment = \"200\"\n")?;
    let (two, three, next) = (tenant(1), tenant(2), Month::parse(&running)?.next()?);
    let address = "--address 'Long Road 1' --address Shanghai --tax-id 9131 --contact a@example.org --organisation group";
    obey(
        &office,
        &format!(
            "account set new --zone UTC                       -> refused: account `new` is not registered yet: a new one needs --name
             account set new --name New                       -> refused: account `new` is not registered yet: a new one needs --seller
             seller set other                                 -> refused: seller `other` is not registered yet: a new one needs --name
             account set {one} {address} --due-days 14        -> account `{one}` is registered
             account set {one} --name 'Renamed Limited'       -> account `{one}` is registered
             --json account list                              -> Renamed Limited | Long Road 1 | Shanghai | 9131 | a@example.org
             account set {one} --tax-id '' --address ''       -> account `{one}` is registered
             --json account list                              -> Renamed Limited | without Long Road 1 | without 9131
             seller set cloud --bank 'Bank of Somewhere'      -> seller `cloud` is registered
             --json seller list                               -> 云海存储有限公司 | Bank of Somewhere

             tenant set fresh --account nosuch                -> refused: there is no account `nosuch` to pay for tenant `fresh`
             tenant end nobody                                -> refused: there is no tenant `nobody`
             tenant end {one} --from {running}                -> tenant `{one}` ends at | is nobody
             tenant end {one}                                 -> refused: tenant `{one}` has ended
             bill show {one} --period {month}                 -> Bill (final) of Customer {one} | 存储容量

             tenant set {two} --account {three} --from {next}  -> account: {three};
             tenant set {two} --name Renamed                  -> account: {two};
             tenant set {two} --name Renamed --from {running} -> account: {two};
             tenant set {two} --name Renamed --from {next}    -> account: {three};

             terms list                                       -> ACCOUNT | without {one}
             terms show {one}                                 -> refused: no terms of account `{one}` are in force
             terms add {first} --account {one} --from {running}  -> hold from {running} on
             terms add {second} --account {one} --from {running} -> hold from {running} on
             terms list --account {one}                       -> {one} | {running} | replaced | in force
             terms show {one}                                 -> commitment = \"200\" | without \"100\"
             terms show {one} --position 1                    -> refused: no terms of account `{one}` have the position 1
             terms list --account nobody                      -> refused: there is no account `nobody`
             terms show nobody                                -> refused: there is no account `nobody`

             invoice list --account nobody                    -> refused: there is no account `nobody`
             invoice list --from {running} --to {month}       -> refused: the month behind the last one
             ledger statement nobody                          -> refused: there is no account `nobody`
             credit list nobody                               -> refused: there is no account `nobody`",
            month = office.month,
        ),
    )?;
    let accounts = office.json(&["account", "list"])?;
    let kept = accounts
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["account"] == one.as_str());
    let kept = kept.context("the account")?;
    ensure!(
        kept["due_days"] == 14 && kept["organisation"] == "group",
        "{kept}"
    );
    ensure!(
        kept["address"] == serde_json::json!([]) && kept["tax_id"] == Value::Null,
        "{kept}"
    );
    Ok(())
}

/// A credit is never worth nothing by a slip of the pen; a price book that takes its item away is told of, and is taken.
#[test]
fn credits_are_for_what_price_books_have() -> Result<()> {
    let office = Office::billed(ACCOUNTS, HOURS)?;
    let one = tenant(0);
    let next = Month::parse(&month_name())?.next()?;
    let book = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/price-books/storage-cny.toml"
    );
    let prices = std::fs::read_to_string(book)?;
    let less = office.path("less.toml").display().to_string();
    std::fs::write(&less, prices.replace("\"storage\"", "\"disk\""))?;
    let grant = format!("credit grant {one} --key a --title A --amount '1.00 CNY' --item");
    obey(
        &office,
        &format!(
            "{grant} storge                          -> refused: did you mean `storage`?
             {grant} gold                            -> refused: no price book in CNY has, or ever had, an item `gold`
             {grant} storage                         -> booked at position
             credit list {one}                       -> ITEMS | storage
             price-book check {less}                 -> items and no faults | warning: credit `a` of account `{one}`
             price-book check {book}                 -> no faults | without warning
             price-book diff 'Storage, CNY' {less}   -> item `storage` is gone | warning: credit `a` of account `{one}`
             price-book add {less} --from {next}     -> prices from | warning: credit `a` of account `{one}`"
        ),
    )
}
