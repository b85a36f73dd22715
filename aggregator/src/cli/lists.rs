//! Lists of what the registry and the store know, as JSON and as tables for people. Reads one snapshot, changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tallyman_aggregator_core::api::clones::{CloneView, clones};
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::api::{closing, operator};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::rating::hour_text;
use tallyman_aggregator_core::registry::{Activation, NodeToken, Scope, TenantTerms, Token};
use tallyman_aggregator_core::rollup::cache::FoldError;
use tallyman_common::time::WallMs;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// Access tokens.
    Tokens,
    /// Nodes with their lag and holes.
    Nodes,
    /// Tokens that enrol nodes.
    NodeTokens,
    /// Nodes that two hosts speak for.
    Clones,
    /// Tenants' latest terms.
    Tenants,
    /// Price books by the hour from which they hold.
    PriceBooks,
    /// Held batches.
    Quarantine,
    /// Judged holes.
    Holes,
    /// The newest seals.
    Seals,
}

impl List {
    /// Keys that a table shows, in order.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Tokens => &["id", "scope", "status", "created", "expires"],
            Self::Nodes => &[
                "node",
                "host_name",
                "group",
                "status",
                "newest_window_end",
                "lag_ms",
            ],
            Self::NodeTokens => &["id", "group", "status", "expires", "replaces", "used_by"],
            Self::Clones => &[
                "node",
                "host_name",
                "status",
                "process",
                "address",
                "refused",
                "opened",
            ],
            Self::Tenants => &["tenant", "name", "claims", "account", "zone", "currency", "from"],
            Self::PriceBooks => &["from", "name", "currency", "items", "digest"],
            Self::Holes => &[
                "position",
                "node",
                "start",
                "end",
                "values",
                "unresolved",
                "contradictions",
            ],
            Self::Seals => &["hour", "position", "at", "values", "digest"],
            Self::Quarantine => &["position", "status", "node", "seq", "window_end", "text"],
        }
    }
}

/// The list as an array of objects.
pub fn list(which: List, books: Books<'_>) -> Result<Value, FoldError> {
    let (registry, now) = (books.registry, books.now);
    let rows = match which {
        List::Tokens => registry.tokens.iter().map(|(id, t)| token(id, t, now)).collect(),
        List::NodeTokens => registry
            .node_tokens
            .values()
            .map(|t| node_token(t, now))
            .collect(),
        List::Clones => clones(registry).iter().flat_map(clone_rows).collect(),
        List::Tenants => operator::tenants(books).iter().map(tenant).collect(),
        List::PriceBooks => registry.books.iter().map(price_book).collect(),
        List::Nodes => plain(&operator::nodes(books)?),
        List::Quarantine => plain(&operator::held(books)?),
        List::Holes => plain(&closing::holes(books)),
        List::Seals => plain(&closing::seals(books)?.seals),
    };
    Ok(Value::Array(rows))
}

fn plain<T: Serialize>(rows: &[T]) -> Vec<Value> {
    let row = |r: &T| serde_json::to_value(r).expect("views are plain data");
    rows.iter().map(row).collect()
}

fn token(id: &str, token: &Token, now: WallMs) -> Value {
    let scope = match &token.scope {
        Scope::Operator => "operator".to_owned(),
        Scope::Tenant(tenant) => format!("tenant {tenant}"),
    };
    let status = match (token.revoked, token.expires) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if now >= end => "expired",
        (None, _) => "good",
    };
    json!({
        "id": id,
        "scope": scope,
        "status": status,
        "created": instant_text(token.created),
        "expires": token.expires.map(instant_text),
        "revoked": token.revoked.map(instant_text),
    })
}

fn node_token(token: &NodeToken, now: WallMs) -> Value {
    let status = match token.used_by {
        Some(_) => "used",
        None if now >= token.expires => "expired",
        None => "good",
    };
    json!({
        "id": token.id,
        "group": token.group,
        "status": status,
        "expires": instant_text(token.expires),
        "replaces": token.replaces.map(|n| n.to_string()),
        "used_by": token.used_by.map(|n| n.to_string()),
    })
}

/// A row for each host: they are what an operator chooses from.
fn clone_rows(case: &CloneView) -> Vec<Value> {
    let host = |host| {
        let mut row = serde_json::to_value(case).expect("views are plain data");
        let of_host = serde_json::to_value(host).expect("views are plain data");
        if let (Value::Object(row), Value::Object(of_host)) = (&mut row, of_host) {
            row.remove("hosts");
            row.extend(of_host);
        }
        row
    };
    case.hosts.iter().map(host).collect()
}

/// A tenant's terms.
pub(super) fn tenant(terms: &TenantTerms) -> Value {
    json!({
        "tenant": terms.tenant,
        "name": terms.name,
        "claims": terms.claims,
        "account": terms.account,
        "zone": terms.zone,
        "currency": terms.currency,
        "language": terms.language,
        "from": hour_text(terms.from),
    })
}

fn price_book(activation: &Activation) -> Value {
    let book = &activation.book;
    json!({
        "from": hour_text(activation.from),
        "name": book.name(),
        "currency": book.currency().code(),
        "time_zone": book.time_zone().name(),
        "items": book.items().len(),
        "digest": book.digest().to_string(),
    })
}

/// The list as a table for people.
pub fn table(which: List, rows: &Value) -> String {
    grid(which.columns(), rows)
}

/// Objects as a table for people: these members of each.
pub fn grid(columns: &[&str], rows: &Value) -> String {
    let mut lines = vec![
        columns
            .iter()
            .map(|c| c.replace('_', " ").to_uppercase())
            .collect::<Vec<_>>(),
    ];
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    lines.extend(
        rows.iter()
            .map(|row| columns.iter().map(|c| cell(&row[*c])).collect()),
    );
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| lines.iter().map(|l| width(&l[at])).max().map_or(0, |w| w))
        .collect();
    let mut text = String::new();
    for line in &lines {
        for (word, wide) in line.iter().zip(&widths) {
            text.push_str(word);
            text.extend(std::iter::repeat_n(' ', wide - width(word) + 2));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Columns of a terminal: Chinese characters take two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{1100}' { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_with_chinese_names_too() {
        let rows = json!([
            {"tenant": "a", "name": "华东", "claims": ["x", "y"], "account": null, "zone": "UTC"},
            {"tenant": "bb", "name": "east", "claims": [], "account": "b", "zone": "UTC"},
        ]);
        let text = table(List::Tenants, &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("a       华东  x,y     -"), "{text}");
        assert!(lines[2].starts_with("bb      east          b"), "{text}");
    }
}
