//! The fonts in the program, and which of them draws a character.
//!
//! Latin letters and digits come from Noto Sans, all else from Noto Sans CJK SC; punctuation that both have follows the
//! language. Characters are set one by one, without shaping: see docs/adr/0009-invoices-on-paper.md.

use std::ops::Range;

use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

const LATIN_REGULAR: &[u8] = include_bytes!("../../fonts/latin-regular.ttf");
const LATIN_BOLD: &[u8] = include_bytes!("../../fonts/latin-bold.ttf");
const CJK_REGULAR: &[u8] = include_bytes!("../../fonts/cjk-regular.otf");
const CJK_BOLD: &[u8] = include_bytes!("../../fonts/cjk-bold.otf");

/// What stands for a character that no font has.
pub(super) const REPLACEMENT: char = '\u{fffd}';
/// From here on both fonts have punctuation.
const PUNCTUATION: char = '\u{2000}';

/// How dark a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// All fonts, read once.
pub(super) struct Faces {
    latin: [Face; 2],
    cjk: [Face; 2],
}

/// One font.
struct Face {
    font: Font,
    map: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
}

/// Characters in a row that one font draws.
pub(super) struct Run {
    pub(super) font: Font,
    /// The font is a regular one where a bold one was wanted: it is drawn with a thin outline.
    pub(super) is_thin: bool,
    pub(super) glyphs: Vec<KrillaGlyph>,
    /// Width for a size of 1.
    pub(super) width: f32,
}

/// A glyph of a font.
struct Pick<'a> {
    face: &'a Face,
    is_thin: bool,
    id: skrifa::GlyphId,
}

impl Faces {
    pub(super) fn new() -> Self {
        let read = |data| Face::new(data).expect("the fonts in the program are whole: the tests read them");
        Self {
            latin: [read(LATIN_REGULAR), read(LATIN_BOLD)],
            cjk: [read(CJK_REGULAR), read(CJK_BOLD)],
        }
    }

    /// Width of a character for a size of 1.
    pub(super) fn advance(&self, c: char, weight: Weight, is_chinese: bool) -> f32 {
        let pick = self.pick_or_replace(c, weight, is_chinese);
        pick.face.advance(pick.id)
    }

    /// Width of a text for a size of 1.
    pub(super) fn width(&self, text: &str, weight: Weight, is_chinese: bool) -> f32 {
        text.chars().map(|c| self.advance(c, weight, is_chinese)).sum()
    }

    /// True if a font has it.
    pub(super) fn has(&self, c: char) -> bool {
        self.pick(c, Weight::Regular, false).is_some()
    }

    /// A text in pieces of one font each.
    pub(super) fn runs(&self, text: &str, weight: Weight, is_chinese: bool) -> Vec<Run> {
        let mut runs: Vec<(*const Face, Run)> = Vec::new();
        for (at, c) in text.char_indices() {
            let pick = self.pick_or_replace(c, weight, is_chinese);
            let (face, advance) = (std::ptr::from_ref(pick.face), pick.face.advance(pick.id));
            let glyph = glyph(pick.id, at..at + c.len_utf8(), advance);
            match runs.last_mut().filter(|(last, _)| *last == face) {
                Some((_, run)) => {
                    run.glyphs.push(glyph);
                    run.width += advance;
                }
                None => {
                    let (font, is_thin) = (pick.face.font.clone(), pick.is_thin);
                    runs.push((
                        face,
                        Run {
                            font,
                            is_thin,
                            glyphs: vec![glyph],
                            width: advance,
                        },
                    ));
                }
            }
        }
        runs.into_iter().map(|(_, run)| run).collect()
    }

    fn pick_or_replace(&self, c: char, weight: Weight, is_chinese: bool) -> Pick<'_> {
        let found = self.pick(c, weight, is_chinese);
        found
            .or_else(|| self.pick(REPLACEMENT, weight, is_chinese))
            .expect("the Latin fonts have U+FFFD: the tests look for it")
    }

    fn pick(&self, c: char, weight: Weight, is_chinese: bool) -> Option<Pick<'_>> {
        let families = if is_chinese && c >= PUNCTUATION {
            [&self.cjk, &self.latin]
        } else {
            [&self.latin, &self.cjk]
        };
        let is_bold = weight == Weight::Bold;
        let wanted = |family: &'_ [Face; 2]| family[usize::from(is_bold)].map.map(c);
        let bold_or_regular = families.iter().find_map(|family| {
            let face = &family[usize::from(is_bold)];
            Some(Pick {
                face,
                is_thin: false,
                id: wanted(family)?,
            })
        });
        // The bold font for Chinese has fewer characters than the regular one.
        bold_or_regular.or_else(|| {
            let face = &self.cjk[0];
            Some(Pick {
                face,
                is_thin: is_bold,
                id: face.map.map(c)?,
            })
        })
    }
}

impl Face {
    fn new(data: &'static [u8]) -> Option<Self> {
        let font = Font::new(data.into(), 0)?;
        let whole = FontRef::from_index(data, 0).ok()?;
        let metrics = whole.glyph_metrics(Size::unscaled(), LocationRef::default());
        Some(Self {
            font,
            map: whole.charmap(),
            metrics,
        })
    }

    /// Width of a glyph for a size of 1.
    fn advance(&self, id: skrifa::GlyphId) -> f32 {
        self.metrics
            .advance_width(id)
            .map_or(0.0, |units| units / self.font.units_per_em())
    }
}

fn glyph(id: skrifa::GlyphId, text: Range<usize>, advance: f32) -> KrillaGlyph {
    KrillaGlyph::new(GlyphId::new(id.to_u32()), advance, 0.0, 0.0, 0.0, text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(faces: &Faces, text: &str) -> String {
        text.chars().filter(|c| !faces.has(*c)).collect()
    }

    #[test]
    fn names_of_people_and_places_are_there() {
        let faces = Faces::new();
        for text in [
            "北京云海存储有限公司（上海）第三分公司，龙珺淼鑫堃喆玥䶮㛃𬱖𫖯𬍛𠅤",
            "臺灣高雄國際機場　東京都渋谷区カタカナ",
            "Łódź, Æther Søren Ångström, Çağlayan, Șțefan, Nguyễn Thị Ánh",
            "Ελλάδα, Москва, Київ",
            "€ £ ¥ ₹ ₽ ₿ − × ÷ ≤ ≥ → “ ” ‘ ’ … — – · • № ™ ©",
            "①②③、。《》【】「」％＋￥",
        ] {
            assert_eq!(missing(&faces, text), "", "in {text}");
        }
        assert_eq!(missing(&faces, "\u{1f600}가"), "\u{1f600}가");
        assert!(faces.has(REPLACEMENT));
    }

    #[test]
    fn digits_have_one_width() {
        let faces = Faces::new();
        for weight in [Weight::Regular, Weight::Bold] {
            let widths: Vec<f32> = ('0'..='9').map(|c| faces.advance(c, weight, true)).collect();
            assert!(widths.iter().all(|w| (w - widths[0]).abs() < 1e-6), "{widths:?}");
        }
    }

    #[test]
    fn a_press_goes_from_thread_to_thread() {
        fn shared<T: Send + Sync>() {}
        shared::<Faces>();
    }
}
