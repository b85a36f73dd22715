//! A sheet as PDF on A4: laid out here, written by krilla.
//!
//! The same sheet gives the same bytes: nothing but the document goes in. It must not choose words.

// In reading order: characters, lines, what stands on the page, pages, the file.
mod face;
// Lines of a width.
mod wrap;
// Strips of a page, and how pages are filled with them.
mod flow;
// Tables of lines.
mod table;
// What stands above and below the tables.
mod body;
// Pages as a file.
mod draw;

use tallyman_aggregator_core::accounts::Document;

use self::face::Faces;
use self::flow::{Flow, Mark};
use crate::sheet::Sheet;
use crate::{Extra, PaperError};

/// Makes PDFs. It holds the fonts, so it is made once and kept; threads may share it.
pub struct Press {
    faces: Faces,
}

impl Default for Press {
    fn default() -> Self {
        Self::new()
    }
}

impl Press {
    /// Reads the fonts that are in the program.
    pub fn new() -> Self {
        Self { faces: Faces::new() }
    }

    /// The document as PDF.
    pub fn pdf(&self, document: &Document, extra: &Extra) -> Result<Vec<u8>, PaperError> {
        let sheet = Sheet::of(document, extra);
        let flow = self.compose(&sheet);
        let pages = flow.pages();
        let write = |why: krilla::error::KrillaError| PaperError::Write {
            document: document.id.clone(),
            why: why.to_string(),
        };
        draw::file(&sheet, &pages, &self.faces).map_err(write)
    }

    /// The characters that are drawn as `\u{fffd}`, sorted, each once.
    pub fn missing_glyphs(&self, document: &Document) -> Vec<char> {
        let sheet = Sheet::of(document, &Extra::default());
        let flow = self.compose(&sheet);
        let texts = flow.marks().filter_map(|mark| match mark {
            Mark::Text { text, .. } => Some(text),
            Mark::Box { .. } => None,
        });
        let mut missing: Vec<char> = texts
            .flat_map(|text| text.chars())
            .filter(|c| !self.faces.has(*c))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn compose(&self, sheet: &Sheet) -> Flow {
        let mut flow = Flow::default();
        let pen = flow::Pen {
            faces: &self.faces,
            is_chinese: crate::words::is_chinese(sheet.words.tag),
        };
        body::above(&mut flow, &pen, sheet);
        table::all(&mut flow, &pen, sheet);
        body::below(&mut flow, &pen, sheet);
        flow
    }
}
