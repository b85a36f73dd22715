//! Invoices and notes as files, and as text for a terminal. Knows no store.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use tallyman_aggregator_core::accounts::Document;
use tallyman_paper::Extra;

use super::lists::grid;
use super::print;

/// Writes a document as PDF or HTML, whichever the file's name says.
pub fn write(found: &Value, to: &Path, as_json: bool) -> anyhow::Result<()> {
    let document: Document = serde_json::from_value(found["document"].clone())?;
    let extra = Extra {
        external_tax_number: found["standing"]["external_tax_number"]
            .as_str()
            .map(str::to_owned),
    };
    let bytes = match to.extension().and_then(|it| it.to_str()) {
        Some("pdf") => tallyman_paper::pdf(&document, &extra)?,
        Some("html") => tallyman_paper::html(&document, &extra).into_bytes(),
        _ => anyhow::bail!("{}: the name ends in .pdf or .html", to.display()),
    };
    std::fs::write(to, &bytes).with_context(|| to.display().to_string())?;
    let missing: String = tallyman_paper::missing_glyphs(&document).into_iter().collect();
    let mut text = format!("{}: {} bytes\n", to.display(), bytes.len());
    if !missing.is_empty() {
        text.push_str(&format!("characters that the PDF can't show: {missing}\n"));
    }
    let value = serde_json::json!({"file": to, "bytes": bytes.len(), "missing_characters": missing});
    print(as_json, &value, &text)
}

/// A document for a terminal: its head, its lines, its movements.
pub fn shown(found: &Value) -> anyhow::Result<String> {
    let (document, standing) = (&found["document"], &found["standing"]);
    let text = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), str::to_owned);
    let mut out = format!(
        "{} {} of {} for {}, issued {}, due {}\n",
        text(&document["kind"]),
        text(&document["number"]),
        text(&document["account"]["name"]),
        text(&document["period"]["month"]),
        text(&document["issued"]),
        text(&document["due"]),
    );
    let mut rows = Vec::new();
    for section in document["sections"].as_array().into_iter().flatten() {
        rows.extend(section["lines"].as_array().into_iter().flatten().cloned());
    }
    out.push_str(&grid(
        &["number", "title", "quantity", "unit", "amount"],
        &Value::Array(rows),
    ));
    for name in ["total", "paid", "credited", "left", "disputed", "status"] {
        out.push_str(&format!("{name}: {}\n", text(&standing[name])));
    }
    if standing["payments"].as_array().is_some_and(|all| !all.is_empty()) {
        out.push_str(&grid(
            &["on", "source", "reference", "amount"],
            &standing["payments"],
        ));
    }
    Ok(out)
}
