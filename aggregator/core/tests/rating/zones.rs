//! Months of zones with their hours, written by hand, so that nothing of them comes from the product's calendar.

/// Zone, year, month, hours east of UTC when it begins, the day that is not 24 hours long and its length.
pub type ZoneMonth = (&'static str, u32, u32, i64, Option<(u32, u32)>);

/// Zones on both sides of UTC, days of 23 and of 25 hours, a leap day.
#[rustfmt::skip]
pub const MONTHS: &[ZoneMonth] = &[
    ("UTC",                2026, 2,    0, None),
    ("UTC",                2028, 2,    0, None),
    ("UTC",                2026, 11,   0, None),
    ("Asia/Shanghai",      2026, 1,    8, None),
    ("Pacific/Kiritimati", 2026, 12,  14, None),
    ("Europe/Berlin",      2026, 3,    1, Some((29, 23))),
    ("Europe/Berlin",      2026, 10,   2, Some((25, 25))),
    ("America/New_York",   2026, 3,   -5, Some((8, 23))),
    ("America/New_York",   2026, 11,  -4, Some((1, 25))),
    ("Pacific/Auckland",   2026, 4,   13, Some((5, 25))),
    ("Pacific/Auckland",   2026, 9,   12, Some((27, 23))),
    ("America/Santiago",   2026, 9,   -4, Some((6, 23))),
    ("America/Santiago",   2026, 4,   -3, Some((4, 25))),
];

/// Days of a month of the calendar.
pub fn days_of(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// First hour of a month of a zone, and the length of each of its days in hours.
pub fn hours_of(it: &ZoneMonth) -> (u32, Vec<u32>) {
    let (_, year, month, east, special) = *it;
    let years = (1970..year).flat_map(|y| (1..=12).map(move |m| days_of(y, m)));
    let months = (1..month).map(|m| days_of(year, m));
    let days: u32 = years.chain(months).sum();
    let first = i64::from(days) * 24 - east;
    let length = |day| {
        special
            .filter(|(at, _)| *at == day)
            .map_or(24, |(_, hours)| hours)
    };
    let lengths = (1..=days_of(year, month)).map(length).collect();
    (u32::try_from(first).expect("after 1970"), lengths)
}
