//! The rules of money, one table each; the sentence above says what it protects. A line is an order and its answer.

use super::world::World;

fn check(table: &str) {
    World::new().obey(table);
}

/// A payer owes what the invoice says, the seller earned it without the tax, and the tax is owed to the tax office.
#[test]
fn an_invoice_is_a_receivable_revenue_and_tax() {
    check(
        "issue acme 2026-11 100.00 discount 10.00 tax 5.40  -> INV-000001
         standing INV-000001 2026-12-04                     -> open total 95.40 paid 0.00 credited 0.00 left 95.40
         balance receivable/acme                            -> debit 95.40
         balance revenue/cloud                              -> credit 90.00
         balance tax/cloud                                  -> credit 5.40
         issue beta 2026-11 106.00 included 6.00            -> INV-000002
         balance revenue/cloud                              -> credit 190.00
         balance tax/cloud                                  -> credit 11.40",
    );
}

/// A run that is asked for again issues nothing twice, and says which invoice is there.
#[test]
fn one_invoice_for_each_account_month_and_kind() {
    check(
        "issue acme 2026-11 100.00                  -> INV-000001
         issue acme 2026-11 120.00                  -> existed INV-000001
         &issue beta 2026-11 7.00                   -> INV-000002
         issue beta 2026-11 8.00                    -> existed INV-000002
         issue acme 2026-12 50.00                   -> INV-000003
         standing INV-000001 2026-12-04             -> open total 100.00 paid 0.00 credited 0.00 left 100.00
         standing INV-000004 2026-12-04             -> none",
    );
}

/// An invoice whose lines do not sum to its total never gets a number, and takes none away from the series.
#[test]
fn sums_are_checked_before_a_number_is_given() {
    let mut world = World::new();
    let mut wrong = super::drafts::draft("acme", "2026-11", "100.00", &["tax", "6.00"]);
    wrong.document.total = "107.00".to_owned();
    let right = super::drafts::draft("beta", "2026-11", "100.00", &[]);
    let answer = world.ask(crate::accounts::MoneyCommand::IssueInvoices {
        month: "2026-11".to_owned(),
        documents: vec![wrong, right],
    });
    let words = super::world::words_of(&answer);
    assert!(
        words.contains("sum to 106.00 CNY, the document says 107.00 CNY"),
        "{words}"
    );
    assert!(words.ends_with(", INV-000001"), "{words}");
}

/// Money is never lost: part of an invoice, several at once, and more than is owed, which stays the payer's.
#[test]
fn payments_are_partial_over_and_for_several() {
    check(
        "issue acme 2026-11 100.00                                -> INV-000001
         issue acme 2026-12 50.00                                 -> INV-000002
         pay t1 acme 30.00 INV-000001=30.00                       -> booked
         standing INV-000001 2026-12-10                           -> open total 100.00 paid 30.00 credited 0.00 left 70.00
         pay t2 acme 100.00 INV-000001=70.00 INV-000002=30.00     -> booked
         standing INV-000001 2026-12-10                           -> paid total 100.00 paid 100.00 credited 0.00 left 0.00
         pay t3 acme 25.00 INV-000002=25.00                       -> to balance 5.00
         standing INV-000002 2026-12-10                           -> paid total 50.00 paid 50.00 credited 0.00 left 0.00
         balance prepaid/acme                                     -> credit 5.00
         balance cash/bank                                        -> debit 155.00
         balance receivable/acme                                  -> zero",
    );
}

