//! What stands above and below the tables: who, when, how much, how complete, how made. It must not know pages.

use super::face::Weight;
use super::flow::{
    ACCENT, BLACK, Flow, Ink, LEFT, Mark, Pen, RIGHT, RULE, SOFT, Strip, Style, WARN, WHITE, rule,
};
use crate::sheet::{Card, Fact, Sheet, Sum};

const NAME: Style = Style::new(12.5, Weight::Bold, BLACK);
const KIND: Style = Style::new(21.0, Weight::Bold, ACCENT);
const PLAIN: Style = Style::new(8.8, Weight::Regular, BLACK);
const QUIET: Style = Style::new(8.8, Weight::Regular, SOFT);
const SMALL: Style = Style::new(8.0, Weight::Regular, SOFT);
const HEADING: Style = Style::new(10.0, Weight::Bold, BLACK);
/// Where the right half begins.
const MIDDLE: f32 = 312.0;
const SUMS_LEFT: f32 = 240.0;
/// Beside the colour of the total.
const INSET: f32 = 10.0;

/// Lines of text below each other, each with its own height.
type Column = Vec<(f32, Vec<Mark>)>;

/// Seller, kind and number, payer, facts.
pub(super) fn above(flow: &mut Flow, pen: &Pen<'_>, sheet: &Sheet) {
    beside(flow, seller(pen, &sheet.seller), kind(pen, sheet));
    flow.gap(8.0);
    let marks = vec![rule(LEFT, RIGHT, 0.0, 1.6, ACCENT)];
    flow.add(Strip {
        height: 1.6,
        marks,
        keep: true,
        ..Strip::default()
    });
    flow.gap(14.0);
    beside(flow, payer(pen, &sheet.account), facts(pen, &sheet.facts));
}

/// Sums, payment, what is missing, notes.
pub(super) fn below(flow: &mut Flow, pen: &Pen<'_>, sheet: &Sheet) {
    flow.gap(18.0);
    for sum in &sheet.sums {
        add_sum(flow, pen, sum);
    }
    total(flow, pen, sheet);
    let words = sheet.words;
    block(flow, pen, words.payment, BLACK, &sheet.payment, PLAIN);
    block(flow, pen, words.faults, WARN, &sheet.faults, PLAIN);
    let ink = if sheet.coverage.is_complete { BLACK } else { WARN };
    block(flow, pen, words.coverage, ink, &sheet.coverage.lines, SMALL);
    holes(flow, pen, sheet);
    block(flow, pen, words.notes, BLACK, &sheet.notes, SMALL);
}

/// Up to this height two columns are one strip, in which each has its own lines.
const BESIDE_HEIGHT_MAX: f32 = 300.0;

/// Two columns as strips.
fn beside(flow: &mut Flow, left: Column, right: Column) {
    let height_of = |column: &Column| column.iter().map(|(height, _)| height).sum::<f32>();
    let height = height_of(&left).max(height_of(&right));
    if height <= BESIDE_HEIGHT_MAX {
        let marks = stacked(left).chain(stacked(right)).collect();
        flow.add(Strip {
            height,
            marks,
            keep: true,
            ..Strip::default()
        });
        return;
    }
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    loop {
        let (a, b) = (left.next(), right.next());
        if a.is_none() && b.is_none() {
            return;
        }
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        let height = a.0.max(b.0);
        let marks = a.1.into_iter().chain(b.1).collect();
        flow.add(Strip {
            height,
            marks,
            keep: true,
            ..Strip::default()
        });
    }
}

/// The marks of a column, measured from its top.
fn stacked(column: Column) -> impl Iterator<Item = Mark> {
    let mut top = 0.0;
    column.into_iter().flat_map(move |(height, marks)| {
        let moved = top;
        top += height;
        marks.into_iter().map(move |mark| mark.lower(moved))
    })
}

fn texts(pen: &Pen<'_>, x: f32, width: f32, text: &str, style: Style) -> Column {
    let lines = pen.wrap(text, width, style).into_iter();
    lines
        .map(|line| (style.line(), vec![pen.left(x, 0.0, &line, style)]))
        .collect()
}

