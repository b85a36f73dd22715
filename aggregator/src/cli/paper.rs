//! Invoices and notes as files, and as text for a terminal. Knows no store.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use tallyman_aggregator_core::accounts::Document;
use tallyman_paper::Extra;

use super::lists::grid;
use super::print;
use super::why::{list, word};
use crate::document_file::{Format, document_file};

/// Writes a document as what the file's name says.
pub fn write(found: &Value, to: &Path, as_json: bool) -> anyhow::Result<()> {
    let document: Document = serde_json::from_value(found["document"].clone())?;
    let extra = Extra {
        external_tax_number: found["standing"]["external_tax_number"]
            .as_str()
            .map(str::to_owned),
    };
    let format = to.extension().and_then(|it| it.to_str()).and_then(Format::parse);
    let format =
        format.with_context(|| format!("{}: the name ends in .pdf, .html, .csv or .json", to.display()))?;
    let bytes = document_file(&document, &extra, format)?;
    std::fs::write(to, &bytes).with_context(|| to.display().to_string())?;
    let missing: String = match format {
        Format::Pdf => tallyman_paper::missing_glyphs(&document).into_iter().collect(),
        _ => String::new(),
    };
    let mut text = format!("{}: {} bytes\n", to.display(), bytes.len());
    if !missing.is_empty() {
        text.push_str(&format!("characters that the PDF can't show: {missing}\n"));
    }
    let value = json!({"file": to, "bytes": bytes.len(), "missing_characters": missing});
    print(as_json, &value, &text)
}

/// A list of documents for a terminal.
pub fn listed(rows: &Value) -> String {
    grid(COLUMNS, rows)
}

/// What a list shows of each.
const COLUMNS: &[&str] = &[
    "number", "kind", "account", "month", "issued", "due", "currency", "total", "left", "status",
];

/// A document for a terminal: its head, its lines, its movements.
pub fn shown(found: &Value) -> anyhow::Result<String> {
    let (document, standing) = (&found["document"], &found["standing"]);
    let mut out = format!(
        "{} {} of {} for {}, issued {}, due {}\n",
        word(&document["kind"]),
        word(&document["number"]),
        word(&document["account"]["name"]),
        word(&document["period"]["month"]),
        word(&document["issued"]),
        word(&document["due"]),
    );
    for (name, text) in [
        ("corrects", &document["corrects"]),
        ("reason", &document["reason"]),
    ] {
        if let Some(text) = text.as_str() {
            out.push_str(&format!("{name}: {text}\n"));
        }
    }
    let columns = ["number", "section", "title", "quantity", "unit", "amount"];
    out.push_str(&grid(&columns, &Value::Array(rows(document))));
    if standing.is_null() {
        out.push_str("not issued: it can change until its month is final\n");
        return Ok(out);
    }
    for name in ["total", "paid", "credited", "left", "disputed", "status"] {
        out.push_str(&format!("{name}: {}\n", word(&standing[name])));
    }
    out.push_str(&became(standing, &found["disputes"]));
    if standing["payments"].as_array().is_some_and(|all| !all.is_empty()) {
        out.push_str(&grid(
            &["on", "source", "reference", "amount"],
            &standing["payments"],
        ));
    }
    Ok(out)
}

/// What came of a document behind its issue, besides payments: the tax office's number, notes, disputes.
fn became(standing: &Value, disputes: &Value) -> String {
    let mut out = String::new();
    if let Some(number) = standing["external_tax_number"].as_str() {
        out.push_str(&format!("number of the tax office: {number}\n"));
    }
    let notes: Vec<&str> = list(&standing["notes"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if !notes.is_empty() {
        out.push_str(&format!("notes: {}\n", notes.join(", ")));
    }
    for it in list(disputes) {
        out.push_str(&format!(
            "dispute over {}: {}\n",
            word(&it["amount"]),
            word(&it["reason"])
        ));
        for answer in list(&it["answers"]) {
            out.push_str(&format!("  answered: {}\n", word(answer)));
        }
        let end = &it["resolved"];
        if end.is_object() {
            let how = end["note"].as_str().map_or("without a note", |note| note);
            out.push_str(&format!("  ended, {how}: {}\n", word(&end["reason"])));
        }
    }
    out
}

/// Everything that makes the total, row by row, so that a reader can add it up.
fn rows(document: &Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for section in list(&document["sections"]) {
        rows.extend(list(&section["lines"]).iter().map(|line| {
            let mut row = line.clone();
            row["section"] = section["title"].clone();
            // What is corrected of an earlier month, beside the same items of this one.
            let month = section["month"].as_str();
            let month = month.filter(|it| document["period"]["month"] != *it);
            if let (Some(title), Some(month)) = (section["title"].as_str(), month) {
                row["section"] = json!(format!("{title} ({month})"));
            }
            row["title"] = json!(noted(line));
            row
        }));
    }
    let sum = |title: &str, amount: &Value| json!({"number": "", "section": "", "title": title, "quantity": "", "unit": "", "amount": amount});
    rows.push(sum("subtotal", &document["subtotal"]));
    for name in ["discounts", "credits"] {
        let all = list(&document[name]).iter();
        rows.extend(all.map(|it| sum(&percented(it), &it["amount"])));
    }
    for tax in list(&document["taxes"]) {
        let included = if tax["included"] == true {
            " (included)"
        } else {
            ""
        };
        let title = format!("{} of {}{included}", percented(tax), word(&tax["basis"]));
        rows.push(sum(&title, &tax["amount"]));
    }
    rows.push(sum("total", &document["total"]));
    rows
}

/// A title with the words that explain it.
pub(super) fn noted(of: &Value) -> String {
    let title = word(&of["title"]);
    match of["note"].as_str() {
        Some(note) => format!("{title} ({note})"),
        None => title,
    }
}

/// A title with its percentage.
pub(super) fn percented(of: &Value) -> String {
    let title = word(&of["title"]);
    match of["percent"].as_str() {
        Some(percent) => format!("{title} {percent} %"),
        None => title,
    }
}