/// An invoice is not paid twice by mistake; who means it says so, and the money is paid ahead.
#[test]
fn a_paid_invoice_is_not_paid_again() {
    check(
        "issue acme 2026-11 100.00                        -> INV-000001
         pay t1 acme 100.00 INV-000001=100.00             -> booked
         pay t2 acme 100.00 INV-000001=100.00             -> refused: ... INV-000001 is paid
         balance cash/bank                                -> debit 100.00
         pay t2 acme 100.00 INV-000001=100.00 rest        -> to balance 100.00
         standing INV-000001 2026-12-10                   -> paid total 100.00 paid 100.00 credited 0.00 left 0.00
         pay t3 acme 20.00                                -> refused: ... say that the rest goes to the prepaid balance
         pay t3 acme 20.00 rest                           -> to balance 20.00
         pay t4 acme 10.00 INV-000001=11.00 rest          -> refused: ... more is allocated
         pay t5 beta 10.00 INV-000001=10.00               -> refused: ... is of account `acme`
         pay t6 acme 10.00 INV-000009=10.00               -> refused: ... there is no
         pay t7 acme 0.00 rest                            -> refused: ... above zero",
    );
}

/// A movement that is sent twice counts once, also when both come in the same moment; another one under its trace is loud.
#[test]
fn a_trace_counts_once() {
    check(
        "issue acme 2026-11 100.00                   -> INV-000001
         &pay t1 acme 60.00 INV-000001=60.00         -> booked
         pay t1 acme 60.00 INV-000001=60.00          -> again
         pay t1 acme 60.00 INV-000001=60.00          -> again
         pay t1 acme 40.00 INV-000001=40.00          -> refused: ... trace `t1` was used for something else
         refund t1 acme 1.00                         -> refused: ... trace `t1` was used for something else
         standing INV-000001 2026-12-10              -> open total 100.00 paid 60.00 credited 0.00 left 40.00
         &pay t2 acme 30.00 INV-000001=30.00         -> booked
         pay t3 acme 30.00 INV-000001=30.00          -> to balance 20.00
         balance prepaid/acme                        -> credit 20.00",
    );
}

/// A slip of the pen in the day of a payment is found before it is booked.
#[test]
fn money_comes_on_a_day_that_has_been() {
    check(
        "pay t1 acme 1.00 rest on=2027-12-04          -> refused: ... still to come
         pay t1 acme 1.00 rest on=2026-12-05          -> refused: ... still to come
         pay t1 acme 1.00 rest on=1999-12-04          -> refused: ... had nothing to pay before 2025-10-30
         pay t1 acme 1.00 rest on=2025-10-29          -> refused: ... had nothing to pay before 2025-10-30
         pay t1 acme 1.00 rest on=2025-10-30          -> to balance 1.00
         pay t2 acme 1.00 rest on=2026-12-04          -> to balance 1.00
         issue acme 2024-11 100.00                    -> INV-000001
         pay t3 acme 1.00 rest on=2024-10-31          -> refused: ... had nothing to pay before 2024-11-01
         pay t3 acme 1.00 INV-000001=1.00 on=2024-11-01 -> booked
         now 2026-12-05
         pay t4 acme 1.00 rest on=2026-12-06          -> refused: ... still to come",
    );
}

/// Nobody spends more than was paid ahead.
#[test]
fn the_prepaid_balance_never_falls_below_zero() {
    check(
        "pay t1 acme 50.00 rest                      -> to balance 50.00
         issue acme 2026-11 80.00                    -> INV-000001
         apply t2 acme INV-000001=60.00              -> refused: ... is 50.00 CNY, less than 60.00 CNY
         apply t3 acme INV-000001=30.00              -> to balance -30.00
         standing INV-000001 2026-12-10              -> open total 80.00 paid 30.00 credited 0.00 left 50.00
         &refund t4 acme 15.00                       -> to balance -15.00
         refund t5 acme 15.00                        -> refused: ... is 5.00 CNY, less than 15.00 CNY
         apply t6 acme INV-000001=51.00              -> refused: ... has 50.00 CNY left
         balance prepaid/acme                        -> credit 5.00
         balance cash/bank                           -> debit 35.00",
    );
}