fn seller(pen: &Pen<'_>, card: &Card) -> Column {
    let width = MIDDLE - LEFT - 20.0;
    let name = texts(pen, LEFT, width, &card.name, NAME);
    let lines = card
        .lines
        .iter()
        .flat_map(|line| texts(pen, LEFT, width, line, SMALL));
    name.into_iter().chain(lines).collect()
}

fn kind(pen: &Pen<'_>, sheet: &Sheet) -> Column {
    let words = sheet.words;
    let mut column = vec![(KIND.line(), vec![pen.right(RIGHT, 0.0, sheet.kind, KIND)])];
    let mut add = |text: &str, style: Style| {
        for line in pen.wrap(text, RIGHT - MIDDLE, style) {
            column.push((style.line(), vec![pen.right(RIGHT, 0.0, &line, style)]));
        }
    };
    match &sheet.number {
        Some(number) => add(number, Style::new(11.0, Weight::Regular, BLACK)),
        None => {
            add(words.draft, Style::new(15.0, Weight::Bold, WARN));
            add(words.draft_means, Style { ink: WARN, ..SMALL });
        }
    }
    column
}

fn payer(pen: &Pen<'_>, card: &Card) -> Column {
    let width = MIDDLE - LEFT - 20.0;
    let label = texts(pen, LEFT, width, card.label, QUIET);
    let name = texts(
        pen,
        LEFT,
        width,
        &card.name,
        Style {
            weight: Weight::Bold,
            ..PLAIN
        },
    );
    let lines = card
        .lines
        .iter()
        .flat_map(|line| texts(pen, LEFT, width, line, QUIET));
    label.into_iter().chain(name).chain(lines).collect()
}

fn facts(pen: &Pen<'_>, facts: &[Fact]) -> Column {
    let labels = facts.iter().map(|fact| pen.width(fact.label, QUIET));
    let x = MIDDLE + labels.fold(0.0, f32::max) + 16.0;
    let one = |fact: &Fact| {
        let mut column = match &fact.value {
            Some(value) => texts(pen, x, RIGHT - x, value, PLAIN),
            // A line to write on.
            None => vec![(PLAIN.line(), vec![rule(x, RIGHT, PLAIN.line() - 2.0, 0.6, SOFT)])],
        };
        if let Some((_, marks)) = column.first_mut() {
            marks.push(pen.left(MIDDLE, 0.0, fact.label, QUIET));
        }
        column
    };
    facts.iter().flat_map(one).collect()
}

fn add_sum(flow: &mut Flow, pen: &Pen<'_>, sum: &Sum) {
    let amount = pen.width(&sum.amount, PLAIN);
    let width = RIGHT - INSET - amount - 14.0 - SUMS_LEFT - INSET;
    let label = pen.wrap(&sum.label, width, PLAIN);
    let is_short = label.len() == 1;
    let label_width = label.first().map_or(0.0, |line| pen.width(line, PLAIN));
    let detail_beside = is_short && label_width + 10.0 + pen.width(&sum.detail, SMALL) <= width;
    let mut lines: Vec<Mark> = Vec::new();
    let mut y = 3.0;
    for line in &label {
        lines.push(pen.left(SUMS_LEFT + INSET, y, line, PLAIN));
        y += PLAIN.line();
    }
    if detail_beside {
        lines.push(pen.left(SUMS_LEFT + INSET + label_width + 10.0, 3.6, &sum.detail, SMALL));
    } else {
        for line in pen.wrap(&sum.detail, width, SMALL) {
            lines.push(pen.left(SUMS_LEFT + INSET, y, &line, SMALL));
            y += SMALL.line();
        }
    }
    lines.push(pen.right(RIGHT - INSET, 3.0, &sum.amount, PLAIN));
    let height = y + 3.0;
    lines.push(rule(SUMS_LEFT, RIGHT, height - 0.5, 0.5, RULE));
    flow.add(Strip {
        height,
        marks: lines,
        keep: true,
        ..Strip::default()
    });
}

