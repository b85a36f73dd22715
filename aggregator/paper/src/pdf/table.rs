//! Tables of lines: columns as wide as their numbers need, the rest for the item. It must not know pages.

use super::face::Weight;
use super::flow::{ACCENT, BLACK, Flow, LEFT, Mark, Pen, RIGHT, RULE, SOFT, Strip, Style, WASH, rule};
use crate::sheet::{Row, Sheet, Table};
use crate::words::fill;

/// Room between columns.
const GUTTER: f32 = 12.0;
/// Above and below the text of a row.
const PADDING: f32 = 3.0;
const ITEM_WIDTH_MIN: f32 = 130.0;
const UNIT_WIDTH_MAX: f32 = 72.0;
/// Sizes to try, until the item has room.
const SIZES: [f32; 5] = [8.8, 8.0, 7.0, 6.0, 5.0];
/// Up to so many tiers stand on one page with their line.
const TIERS_TOGETHER: usize = 12;
const TITLE: Style = Style::new(10.5, Weight::Bold, BLACK);
const ABOUT: Style = Style::new(8.0, Weight::Regular, SOFT);

/// Where columns stand; numbers end at their `x`, texts begin there.
struct Columns {
    size: f32,
    number_right: f32,
    item: f32,
    item_width: f32,
    quantity_right: f32,
    unit: f32,
    unit_width: f32,
    price_right: f32,
}

/// All tables of a sheet, on the same columns.
pub(super) fn all(flow: &mut Flow, pen: &Pen<'_>, sheet: &Sheet) {
    let columns = Columns::of(pen, sheet);
    for table in &sheet.tables {
        flow.gap(16.0);
        one(flow, pen, sheet, table, &columns);
    }
    if sheet.tables.is_empty() {
        flow.gap(16.0);
        let marks = vec![pen.left(LEFT, 0.0, sheet.words.no_lines, ABOUT)];
        flow.add(Strip {
            height: ABOUT.line(),
            marks,
            keep: true,
            ..Strip::default()
        });
    }
}

fn one(flow: &mut Flow, pen: &Pen<'_>, sheet: &Sheet, table: &Table, columns: &Columns) {
    let again = fill(sheet.words.continued, &[&table.title]);
    let mut repeated = title(pen, &again, &table.about);
    repeated.push(columns.head(pen, sheet));
    let head = flow.add_head(repeated);
    for strip in title(pen, &table.title, &table.about) {
        flow.add(strip);
    }
    flow.add(columns.head(pen, sheet));
    for (at, row) in table.rows.iter().enumerate() {
        let mut strips = columns.row(pen, row);
        for strip in &mut strips {
            strip.head = Some(head);
        }
        if let Some(last) = strips.last_mut() {
            // The subtotal never stands alone on a page.
            last.keep = at + 1 == table.rows.len();
        }
        strips.into_iter().for_each(|strip| flow.add(strip));
    }
    let mut sum = columns.subtotal(pen, sheet.words.section_subtotal, &table.subtotal);
    sum.head = Some(head);
    flow.add(sum);
}

fn title(pen: &Pen<'_>, title: &str, about: &str) -> Vec<Strip> {
    let about_width = pen.width(about, ABOUT).min(220.0);
    let lines = pen.wrap(title, RIGHT - LEFT - about_width - GUTTER, TITLE);
    let abouts = pen.wrap(about, about_width + 0.1, ABOUT);
    let strip = |at: usize| {
        let title = lines.get(at).map(|line| pen.left(LEFT, 0.0, line, TITLE));
        let about = abouts.get(at).map(|line| pen.right(RIGHT, 2.0, line, ABOUT));
        let marks = title.into_iter().chain(about).collect();
        Strip {
            height: TITLE.line(),
            marks,
            keep: true,
            ..Strip::default()
        }
    };
    let mut strips: Vec<Strip> = (0..lines.len().max(abouts.len())).map(strip).collect();
    if let Some(last) = strips.last_mut() {
        last.height += 3.0;
    }
    strips
}

impl Columns {
    fn of(pen: &Pen<'_>, sheet: &Sheet) -> Self {
        let sized = SIZES.iter().map(|size| Self::sized(pen, sheet, *size));
        let mut last = None;
        for columns in sized {
            if columns.item_width >= ITEM_WIDTH_MIN {
                return columns;
            }
            last = Some(columns);
        }
        last.expect("there are sizes")
    }

    fn sized(pen: &Pen<'_>, sheet: &Sheet, size: f32) -> Self {
        let (words, body) = (sheet.words, Style::new(size, Weight::Regular, BLACK));
        let bold = Style::new(size, Weight::Bold, BLACK);
        let widest = |head: &str, cells: &mut dyn Iterator<Item = &str>| {
            let head = pen.width(head, head_style(size));
            cells.map(|cell| pen.width(cell, body)).fold(head, f32::max)
        };
        let rows = || sheet.tables.iter().flat_map(|table| &table.rows);
        let tiers = || rows().flat_map(|row| &row.tiers);
        let number = widest(words.line, &mut rows().map(|r| r.number.as_str()));
        let quantities = rows()
            .map(|r| r.quantity.as_str())
            .chain(tiers().map(|t| t.quantity.as_str()));
        let quantity = widest(words.quantity, &mut { quantities });
        let prices = rows()
            .map(|r| r.price.as_str())
            .chain(tiers().map(|t| t.price.as_str()));
        let price = widest(words.unit_price, &mut { prices });
        let amounts = rows()
            .map(|r| r.amount.as_str())
            .chain(tiers().map(|t| t.amount.as_str()));
        let subtotals = sheet.tables.iter().map(|table| pen.width(&table.subtotal, bold));
        let amount = subtotals.fold(widest(&sheet.amount_head, &mut { amounts }), f32::max);
        let unit = widest(words.unit, &mut rows().map(|r| r.unit.as_str())).min(UNIT_WIDTH_MAX);
        let price_right = RIGHT - 4.0 - amount - GUTTER;
        let unit_x = price_right - price - GUTTER - unit;
        let quantity_right = unit_x - 5.0;
        let item = LEFT + 4.0 + number + GUTTER * 0.8;
        Self {
            size,
            number_right: LEFT + 4.0 + number,
            item,
            item_width: quantity_right - quantity - GUTTER - item,
            quantity_right,
            unit: unit_x,
            unit_width: unit + 0.1,
            price_right,
        }
    }