/// Invoices of nothing exist and are paid; tiny ones are owed like all others; negative ones are the payer's money.
#[test]
fn zero_tiny_and_negative_invoices_have_a_rule() {
    check(
        "issue a 2026-11 0.00                        -> INV-000001
         standing INV-000001 2026-12-10              -> paid total 0.00 paid 0.00 credited 0.00 left 0.00
         issue b 2026-11 0.01                        -> INV-000002
         standing INV-000002 2027-01-04              -> overdue total 0.01 paid 0.00 credited 0.00 left 0.01 late 1
         issue c 2026-11 -12.50                      -> INV-000003
         standing INV-000003 2026-12-10              -> paid total -12.50 paid -12.50 credited 0.00 left 0.00
         balance prepaid/c                           -> credit 12.50
         balance receivable/c                        -> zero
         refund t1 c 10.00                           -> to balance -10.00
         void t2 INV-000003                          -> refused: ... is 2.50 CNY, less than 12.50 CNY
         pay t3 c 10.00 rest                         -> to balance 10.00
         void t2 INV-000003                          -> CN-000001, to balance -12.50
         balance prepaid/c                           -> zero
         balance revenue/cloud                       -> credit 0.01",
    );
}

/// Overdue begins the day after the due day.
#[test]
fn due_days_are_inclusive() {
    check(
        "issue acme 2026-11 100.00                   -> INV-000001
         standing INV-000001 2027-01-03              -> open total 100.00 paid 0.00 credited 0.00 left 100.00
         standing INV-000001 2027-01-04              -> overdue total 100.00 paid 0.00 credited 0.00 left 100.00 late 1
         standing INV-000001 2027-03-03              -> overdue total 100.00 paid 0.00 credited 0.00 left 100.00 late 59",
    );
}

/// Corrections never exceed what they correct, and give back the tax in proportion, to the last cent.
#[test]
fn credit_notes_stay_within_the_invoice() {
    check(
        "issue acme 2026-11 100.00 tax 6.00          -> INV-000001
         credit t1 INV-000001 10.00                  -> CN-000001
         standing INV-000001 2026-12-10              -> open total 106.00 paid 0.00 credited 10.00 left 96.00
         standing CN-000001 2026-12-10               -> paid total -10.00 paid -10.00 credited 0.00 left 0.00
         balance tax/cloud                           -> credit 5.43
         credit t2 INV-000001 96.01                  -> refused: ... is above the 96.00 CNY that is left
         &credit t3 INV-000001 90.00                 -> CN-000002
         credit t4 INV-000001 90.00                  -> refused: ... is above the 6.00 CNY that is left
         credit t4 INV-000001 6.00                   -> CN-000003
         balance tax/cloud                           -> zero
         balance revenue/cloud                       -> zero
         balance receivable/acme                     -> zero
         credit t5 CN-000001 1.00                    -> refused: ... above
         standing INV-000001 2026-12-10              -> paid total 106.00 paid 0.00 credited 106.00 left 0.00",
    );
}

/// What was paid before a correction is not lost: it stays the payer's.
#[test]
fn a_credit_note_on_a_paid_invoice_goes_to_the_balance() {
    check(
        "issue acme 2026-11 100.00                   -> INV-000001
         pay t1 acme 90.00 INV-000001=90.00          -> booked
         credit t2 INV-000001 30.00                  -> CN-000001, to balance 20.00
         standing INV-000001 2026-12-10              -> paid total 100.00 paid 70.00 credited 30.00 left 0.00
         balance prepaid/acme                        -> credit 20.00
         balance receivable/acme                     -> zero",
    );
}

/// A debit note is owed by itself, with its own day, and can be paid and made void.
#[test]
fn a_debit_note_is_a_receivable_of_its_own() {
    check(
        "issue acme 2026-11 100.00 tax 6.00          -> INV-000001
         debit t0 INV-000001 53.00 2026-12-03        -> refused: ... before its issue on 2026-12-04
         debit t1 INV-000001 53.00 2027-02-01        -> DN-000001
         standing INV-000001 2026-12-10              -> open total 106.00 paid 0.00 credited 0.00 left 106.00
         standing DN-000001 2027-02-03               -> overdue total 53.00 paid 0.00 credited 0.00 left 53.00 late 2
         balance tax/cloud                           -> credit 9.00
         pay t2 acme 159.00 INV-000001=106.00 DN-000001=53.00 -> booked
         void t3 DN-000001                           -> CN-000001, to balance 53.00
         standing DN-000001 2027-02-03               -> void total 53.00 paid 0.00 credited 53.00 left 0.00
         balance tax/cloud                           -> credit 6.00
         balance prepaid/acme                        -> credit 53.00",
    );
}