fn total(flow: &mut Flow, pen: &Pen<'_>, sheet: &Sheet) {
    let label = Style::new(10.5, Weight::Bold, WHITE);
    let room = RIGHT - SUMS_LEFT - 3.0 * INSET - pen.width(&sheet.total.label, label);
    // A sum of very many digits is still one line.
    let fitting = |size: &f32| pen.width(&sheet.total.amount, Style::new(*size, Weight::Bold, WHITE)) <= room;
    let size = [15.0, 12.0, 10.0, 8.0].into_iter().find(fitting).unwrap_or(6.0);
    let amount = Style::new(size, Weight::Bold, WHITE);
    let height = 30.0;
    let middle = |style: Style| (height - style.line()) / 2.0;
    let marks = vec![
        Mark::Box {
            x: SUMS_LEFT,
            y: 0.0,
            width: RIGHT - SUMS_LEFT,
            height,
            ink: ACCENT,
        },
        pen.left(SUMS_LEFT + INSET, middle(label), &sheet.total.label, label),
        pen.right(RIGHT - INSET, middle(amount), &sheet.total.amount, amount),
    ];
    let after: Vec<&String> = sheet.due.iter().chain(&sheet.included).collect();
    flow.add(Strip {
        height,
        marks,
        keep: !after.is_empty(),
        ..Strip::default()
    });
    let lines: Vec<String> = after
        .iter()
        .flat_map(|t| pen.wrap(t, RIGHT - SUMS_LEFT - INSET, SMALL))
        .collect();
    for (at, line) in lines.iter().enumerate() {
        let top = if at == 0 { 4.0 } else { 0.0 };
        let marks = vec![pen.right(RIGHT - INSET, top, line, SMALL)];
        let keep = at + 1 < lines.len();
        flow.add(Strip {
            height: top + SMALL.line(),
            marks,
            keep,
            ..Strip::default()
        });
    }
}

/// A heading and lines; nothing where there are none.
fn block(flow: &mut Flow, pen: &Pen<'_>, heading: &str, ink: Ink, lines: &[String], style: Style) {
    if lines.is_empty() {
        return;
    }
    flow.gap(16.0);
    let marks = vec![pen.left(LEFT, 0.0, heading, Style { ink, ..HEADING })];
    flow.add(Strip {
        height: HEADING.line() + 2.0,
        marks,
        keep: true,
        ..Strip::default()
    });
    let last = lines.len() - 1;
    for (at, text) in lines.iter().enumerate() {
        let broken = pen.wrap(text, RIGHT - LEFT, style);
        let lines_of_text = broken.len();
        for (line, text) in broken.iter().enumerate() {
            let marks = vec![pen.left(LEFT, 0.0, text, style)];
            // Short blocks stay whole, long ones may be cut between two texts.
            let keep = line + 1 < lines_of_text || (last < 8 && at < last);
            flow.add(Strip {
                height: style.line(),
                marks,
                keep,
                ..Strip::default()
            });
        }
    }
}

/// Minutes that did not come, as a table.
fn holes(flow: &mut Flow, pen: &Pen<'_>, sheet: &Sheet) {
    if sheet.coverage.holes.is_empty() {
        return;
    }
    let words = sheet.words;
    let bold = Style {
        weight: Weight::Bold,
        ..SMALL
    };
    let (time_x, right) = (LEFT + 230.0, RIGHT - 4.0);
    let head = || {
        let marks = vec![
            pen.left(LEFT, 0.0, words.node, bold),
            pen.left(time_x, 0.0, words.hole, bold),
            pen.right(right, 0.0, words.minutes, bold),
            rule(LEFT, RIGHT, SMALL.line(), 0.5, RULE),
        ];
        Strip {
            height: SMALL.line() + 3.0,
            marks,
            keep: true,
            ..Strip::default()
        }
    };
    let again = flow.add_head(vec![head()]);
    flow.gap(4.0);
    flow.add(head());
    for [node, time, minutes] in &sheet.coverage.holes {
        let nodes = pen.wrap(node, time_x - LEFT - 10.0, SMALL);
        let times = pen.wrap(time, right - time_x - 50.0, SMALL);
        let lines = nodes.len().max(times.len());
        for at in 0..lines {
            let node = nodes.get(at).map(|line| pen.left(LEFT, 0.0, line, SMALL));
            let time = times.get(at).map(|line| pen.left(time_x, 0.0, line, SMALL));
            let minutes = (at == 0).then(|| pen.right(right, 0.0, minutes, SMALL));
            let marks = node.into_iter().chain(time).chain(minutes).collect();
            let (height, keep) = (SMALL.line(), at + 1 < lines);
            flow.add(Strip {
                height,
                marks,
                keep,
                is_gap: false,
                head: Some(again),
            });
        }
    }
}
