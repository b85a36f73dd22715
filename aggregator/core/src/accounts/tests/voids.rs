//! What becomes free again when a document is void, and months that are billed again; the sentence above says what it
//! protects.

use super::world::World;

fn check(table: &str) {
    World::new().obey(table);
}

/// An invoice that went to the wrong company is issued again, once, however often it is asked for; the books have it once.
#[test]
fn a_month_is_billed_again_after_a_void() {
    check(
        "issue acme 2026-11 100.00 tax 6.00                   -> INV-000001
         issue acme 2026-11 100.00 tax 6.00 again INV-000001  -> existed INV-000001
         void t1 INV-000001                                   -> CN-000001
         issue acme 2026-11 100.00 tax 6.00                   -> refused: ... INV-000001 is void: the month is billed again
         issue acme 2026-11 100.00 tax 6.00 again INV-000009  -> refused: ... INV-000001 is void
         &issue acme 2026-11 90.00 tax 5.40 again INV-000001  -> INV-000002
         issue acme 2026-11 90.00 tax 5.40 again INV-000001   -> existed INV-000002
         issue acme 2026-11 90.00                             -> existed INV-000002
         standing INV-000001 2026-12-10                       -> void total 106.00 paid 0.00 credited 106.00 left 0.00
         standing INV-000002 2026-12-10                       -> open total 95.40 paid 0.00 credited 0.00 left 95.40
         balance receivable/acme                              -> debit 95.40
         balance revenue/cloud                                -> credit 90.00
         balance tax/cloud                                    -> credit 5.40
         void t2 INV-000002                                   -> CN-000002
         issue acme 2026-11 90.00 again INV-000001            -> refused: ... INV-000002 is void
         issue acme 2026-11 80.00 again INV-000002            -> INV-000003
         balance receivable/acme                              -> debit 80.00
         issue beta 2026-11 1.00 again INV-000001             -> refused: ... not the void invoice of this month",
    );
}

/// Late usage that a later document bills on behind is not lost: that one goes first.
#[test]
fn a_void_loses_no_late_usage() {
    check(
        "issue acme 2026-10 50.00                             -> INV-000001
         issue acme 2026-11 10.00 late 2026-10 1 5            -> INV-000002
         issue acme 2026-12 5.00 late 2026-10 5 9             -> INV-000003
         void t1 INV-000002                                   -> refused: ... INV-000003 bills late usage of 2026-10 on
         void t2 INV-000003                                   -> CN-000001
         void t1 INV-000002                                   -> CN-000002
         issue acme 2026-12 15.00 again INV-000003 late 2026-10 5 9 -> refused: ... was billed meanwhile
         issue acme 2026-12 15.00 again INV-000003 late 2026-10 1 9 -> INV-000004
         issue acme 2026-11 10.00 again INV-000002 late 2026-10 1 5 -> refused: ... was billed meanwhile
         issue acme 2026-11 10.00 again INV-000002            -> INV-000005
         balance receivable/acme                              -> debit 75.00",
    );
}

/// What a credit note gave back for a month goes with the month's invoice, of which a void takes back only the rest.
#[test]
fn a_void_takes_back_the_notes_over_late_usage() {
    check(
        "issue acme 2026-10 100.00                            -> INV-000001
         less t1 INV-000001 20.00 2026-10 1 5                 -> CN-000001
         issue acme 2026-11 7.00 late 2026-10 5 9             -> INV-000002
         void t2 INV-000001                                   -> refused: ... INV-000002 bills late usage of 2026-10 on
         void t3 INV-000002                                   -> CN-000002
         void t2 INV-000001                                   -> CN-000003
         balance revenue/cloud                                -> zero
         issue acme 2026-10 100.00 again INV-000001           -> INV-000003
         issue acme 2026-11 7.00 again INV-000002 late 2026-10 5 9   -> refused: ... was billed meanwhile
         issue acme 2026-11 -13.00 again INV-000002 late 2026-10 1 9 -> INV-000004
         balance revenue/cloud                                -> credit 87.00",
    );
}

/// A debit note over late usage is a document of its own: void, its part is free again.
#[test]
fn a_void_debit_note_frees_its_late_usage() {
    check(
        "issue acme 2026-10 100.00                            -> INV-000001
         more t1 INV-000001 20.00 2026-10 1 5                 -> DN-000001
         more t2 INV-000001 3.00 2026-10 5 9                  -> DN-000002
         void t3 DN-000001                                    -> refused: ... DN-000002 bills late usage of 2026-10 on
         void t4 DN-000002                                    -> CN-000001
         more t5 INV-000001 3.00 2026-10 5 9                  -> DN-000003
         more t6 INV-000001 3.00 2026-10 5 9                  -> refused: ... was billed meanwhile",
    );
}

/// A fee that is billed ahead is neither lost nor paid twice, in whichever order months are taken back and billed.
#[test]
fn a_void_loses_no_fee_that_is_billed_ahead() {
    check(
        "issue acme 2026-11 20.00 ahead 2026-12               -> INV-000001
         issue acme 2026-12 20.00 ahead 2027-01               -> INV-000002
         void t1 INV-000001                                   -> refused: ... INV-000002 counts on fees of 2026-12
         void t2 INV-000002                                   -> CN-000001
         void t1 INV-000001                                   -> CN-000002
         issue acme 2026-12 40.00 again INV-000002 ahead 2027-01 -> INV-000003
         issue acme 2026-11 20.00 again INV-000001 ahead 2026-12 -> refused: ... which INV-000003 bills already
         void t3 INV-000003                                   -> CN-000003
         issue acme 2026-11 20.00 again INV-000001 ahead 2026-12 -> INV-000004
         issue acme 2026-12 20.00 again INV-000003 ahead 2027-01 -> INV-000005",
    );
}

/// Late usage has the taxes of its own rates; what other notes take back stays in proportion, to the last cent.
#[test]
fn notes_over_late_usage_have_their_own_taxes() {
    check(
        "issue acme 2026-11 1000.00 tax 13.00                 -> INV-000001
         more t1 INV-000001 100.00 2026-11 1 5                -> DN-000001
         balance tax/cloud                                    -> credit 13.00
         more t2 INV-000001 113.00 2026-11 5 6 13=13.00       -> DN-000002
         balance tax/cloud                                    -> credit 26.00
         less t3 INV-000001 56.50 2026-11 6 7 13=6.50         -> CN-000001
         balance tax/cloud                                    -> credit 19.50
         less t4 INV-000001 100.00 2026-11 7 8                -> CN-000002
         balance tax/cloud                                    -> credit 19.50
         credit t5 INV-000001 200.00                          -> CN-000003
         credit t6 INV-000001 656.50                          -> CN-000004
         balance tax/cloud                                    -> credit 13.00
         more t7 INV-000001 1.00 2026-11 8 9 106=1.00         -> DN-000003
         void t8 DN-000003                                    -> CN-000005
         more t9 INV-000001 1.00 2026-11 8 9 thirteen=1.00    -> refused: ...",
    );
}

/// A void behind a note over late usage takes back exactly the rest of the tax.
#[test]
fn a_void_behind_such_a_note_takes_back_the_rest() {
    check(
        "issue acme 2026-11 1000.00 tax 13.00                 -> INV-000001
         less t1 INV-000001 100.00 2026-11 1 5                -> CN-000001
         void t2 INV-000001                                   -> CN-000002
         balance tax/cloud                                    -> zero
         balance revenue/cloud                                -> zero
         balance receivable/acme                              -> zero",
    );
}