/// A void keeps its number, is credited in full, and the payer keeps what was paid; the series goes on behind it.
#[test]
fn a_void_keeps_its_number() {
    check(
        "grant acme welcome 20.00 50                          -> booked
         issue acme 2026-11 100.00 credit welcome 20.00 tax 4.80 -> INV-000001
         balance grant/acme/welcome                           -> zero
         pay t1 acme 50.00 INV-000001=50.00                   -> booked
         void t2 INV-000001                                   -> CN-000001, to balance 50.00
         void t2 INV-000001                                   -> again, CN-000001, to balance 50.00
         void t3 INV-000001                                   -> refused: ... is void by credit note CN-000001
         pay t4 acme 10.00 INV-000001=10.00 rest              -> refused: ... is void
         standing INV-000001 2027-02-01                       -> void total 84.80 paid 0.00 credited 84.80 left 0.00
         balance receivable/acme                              -> zero
         balance revenue/cloud                                -> zero
         balance tax/cloud                                    -> zero
         balance grant/acme/welcome                           -> credit 20.00
         balance prepaid/acme                                 -> credit 50.00
         issue acme 2026-11 90.00                             -> refused: ... bill run --period 2026-11 --account acme --again
         issue acme 2026-12 90.00                             -> INV-000002",
    );
}

/// A void behind a partial credit note takes back exactly the rest, credits and tax too.
#[test]
fn a_void_takes_back_what_notes_left() {
    check(
        "grant acme welcome 20.00 50                          -> booked
         issue acme 2026-11 100.00 credit welcome 20.00 tax 4.80 -> INV-000001
         credit t1 INV-000001 33.33                           -> CN-000001
         void t2 INV-000001                                   -> CN-000002
         standing INV-000001 2027-02-01                       -> void total 84.80 paid 0.00 credited 84.80 left 0.00
         balance revenue/cloud                                -> zero
         balance tax/cloud                                    -> zero
         balance grant/acme/welcome                           -> credit 20.00",
    );
}

/// Who contests an amount is not dunned for it; what is not contested is due all the same.
#[test]
fn what_is_disputed_does_not_become_overdue() {
    check(
        "issue acme 2026-11 100.00                   -> INV-000001
         dispute t1 INV-000001 100.01                -> refused: ... above the 100.00 CNY
         dispute t1 INV-000001 40.00                 -> booked
         dispute t2 INV-000001 10.00                 -> refused: ... is disputed already
         standing INV-000001 2027-01-04              -> overdue total 100.00 paid 0.00 credited 0.00 left 100.00 disputed 40.00 late 1
         pay t3 acme 60.00 INV-000001=60.00          -> booked
         standing INV-000001 2027-01-04              -> disputed total 100.00 paid 60.00 credited 0.00 left 40.00 disputed 40.00
         answer t4 INV-000001 we look at it          -> booked
         resolve t5 INV-000001 credited 40.01        -> refused: ... above the 40.00 CNY
         resolve t5 INV-000001 credited 25.00        -> CN-000001
         standing INV-000001 2027-01-04              -> overdue total 100.00 paid 60.00 credited 25.00 left 15.00 late 1
         resolve t6 INV-000001 rejected              -> refused: ... has no open dispute
         dispute t7 INV-000001 15.00                 -> booked
         resolve t8 INV-000001 rejected              -> booked
         standing INV-000001 2027-01-04              -> overdue total 100.00 paid 60.00 credited 25.00 left 15.00 late 1",
    );
}

