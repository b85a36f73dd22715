//! Typed reading of a TOML table: every fault is collected with its line, no key is passed over.
//!
//! It must not know what the keys mean.

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{FAULTS_MAX, Fault, TITLE_CHARS_MAX};

/// The file's text and the faults found in it so far.
pub(super) struct Faults<'t> {
    text: &'t str,
    found: Vec<Fault>,
}

impl<'t> Faults<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            found: Vec::new(),
        }
    }

    /// Notes a fault at a byte offset of the file.
    pub(super) fn add(&mut self, offset: usize, path: &str, reason: impl Into<String>) {
        if self.found.len() < FAULTS_MAX {
            let before = self.text.get(..offset).unwrap_or(self.text);
            let line_start = before.rfind('\n').map_or(0, |it| it + 1);
            self.found.push(Fault {
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                path: path.to_owned(),
                reason: reason.into(),
            });
        }
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// All faults in the order of lines.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.found.sort();
        self.found.dedup();
        self.found
    }
}

/// A value and the byte offset at which it stands.
#[derive(Clone, Copy)]
pub(super) struct At<T> {
    pub(super) offset: usize,
    pub(super) value: T,
}

/// One table and the words that name it in messages.
pub(super) struct Reader<'t, 'i> {
    table: &'t DeTable<'i>,
    offset: usize,
    path: String,
    /// Goes before every reason: "tier 2 " inside an item.
    part: String,
}

impl<'t, 'i> Reader<'t, 'i> {
    pub(super) fn new(table: &'t DeTable<'i>, offset: usize, path: String, part: String) -> Self {
        Self {
            table,
            offset,
            path,
            part,
        }
    }

