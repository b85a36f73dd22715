//! An invoice or note as a file: on paper, as a page, as data, for a spreadsheet. The same document always gives the same
//! bytes.

use tallyman_aggregator_core::accounts::Document;
use tallyman_aggregator_core::api::report::document_csv;
use tallyman_paper::Extra;

/// What a file is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Paper.
    Pdf,
    /// A page.
    Html,
    /// Every member, as it is stored.
    Json,
    /// One row a line.
    Csv,
}

impl Format {
    /// The format of a name, which is also how such files end.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pdf, Self::Html, Self::Json, Self::Csv]
            .into_iter()
            .find(|it| it.name() == text)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Html => "html",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    /// As a content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Csv => CSV_TYPE,
        }
    }
}

/// Comma-separated values, as a content type.
pub const CSV_TYPE: &str = "text/csv; charset=utf-8";

/// Makes a document's file.
///
/// # Errors
/// When the PDF can't be made.
pub fn document_file(document: &Document, extra: &Extra, format: Format) -> anyhow::Result<Vec<u8>> {
    Ok(match format {
        Format::Pdf => tallyman_paper::pdf(document, extra)?,
        Format::Html => tallyman_paper::html(document, extra).into_bytes(),
        Format::Csv => document_csv(document).into_bytes(),
        Format::Json => serde_json::to_vec(document)?,
    })
}