    fn head(&self, pen: &Pen<'_>, sheet: &Sheet) -> Strip {
        let (words, style) = (sheet.words, head_style(self.size));
        let height = style.line() + 2.0 * PADDING;
        let marks = vec![
            Mark::Box {
                x: LEFT,
                y: 0.0,
                width: RIGHT - LEFT,
                height,
                ink: WASH,
            },
            pen.right(self.number_right, PADDING, words.line, style),
            pen.left(self.item, PADDING, words.item, style),
            pen.right(self.quantity_right, PADDING, words.quantity, style),
            pen.left(self.unit, PADDING, words.unit, style),
            pen.right(self.price_right, PADDING, words.unit_price, style),
            pen.right(RIGHT - 4.0, PADDING, &sheet.amount_head, style),
        ];
        Strip {
            height,
            marks,
            keep: true,
            ..Strip::default()
        }
    }

    /// A line with its tiers: one strip for each line of text, kept together.
    fn row(&self, pen: &Pen<'_>, row: &Row) -> Vec<Strip> {
        let body = Style::new(self.size, Weight::Regular, BLACK);
        let small = Style::new(self.size - 1.0, Weight::Regular, SOFT);
        let titles = pen.wrap(&row.title, self.item_width, body);
        let units = pen.wrap(&row.unit, self.unit_width, body);
        let mut strips = Vec::new();
        for at in 0..titles.len().max(units.len()) {
            let top = if at == 0 { PADDING } else { 0.0 };
            let mut marks = Vec::new();
            marks.extend(titles.get(at).map(|line| pen.left(self.item, top, line, body)));
            marks.extend(units.get(at).map(|line| pen.left(self.unit, top, line, body)));
            if at == 0 {
                marks.push(pen.right(self.number_right, top, &row.number, Style { ink: SOFT, ..body }));
                marks.push(pen.right(self.quantity_right, top, &row.quantity, body));
                marks.push(pen.right(self.price_right, top, &row.price, body));
                marks.push(pen.right(RIGHT - 4.0, top, &row.amount, body));
            }
            strips.push(Strip {
                height: top + body.line(),
                marks,
                keep: true,
                ..Strip::default()
            });
        }
        for line in row
            .notes
            .iter()
            .flat_map(|note| pen.wrap(note, self.item_width, small))
        {
            let marks = vec![pen.left(self.item, 0.0, &line, small)];
            strips.push(Strip {
                height: small.line(),
                marks,
                keep: true,
                ..Strip::default()
            });
        }
        self.tiers(pen, row, small, &mut strips);
        if let Some(last) = strips.last_mut() {
            last.height += PADDING;
            last.marks.push(rule(LEFT, RIGHT, last.height - 0.5, 0.5, RULE));
        }
        strips
    }

    fn tiers(&self, pen: &Pen<'_>, row: &Row, small: Style, strips: &mut Vec<Strip>) {
        let count = row.tiers.len();
        for (at, tier) in row.tiers.iter().enumerate() {
            let ranges = pen.wrap(&tier.range, self.item_width - 10.0, small);
            let lines = ranges.len();
            for (line, range) in ranges.iter().enumerate() {
                let mut marks = vec![pen.left(self.item + 10.0, 0.0, range, small)];
                if line == 0 {
                    marks.push(pen.right(self.quantity_right, 0.0, &tier.quantity, small));
                    marks.push(pen.right(self.price_right, 0.0, &tier.price, small));
                    marks.push(pen.right(RIGHT - 4.0, 0.0, &tier.amount, small));
                }
                // A long list of tiers may be cut between two of them, not beside its first or last.
                let is_cut = count > TIERS_TOGETHER && line + 1 == lines && at > 0 && at + 2 < count;
                strips.push(Strip {
                    height: small.line(),
                    marks,
                    keep: !is_cut,
                    ..Strip::default()
                });
            }
        }
    }

    fn subtotal(&self, pen: &Pen<'_>, label: &str, amount: &str) -> Strip {
        let style = Style::new(self.size, Weight::Bold, BLACK);
        let height = style.line() + 2.0 * PADDING;
        let marks = vec![
            pen.left(self.item, PADDING, label, style),
            pen.right(RIGHT - 4.0, PADDING, amount, style),
            rule(LEFT, RIGHT, height - 0.8, 0.8, ACCENT),
        ];
        Strip {
            height,
            marks,
            ..Strip::default()
        }
    }
}

fn head_style(size: f32) -> Style {
    Style::new(size - 0.8, Weight::Bold, SOFT)
}
