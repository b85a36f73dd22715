//! Pages as a PDF file. What is known of the document goes into the file's own data; nothing else does.

use krilla::color::rgb;
use krilla::error::KrillaResult;
use krilla::geom::{PathBuilder, Point, Rect, Transform};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule, Stroke};
use krilla::surface::Surface;

use super::face::{Faces, Weight};
use super::flow::{Ink, LEFT, MARK, Mark, PAGE_HEIGHT, PAGE_WIDTH, Page, RIGHT, RULE, SOFT, Style};
use crate::sheet::Sheet;
use crate::words::is_chinese;

const FOOT_Y: f32 = PAGE_HEIGHT - 34.0;
const FOOT: Style = Style::new(7.5, Weight::Regular, SOFT);
/// Width of the mark across a draft.
const MARK_WIDTH: f32 = 420.0;
/// Outline of a regular glyph that stands for a bold one, of a size of 1.
const BOLDER: f32 = 0.028;

/// Writes the file.
pub(super) fn file(sheet: &Sheet, pages: &[Page<'_>], faces: &Faces) -> KrillaResult<Vec<u8>> {
    let mut document = krilla::Document::new();
    document.set_metadata(metadata(sheet));
    let a4 = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT).expect("A4 has a size");
    for (at, strips) in pages.iter().enumerate() {
        let mut page = document.start_page_with(a4.clone());
        let surface = page.surface();
        let mut brush = Brush {
            surface,
            faces,
            is_chinese: is_chinese(sheet.words.tag),
        };
        if sheet.is_draft {
            brush.mark(sheet.words.draft);
        }
        for (y, strip) in strips {
            strip.marks.iter().for_each(|mark| brush.draw(*y, mark));
        }
        brush.foot(sheet, at + 1, pages.len());
        brush.surface.finish();
    }
    document.finish()
}

fn metadata(sheet: &Sheet) -> Metadata {
    let metadata = Metadata::new()
        .title(sheet.name())
        .description(format!("{}, {}", sheet.account.name, sheet.period))
        .authors(vec![sheet.seller.name.clone()])
        .language(sheet.words.tag.to_owned())
        .document_id(sheet.id.clone());
    match sheet.issued.as_deref().and_then(date) {
        Some(date) => metadata.creation_date(date),
        None => metadata,
    }
}

/// A day such as `2026-12-04`.
fn date(text: &str) -> Option<DateTime> {
    let day: jiff::civil::Date = text.parse().ok()?;
    let part = |n: i8| u8::try_from(n).ok();
    let year = u16::try_from(day.year()).ok()?;
    Some(
        DateTime::new(year)
            .month(part(day.month())?)
            .day(part(day.day())?),
    )
}

struct Brush<'a, 'p> {
    surface: Surface<'p>,
    faces: &'a Faces,
    is_chinese: bool,
}

impl Brush<'_, '_> {
    fn draw(&mut self, top: f32, mark: &Mark) {
        match mark {
            Mark::Text { x, y, text, style } => self.text(*x, top + y, text, *style, false),
            Mark::Box {
                x,
                y,
                width,
                height,
                ink,
            } => {
                let Some(area) = Rect::from_xywh(*x, top + y, *width, *height) else {
                    return;
                };
                let mut path = PathBuilder::new();
                path.push_rect(area);
                if let Some(path) = path.finish() {
                    self.ink(*ink, None);
                    self.surface.draw_path(&path);
                }
            }
        }
    }

    fn text(&mut self, x: f32, y: f32, text: &str, style: Style, as_outlines: bool) {
        let mut x = x;
        for run in self.faces.runs(text, style.weight, self.is_chinese) {
            self.ink(style.ink, run.is_thin.then_some(style.size * BOLDER));
            let at = Point::from_xy(x, y);
            self.surface
                .draw_glyphs(at, &run.glyphs, run.font, text, style.size, as_outlines);
            x += run.width * style.size;
        }
    }

    fn ink(&mut self, Ink(red, green, blue): Ink, outline: Option<f32>) {
        let color = rgb::Color::new(red, green, blue);
        let fill = Fill {
            paint: color.into(),
            opacity: NormalizedF32::ONE,
            rule: FillRule::NonZero,
        };
        let stroke = outline.map(|width| Stroke {
            paint: color.into(),
            width,
            ..Stroke::default()
        });
        self.surface.set_fill(Some(fill));
        self.surface.set_stroke(stroke);
    }

    /// The word across the page, below everything. As outlines: who copies the text of a page does not copy it.
    fn mark(&mut self, word: &str) {
        let unit = self.faces.width(word, Weight::Bold, self.is_chinese);
        let style = Style::new(MARK_WIDTH / unit, Weight::Bold, MARK);
        let (middle_x, middle_y) = (PAGE_WIDTH / 2.0, PAGE_HEIGHT / 2.0);
        self.surface
            .push_transform(&Transform::from_rotate_at(-35.0, middle_x, middle_y));
        self.text(
            middle_x - MARK_WIDTH / 2.0,
            middle_y + style.size * 0.36,
            word,
            style,
            true,
        );
        self.surface.pop();
    }

    fn foot(&mut self, sheet: &Sheet, page: usize, pages: usize) {
        let rule = Mark::Box {
            x: LEFT,
            y: -14.0,
            width: RIGHT - LEFT,
            height: 0.5,
            ink: RULE,
        };
        self.draw(FOOT_Y, &rule);
        let number = format!("{page} / {pages}");
        let width =
            |brush: &Self, text: &str| brush.faces.width(text, FOOT.weight, brush.is_chinese) * FOOT.size;
        let x = RIGHT - width(self, &number);
        self.text(x, FOOT_Y, &number, FOOT, false);
        let name = sheet.name();
        let mut seller = sheet.seller.name.clone();
        let whole = |seller: &str| format!("{seller} · {name}");
        while width(self, &whole(&seller)) > RIGHT - LEFT - 80.0 && seller.pop().is_some() {}
        if seller.len() < sheet.seller.name.len() {
            seller.push('…');
        }
        self.text(LEFT, FOOT_Y, &whole(&seller), FOOT, false);
    }
}
