//! Strips: what stands beside each other over the width of a page. Pages are filled with them from top to bottom.
//!
//! A strip is at most a few lines high and is never cut. Strips that belong together stay on one page where they fit on
//! one. It must not know what is printed.

use super::face::{Faces, Weight};
use super::wrap::wrap;

/// A4 in points.
pub(super) const PAGE_WIDTH: f32 = 595.28;
pub(super) const PAGE_HEIGHT: f32 = 841.89;
/// Left and right edge of what is printed.
pub(super) const LEFT: f32 = 48.0;
pub(super) const RIGHT: f32 = PAGE_WIDTH - LEFT;
const TOP: f32 = 46.0;
/// Below it stands the foot of the page.
const BOTTOM: f32 = PAGE_HEIGHT - 62.0;

/// A colour on paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink(pub(super) u8, pub(super) u8, pub(super) u8);

pub(super) const BLACK: Ink = Ink(0x1f, 0x29, 0x33);
pub(super) const SOFT: Ink = Ink(0x66, 0x71, 0x7e);
pub(super) const RULE: Ink = Ink(0xd5, 0xdb, 0xe1);
pub(super) const WASH: Ink = Ink(0xf1, 0xf4, 0xf7);
pub(super) const ACCENT: Ink = Ink(0x1d, 0x4f, 0x73);
pub(super) const WARN: Ink = Ink(0x8a, 0x4b, 0x0f);
pub(super) const WHITE: Ink = Ink(0xff, 0xff, 0xff);
pub(super) const MARK: Ink = Ink(0xe4, 0xe8, 0xec);

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f32,
    pub(super) weight: Weight,
    pub(super) ink: Ink,
}

impl Style {
    pub(super) const fn new(size: f32, weight: Weight, ink: Ink) -> Self {
        Self { size, weight, ink }
    }

    /// Height of a line of it.
    pub(super) fn line(&self) -> f32 {
        self.size * 1.5
    }
}

/// Something drawn, measured from the left edge of the page and the top of its strip.
pub(super) enum Mark {
    /// A text; `y` is its base line.
    Text {
        x: f32,
        y: f32,
        text: String,
        style: Style,
    },
    /// A filled rectangle; a rule is a low one.
    Box {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        ink: Ink,
    },
}

impl Mark {
    /// The same mark, further down.
    pub(super) fn lower(mut self, by: f32) -> Self {
        match &mut self {
            Self::Text { y, .. } | Self::Box { y, .. } => *y += by,
        }
        self
    }
}

/// What stands beside each other.
#[derive(Default)]
pub(super) struct Strip {
    pub(super) height: f32,
    pub(super) marks: Vec<Mark>,
    /// It stays with the next strip.
    pub(super) keep: bool,
    /// White space, which no page begins with.
    pub(super) is_gap: bool,
    /// Strips that are repeated if a page begins with this one: index in the flow's heads.
    pub(super) head: Option<usize>,
}

/// All strips of a document.
#[derive(Default)]
pub(super) struct Flow {
    strips: Vec<Strip>,
    heads: Vec<Vec<Strip>>,
}

/// A page: strips with their distance from its top.
pub(super) type Page<'a> = Vec<(f32, &'a Strip)>;

impl Flow {
    pub(super) fn add(&mut self, strip: Strip) {
        self.strips.push(strip);
    }

    pub(super) fn gap(&mut self, height: f32) {
        self.add(Strip {
            height,
            is_gap: true,
            keep: true,
            ..Strip::default()
        });
    }

    /// Registers strips that are repeated on each page that a table goes on on.
    pub(super) fn add_head(&mut self, strips: Vec<Strip>) -> usize {
        self.heads.push(strips);
        self.heads.len() - 1
    }

    /// All marks, without those of heads.
    pub(super) fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.strips.iter().flat_map(|strip| &strip.marks)
    }

    /// Fills pages.
    pub(super) fn pages(&self) -> Vec<Page<'_>> {
        let mut pages = vec![Page::new()];
        let mut y = TOP;
        for chunk in self.strips.chunk_by(|strip, _| strip.keep) {
            let height: f32 = chunk.iter().map(|strip| strip.height).sum();
            let fits_one = height < (BOTTOM - TOP) * 0.8;
            if y + height > BOTTOM && fits_one {
                y = self.turn(&mut pages, chunk);
            }
            for (at, strip) in chunk.iter().enumerate() {
                if y + strip.height > BOTTOM {
                    y = self.turn(&mut pages, &chunk[at..]);
                }
                let page = pages.last_mut().expect("there is a first page");
                if strip.is_gap && page.is_empty() {
                    continue;
                }
                page.push((y, strip));
                y += strip.height;
            }
        }
        pages
    }

    /// Begins a page, with the head of the table that goes on; how far it is filled then.
    fn turn<'a>(&'a self, pages: &mut Vec<Page<'a>>, rest: &[Strip]) -> f32 {
        let first = rest.iter().find(|strip| !strip.is_gap);
        let mut y = TOP;
        let mut page = Page::new();
        for strip in first
            .and_then(|strip| strip.head)
            .iter()
            .flat_map(|head| &self.heads[*head])
        {
            page.push((y, strip));
            y += strip.height;
        }
        pages.push(page);
        y
    }
}

/// Measures texts and makes marks.
pub(super) struct Pen<'a> {
    pub(super) faces: &'a Faces,
    pub(super) is_chinese: bool,
}

impl Pen<'_> {
    pub(super) fn width(&self, text: &str, style: Style) -> f32 {
        self.faces.width(text, style.weight, self.is_chinese) * style.size
    }

    pub(super) fn wrap(&self, text: &str, width: f32, style: Style) -> Vec<String> {
        wrap(text, width, |c| {
            self.faces.advance(c, style.weight, self.is_chinese) * style.size
        })
    }

    /// A text that begins at `x`; `top` is the upper edge of its line.
    pub(super) fn left(&self, x: f32, top: f32, text: &str, style: Style) -> Mark {
        // The base line that centres digits and ideographs in a line.
        let y = top + style.line() / 2.0 + style.size * 0.36;
        Mark::Text {
            x,
            y,
            text: text.to_owned(),
            style,
        }
    }

    /// A text that ends at `x`.
    pub(super) fn right(&self, x: f32, top: f32, text: &str, style: Style) -> Mark {
        self.left(x - self.width(text, style), top, text, style)
    }
}

/// A thin line from edge to edge.
pub(super) fn rule(x: f32, right: f32, y: f32, height: f32, ink: Ink) -> Mark {
    Mark::Box {
        x,
        y,
        width: right - x,
        height,
        ink,
    }
}
