//! A sheet as one HTML file: style inside, no script, everything escaped by the template. It must not choose words.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::sheet::{Card, Row, Sheet, Table};

const STYLE: &str = include_str!("html.css");

/// The whole file.
pub(crate) fn page(sheet: &Sheet) -> String {
    let words = sheet.words;
    let whole = html! {
        (DOCTYPE)
        html lang=(words.tag) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (sheet.name()) " · " (sheet.account.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (masthead(sheet))
                    @for table in &sheet.tables { (section(table, sheet)) }
                    @if sheet.tables.is_empty() { section { p.soft { (words.no_lines) } } }
                    (sums(sheet))
                    (payment(sheet))
                    (coverage(sheet))
                    footer {
                        h2 { (words.notes) }
                        (lines(&sheet.notes))
                    }
                }
                @if sheet.is_draft { div.mark aria-hidden="true" { (words.draft) } }
            }
        }
    };
    whole.into_string()
}

fn masthead(sheet: &Sheet) -> Markup {
    let words = sheet.words;
    html! {
        header {
            div.seller { strong { (sheet.seller.name) } (lines(&sheet.seller.lines)) }
            div {
                h1 { (sheet.kind) }
                @if let Some(number) = &sheet.number { div.number { (number) } }
                @if sheet.is_draft {
                    div.number {
                        span.draft { (words.draft) }
                        div.soft { (words.draft_means) }
                    }
                }
            }
        }
        div.cards {
            (card(&sheet.account))
            dl {
                @for fact in &sheet.facts {
                    dt { (fact.label) }
                    dd { @if let Some(value) = &fact.value { (value) } @else { span.blank {} } }
                }
            }
        }
    }
}

fn card(card: &Card) -> Markup {
    html! {
        div {
            div.label { (card.label) }
            strong { (card.name) }
            (lines(&card.lines))
        }
    }
}

fn lines(lines: &[String]) -> Markup {
    html! { div.lines { @for line in lines { div { (line) } } } }
}

fn section(table: &Table, sheet: &Sheet) -> Markup {
    let words = sheet.words;
    html! {
        section {
            div.title { h2 { (table.title) } span.soft { (table.about) } }
            table.items {
                thead {
                    tr {
                        th.n { (words.line) }
                        th { (words.item) }
                        th.n { (words.quantity) }
                        th { (words.unit) }
                        th.n { (words.unit_price) }
                        th.n { (sheet.amount_head) }
                    }
                }
                tbody {
                    @for row in &table.rows { (line(row)) }
                    tr.sum { td colspan="5" { (words.section_subtotal) } td.n { (table.subtotal) } }
                }
            }
        }
    }
}

fn line(row: &Row) -> Markup {
    let open = (!row.tiers.is_empty()).then_some("open");
    html! {
        tr class=[open] {
            td.n { (row.number) }
            td { (row.title) @for note in &row.notes { div.soft { (note) } } }
            td.n { (row.quantity) }
            td { (row.unit) }
            td.n { (row.price) }
            td.n { (row.amount) }
        }
        @for (at, tier) in row.tiers.iter().enumerate() {
            tr.tier.last[at + 1 == row.tiers.len()] {
                td {}
                td.range { (tier.range) }
                td.n { (tier.quantity) }
                td {}
                td.n { (tier.price) }
                td.n { (tier.amount) }
            }
        }
    }
}

fn sums(sheet: &Sheet) -> Markup {
    html! {
        table.sums {
            @for sum in &sheet.sums {
                tr {
                    td { (sum.label) @if !sum.detail.is_empty() { span.soft { (sum.detail) } } }
                    td.n { (sum.amount) }
                }
            }
        }
        div.total { span { (sheet.total.label) } strong { (sheet.total.amount) } }
        @for text in sheet.due.iter().chain(&sheet.included) { div.after { (text) } }
    }
}

fn payment(sheet: &Sheet) -> Markup {
    html! {
        @if !sheet.payment.is_empty() {
            section { h2 { (sheet.words.payment) } (lines(&sheet.payment)) }
        }
    }
}

fn coverage(sheet: &Sheet) -> Markup {
    let (words, coverage) = (sheet.words, &sheet.coverage);
    html! {
        @if !sheet.faults.is_empty() {
            section { h2.warn { (words.faults) } (lines(&sheet.faults)) }
        }
        section {
            h2 .warn[!coverage.is_complete] { (words.coverage) }
            (lines(&coverage.lines))
            @if !coverage.holes.is_empty() {
                table {
                    thead { tr { th { (words.node) } th { (words.hole) } th.n { (words.minutes) } } }
                    tbody {
                        @for [node, time, minutes] in &coverage.holes {
                            tr { td { (node) } td { (time) } td.n { (minutes) } }
                        }
                    }
                }
            }
        }
    }
}