    /// Renames the table once its own key is known.
    pub(super) fn rename(&mut self, path: String) {
        self.path = path;
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Notes a fault of this table.
    pub(super) fn fault(&self, faults: &mut Faults<'_>, offset: usize, reason: impl AsRef<str>) {
        faults.add(offset, &self.path, format!("{}{}", self.part, reason.as_ref()));
    }

    /// Where a key stands, if it is there.
    pub(super) fn key_offset(&self, name: &str) -> Option<usize> {
        self.table.get_key_value(name).map(|(key, _)| key.span().start)
    }

    /// Refuses every key that `known` does not accept.
    pub(super) fn only(&self, faults: &mut Faults<'_>, names: &[&str], known: impl Fn(&str) -> bool) {
        for key in self.table.keys().filter(|key| !known(key.get_ref())) {
            let name = key.get_ref();
            let reason = format!("unknown key `{name}`; known are {}", list(names));
            self.fault(faults, key.span().start, reason);
        }
    }

    /// All keys that begin with a prefix, without it, in alphabetical order.
    pub(super) fn suffixes(&self, prefix: &str) -> Vec<String> {
        self.table
            .keys()
            .filter_map(|key| key.get_ref().strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    }

    /// A text that may be missing.
    pub(super) fn text(&self, faults: &mut Faults<'_>, name: &str) -> Option<At<&'t str>> {
        let value = self.table.get(name)?;
        let offset = value.span().start;
        match value.get_ref() {
            DeValue::String(text) if text.chars().count() > TITLE_CHARS_MAX => {
                self.fault(
                    faults,
                    offset,
                    format!("`{name}` is longer than {TITLE_CHARS_MAX} characters"),
                );
                None
            }
            DeValue::String(text)
                if text.trim() != text || text.is_empty() || text.contains(char::is_control) =>
            {
                let reason = "is empty, begins or ends with a space or has a control character";
                self.fault(faults, offset, format!("`{name}` {reason}"));
                None
            }
            DeValue::String(text) => Some(At {
                offset,
                value: text.as_ref(),
            }),
            DeValue::Float(number) => {
                let reason = "binary fractions have no place in prices; write it as a string";
                self.fault(
                    faults,
                    offset,
                    format!("`{name} = {number}`: {reason}: `\"{number}\"`"),
                );
                None
            }
            DeValue::Integer(number) => {
                self.fault(
                    faults,
                    offset,
                    format!("`{name} = {number}`: write it as a string: `\"{number}\"`"),
                );
                None
            }
            other => {
                self.fault(
                    faults,
                    offset,
                    format!("`{name}` must be a string, not {}", kind(other)),
                );
                None
            }
        }
    }

    /// A text that must be there.
    pub(super) fn required(&self, faults: &mut Faults<'_>, name: &str) -> Option<At<&'t str>> {
        self.require(faults, name);
        self.text(faults, name)
    }

    /// Notes a fault if a key is missing.
    pub(super) fn require(&self, faults: &mut Faults<'_>, name: &str) {
        if !self.table.contains_key(name) {
            self.fault(faults, self.offset, format!("`{name}` is missing"));
        }
    }

    /// A whole number that must be there.
    pub(super) fn integer(&self, faults: &mut Faults<'_>, name: &str) -> Option<At<String>> {
        self.require(faults, name);
        let value = self.table.get(name)?;
        let offset = value.span().start;
        match value.get_ref() {
            DeValue::Integer(number) => Some(At {
                offset,
                value: number.to_string(),
            }),
            other => {
                self.fault(
                    faults,
                    offset,
                    format!("`{name}` must be a whole number, not {}", kind(other)),
                );
                None
            }
        }
    }

    /// An array; empty if it is missing.
    pub(super) fn array(&self, faults: &mut Faults<'_>, name: &str) -> &'t [Spanned<DeValue<'i>>] {
        match self.table.get(name).map(|it| (it.span().start, it.get_ref())) {
            None => &[],
            Some((_, DeValue::Array(array))) => elements(array),
            Some((offset, other)) => {
                self.fault(
                    faults,
                    offset,
                    format!("`{name}` must be an array, not {}", kind(other)),
                );
                &[]
            }
        }
    }

    /// An array of texts; empty if it is missing.
    pub(super) fn texts(&self, faults: &mut Faults<'_>, name: &str) -> Vec<At<&'t str>> {
        let mut found = Vec::new();
        for value in self.array(faults, name) {
            let offset = value.span().start;
            match value.get_ref() {
                DeValue::String(text) => found.push(At {
                    offset,
                    value: text.as_ref(),
                }),
                other => self.fault(
                    faults,
                    offset,
                    format!("`{name}` holds strings, not {}", kind(other)),
                ),
            }
        }
        found
    }

    /// One text or an array of texts; empty if it is missing.
    pub(super) fn text_or_texts(&self, faults: &mut Faults<'_>, name: &str) -> Vec<At<&'t str>> {
        match self.table.get(name).map(Spanned::get_ref) {
            Some(DeValue::Array(_)) => self.texts(faults, name),
            Some(_) => self.text(faults, name).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// `true` or `false`, false if it is missing; none after a fault.
    pub(super) fn flag(&self, faults: &mut Faults<'_>, name: &str) -> Option<bool> {
        match self.table.get(name).map(|it| (it.span().start, it.get_ref())) {
            None => Some(false),
            Some((_, DeValue::Boolean(value))) => Some(*value),
            Some((offset, other)) => {
                let reason = format!("`{name}` is true or false, not {}", kind(other));
                self.fault(faults, offset, reason);
                None
            }
        }
    }

    /// An array of tables; empty if it is missing.
    pub(super) fn tables(&self, faults: &mut Faults<'_>, name: &str) -> Vec<At<&'t DeTable<'i>>> {
        let mut found = Vec::new();
        for value in self.array(faults, name) {
            let offset = value.span().start;
            match value.get_ref() {
                DeValue::Table(table) => found.push(At { offset, value: table }),
                other => self.fault(
                    faults,
                    offset,
                    format!("`{name}` holds tables, not {}", kind(other)),
                ),
            }
        }
        found
    }

    /// A table of texts; empty if it is missing.
    pub(super) fn text_table(&self, faults: &mut Faults<'_>, name: &str) -> Vec<(&'t str, &'t str)> {
        let Some(value) = self.table.get(name) else {
            return Vec::new();
        };
        let DeValue::Table(table) = value.get_ref() else {
            self.fault(
                faults,
                value.span().start,
                format!("`{name}` must be a table such as `{{ tier = \"high\" }}`"),
            );
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in table {
            match value.get_ref() {
                DeValue::String(text) => found.push((key.get_ref().as_ref(), text.as_ref())),
                other => {
                    let reason = format!("`{name}.{}` must be a string, not {}", key.get_ref(), kind(other));
                    self.fault(faults, value.span().start, reason);
                }
            }
        }
        found
    }
}

/// Names as "`a`, `b`".
pub(super) fn list<'n>(names: impl IntoIterator<Item = &'n &'n str>) -> String {
    names
        .into_iter()
        .map(|it| format!("`{it}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn elements<'t, 'i>(array: &'t DeArray<'i>) -> &'t [Spanned<DeValue<'i>>] {
    array
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a binary fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
