//! Invoices, credit notes and debit notes as HTML and PDF.
//!
//! Pure: the same document gives the same bytes on any host, for the fonts are in the program. It must not know files,
//! the present, or how an amount came about; it adds nothing up.

// In reading order: words and figures, then what is printed, then how.
mod words;
// Numbers as people read them.
mod figures;
// Instants in the account's zone.
mod moments;
// What is printed, word by word, for both ways of printing.
mod sheet;
// As a page for a browser.
mod html;
// As pages of paper.
mod pdf;

use tallyman_aggregator_core::accounts::Document;

pub use pdf::Press;

/// What is printed on a document and is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// Number of the tax office's own invoice; where there is none yet, a blank line stands in its place.
    pub external_tax_number: Option<String>,
}

/// Why no PDF was made.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// The PDF could not be written, such as one of more objects than the format can hold.
    #[error("the PDF of document {document} can't be written: {why}")]
    Write {
        /// Identity of the document.
        document: String,
        /// What the writer says.
        why: String,
    },
}

/// The document as one HTML file that needs nothing else: no script, no font, no picture.
pub fn html(document: &Document, extra: &Extra) -> String {
    html::page(&sheet::Sheet::of(document, extra))
}

/// The document as PDF on A4. Whoever makes many keeps a [`Press`].
pub fn pdf(document: &Document, extra: &Extra) -> Result<Vec<u8>, PaperError> {
    Press::new().pdf(document, extra)
}

/// The characters of a document that no font in the program has, in order. The PDF shows `\u{fffd}` for each of them.
pub fn missing_glyphs(document: &Document) -> Vec<char> {
    Press::new().missing_glyphs(document)
}
