//! Comma-separated values (RFC 4180) that no spreadsheet takes for formulas.

/// A line, with `\r\n` behind it.
pub fn line(fields: impl Iterator<Item = String>) -> String {
    let mut text = fields.map(safe).map(quoted).collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    text
}

/// A text that a spreadsheet would run as a formula gets an apostrophe; numbers stay as they are.
fn safe(field: String) -> String {
    let is_number = || {
        let digits = field.trim_start_matches('-');
        digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    if field.starts_with(['=', '+', '@', '\t', '\r']) || field.starts_with('-') && !is_number() {
        format!("'{field}")
    } else {
        field
    }
}

fn quoted(field: String) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_is_quoted_and_what_would_run_is_text() {
        let fields = [
            "plain",
            "a,b",
            "say \"x\"",
            "云海",
            "",
            "-12.50",
            "-1+2",
            "=1+1",
            "@x",
        ];
        let fields = fields.into_iter().map(str::to_owned);
        assert_eq!(
            line(fields),
            "plain,\"a,b\",\"say \"\"x\"\"\",云海,,-12.50,'-1+2,'=1+1,'@x\r\n"
        );
    }
}