/// A credit is spent once, only by its account, and its rest is taken back at its end.
#[test]
fn credits_are_used_once_and_end() {
    check(
        "grant acme welcome 30.00 50 2027-01-01             -> booked
         grant acme welcome 30.00 50 2027-01-01             -> again
         grant acme welcome 31.00 50 2027-01-01             -> refused: ... was used for something else
         balance promotion                                  -> debit 30.00
         balance grant/acme/welcome                         -> credit 30.00
         issue beta 2026-11 10.00 credit welcome 10.00      -> refused: ... there is no credit `beta/welcome`
         &issue acme 2026-11 20.00 credit welcome 20.00     -> INV-000001
         issue acme 2026-12 20.00 credit welcome 20.00      -> refused: ... has 10.00 CNY left
         standing INV-000001 2026-12-10                     -> paid total 0.00 paid 0.00 credited 0.00 left 0.00
         balance revenue/cloud                              -> credit 20.00
         expire                                             -> nothing
         now 2027-01-01
         expire                                             -> booked
         expire                                             -> nothing
         balance grant/acme/welcome                         -> zero
         balance promotion                                  -> debit 20.00
         grant acme late 1.00 50 2026-12-31                 -> refused: ... has ended",
    );
}

/// After a restore nobody knows which numbers were given behind the backup: none is given until that is settled, and then
/// under another name, so that no number is ever given twice.
#[test]
fn a_restore_fences_the_series() {
    check(
        "issue acme 2026-11 100.00                   -> INV-000001
         restore
         issue beta 2026-11 100.00                   -> refused: ... no number is given until the restore is settled
         void t1 INV-000001                          -> refused: ... no number is given until the restore is settled
         credit t2 INV-000001 10.00                  -> refused: ... no number is given until the restore is settled
         pay t3 acme 10.00 INV-000001=10.00          -> booked
         settle
         issue beta 2026-11 100.00                   -> INV-R261204000000-000001
         issue gamma 2026-11 100.00                  -> INV-R261204000000-000002
         credit t2 INV-000001 10.00                  -> CN-R261204000000-000001
         issue acme 2026-11 100.00                   -> existed INV-000001",
    );
}

/// Each seller has its own series, and no two sellers share one.
#[test]
fn a_series_belongs_to_one_seller() {
    check(
        "issue acme 2026-11 100.00                              -> INV-000001
         issue beta 2026-11 100.00 seller west                  -> refused: ... are for each invoice of seller `cloud`
         issue beta 2026-11 100.00 seller west prefix WEST      -> WEST-000001
         issue gamma 2026-11 100.00 seller west prefix W-1      -> refused: ... prefix
         issue gamma 2026-11 100.00                             -> INV-000002
         credit t1 WEST-000001 1.00                             -> CNWEST-000001
         credit t2 INV-000001 1.00                              -> CN-000001
         issue delta 2026-11 1.00 prefix CN                     -> refused: ... are for each credit_note",
    );
}

/// Amounts of which sums could not be kept are refused before they are booked.
#[test]
fn absurd_amounts_are_refused() {
    check(
        "pay t1 acme 100000000000000.01 rest         -> refused: ... more than can be booked
         grant acme k 100000000000000.01 50          -> refused: ... more than can be booked
         pay t2 acme 100000000000000.00 rest         -> to balance 100000000000000.00",
    );
}

/// The tax office's number comes later, is no part of the invoice, and is one invoice's of a seller.
#[test]
fn the_tax_offices_number_stands_beside_the_invoice() {
    let mut world = World::new();
    world.obey(
        "issue acme 2026-11 100.00                   -> INV-000001
         fapiao t1 INV-000001 24312000000012345678   -> booked
         fapiao t2 INV-000009 24312000000012345678   -> refused: ... there is no
         issue beta 2026-11 100.00                   -> INV-000002
         fapiao t3 INV-000002 24312000000012345678   -> refused: ... INV-000001 has the tax office's number
         fapiao t4 INV-000001 24312000000012345678   -> booked
         issue beta 2026-12 1.00 seller west prefix W -> W-000001
         fapiao t5 W-000001 24312000000012345678     -> booked
         fapiao t6 INV-000001 24312000000099999999   -> booked
         fapiao t7 INV-000002 24312000000012345678   -> booked
         fapiao t8 INV-000001 24312000000012345678   -> refused: ... INV-000002 has the tax office's number",
    );
    let found = crate::accounts::reads::document(&world.store, "INV-000001")
        .unwrap()
        .unwrap();
    assert_eq!(
        found.1.external_tax_number.as_deref(),
        Some("24312000000099999999")
    );
    assert_eq!(found.0.number.as_deref(), Some("INV-000001"));
    assert_eq!(found.0.due.as_deref(), Some("2027-01-03"));
}

/// One line is not taken back twice by notes that are each small beside the invoice; the line is what it comes to with its tax.
#[test]
fn what_notes_take_back_of_a_line_is_never_more_than_it() {
    check(
        "issue acme 2026-11 100.00 tax 6.00                      -> INV-000001
         credit t1 INV-000001 line 2 1.00                        -> refused: INV-000001 has no line 2: its lines are 1 to 1
         credit t1 INV-000001 line 0 1.00                        -> refused: INV-000001 has no line 0: its lines are 1 to 1
         credit t1 INV-000001 line 1 106.01                      -> refused: a credit note over 106.01 CNY is above the 106.00 CNY that is left of INV-000001
         credit t1 INV-000001 line 1 60.00                       -> CN-000001
         credit t1 INV-000001 line 1 60.00                       -> again, CN-000001",
    );
    check(
        "issue acme 2026-11 100.00 rate 6 60.00 discount 3.60    -> INV-000001
         issue acme 2026-12 100.00 included 6.00                 -> INV-000002
         debit t0 INV-000002 50.00 2027-01-31                    -> DN-000001
         credit t1 INV-000002 line 1 99.00                       -> CN-000001
         credit t2 INV-000002 line 1 1.01                        -> refused: a credit note over 1.01 CNY is above the 1.00 CNY that is left of INV-000002
         credit t3 DN-000001 line 1 20.00                        -> CN-000002",
    );
}

/// The line alone is the bound where the invoice has room: a second line, or a surcharge on top.
#[test]
fn a_line_is_bound_by_itself() {
    let mut world = World::new();
    let mut draft = super::drafts::draft("acme", "2026-11", "100.00", &[]);
    let section = &mut draft.document.sections[0];
    let mut second = section.lines[0].clone();
    (second.number, second.title, second.amount) = (2, "Traffic".to_owned(), "40.00".to_owned());
    section.lines[0].amount = "60.00".to_owned();
    section.lines.push(second);
    world.ask(crate::accounts::MoneyCommand::IssueInvoices {
        month: "2026-11".to_owned(),
        documents: vec![draft],
    });
    world.obey(
        "credit t1 INV-000001 line 2 25.00    -> CN-000001
         credit t2 INV-000001 line 2 15.01    -> refused: 15.01 CNY is above the 15.00 CNY that is left of line 2 of INV-000001 (`Traffic`), which comes to 40.00 CNY with tax
         credit t2 INV-000001 line 2 15.00    -> CN-000002
         credit t3 INV-000001 line 2 0.01     -> refused: 0.01 CNY is above the 0.00 CNY that is left of line 2 of INV-000001 (`Traffic`), which comes to 40.00 CNY with tax
         credit t3 INV-000001 line 1 60.00    -> CN-000003
         standing INV-000001 2026-12-10       -> paid total 100.00 paid 0.00 credited 100.00 left 0.00",
    );
    let (note, _) = crate::accounts::reads::document(&world.store, "CN-000001")
        .unwrap()
        .unwrap();
    let line = &note.sections[0].lines[0];
    assert_eq!((&*line.title, line.corrects_line), ("Traffic", Some(2)));
    assert_eq!(line.note.as_deref(), Some("line 2"));
}
