//! The closed table of units that prices are written for, each with its exact size in base units.
//!
//! GiB is 2^30 bytes, GB is 10^9. There is no month among the units: months differ in length.
//! It must not know meters or prices.

use std::fmt;

use tallyman_common::meter::BaseUnit;

/// A unit in which an item is priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    name: &'static str,
    base: BaseUnit,
    base_units: u128,
}

const SECOND_NS: u128 = 1_000_000_000;
const SECOND_MS: u128 = 1_000;
const HOUR_MS: u128 = 3_600_000;
const MIB: u128 = 1 << 20;
const GIB: u128 = 1 << 30;
const TIB: u128 = 1 << 40;
const MB: u128 = 1_000_000;
const GB: u128 = 1_000_000_000;
const TB: u128 = 1_000_000_000_000;

const fn row(name: &'static str, base: BaseUnit, base_units: u128) -> Unit {
    Unit {
        name,
        base,
        base_units,
    }
}

const UNITS: &[Unit] = &[
    row("CPU-second", BaseUnit::Nanoseconds, SECOND_NS),
    row("CPU-minute", BaseUnit::Nanoseconds, 60 * SECOND_NS),
    row("CPU-hour", BaseUnit::Nanoseconds, 3_600 * SECOND_NS),
    row("MiB-second", BaseUnit::ByteMilliseconds, MIB * SECOND_MS),
    row("MiB-hour", BaseUnit::ByteMilliseconds, MIB * HOUR_MS),
    row("GiB-second", BaseUnit::ByteMilliseconds, GIB * SECOND_MS),
    row("GiB-hour", BaseUnit::ByteMilliseconds, GIB * HOUR_MS),
    row("TiB-hour", BaseUnit::ByteMilliseconds, TIB * HOUR_MS),
    row("MB-second", BaseUnit::ByteMilliseconds, MB * SECOND_MS),
    row("GB-second", BaseUnit::ByteMilliseconds, GB * SECOND_MS),
    row("GB-hour", BaseUnit::ByteMilliseconds, GB * HOUR_MS),
    row("TB-hour", BaseUnit::ByteMilliseconds, TB * HOUR_MS),
    row("MiB", BaseUnit::Bytes, MIB),
    row("GiB", BaseUnit::Bytes, GIB),
    row("TiB", BaseUnit::Bytes, TIB),
    row("MB", BaseUnit::Bytes, MB),
    row("GB", BaseUnit::Bytes, GB),
    row("TB", BaseUnit::Bytes, TB),
    // Means over an hour: bits a second, times its seconds.
    row("Mbit/s", BaseUnit::Bytes, MB / 8 * 3_600),
    row("Gbit/s", BaseUnit::Bytes, GB / 8 * 3_600),
    row("request", BaseUnit::Count, 1),
    row("1000 requests", BaseUnit::Count, 1_000),
    row("10000 requests", BaseUnit::Count, 10_000),
    row("1000000 requests", BaseUnit::Count, 1_000_000),
    row("operation", BaseUnit::Count, 1),
    row("1000000 operations", BaseUnit::Count, 1_000_000),
    row("instance-second", BaseUnit::Milliseconds, SECOND_MS),
    row("instance-hour", BaseUnit::Milliseconds, HOUR_MS),
    row("GPU-second", BaseUnit::Milliseconds, SECOND_MS),
    row("GPU-hour", BaseUnit::Milliseconds, HOUR_MS),
];

impl Unit {
    /// The unit of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        UNITS.iter().find(|it| it.name == name).copied()
    }

    /// Every unit of a base unit, in the table's order.
    pub fn of_base(base: BaseUnit) -> impl Iterator<Item = Self> {
        UNITS.iter().copied().filter(move |it| it.base == base)
    }

    /// Its name in price books and on bills.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Whether it is a rate: a mean over an hour, which only percentiles are priced by.
    pub fn is_rate(self) -> bool {
        self.name.ends_with("/s")
    }

    /// The base unit of the meters that it measures.
    pub fn base(self) -> BaseUnit {
        self.base
    }

    /// How many base units make one.
    pub fn base_units(self) -> u128 {
        self.base_units
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_their_exact_size() {
        #[rustfmt::skip]
        let table = [
            ("CPU-hour",       "ns",      3_600_000_000_000),
            ("GiB-hour",       "byte_ms", 3_865_470_566_400_000),
            ("GiB-second",     "byte_ms", 1_073_741_824_000),
            ("GB-second",      "byte_ms", 1_000_000_000_000),
            ("GiB",            "bytes",   1_073_741_824),
            ("GB",             "bytes",   1_000_000_000),
            ("10000 requests", "count",   10_000),
            ("instance-hour",  "ms",      3_600_000),
            ("GPU-second",     "ms",      1_000),
        ];
        for (name, base, size) in table {
            let unit = Unit::by_name(name).expect("unit");
            assert_eq!((unit.base().name(), unit.base_units()), (base, size), "{name}");
        }
        assert_eq!(Unit::by_name("GiB-month"), None);
    }

    #[test]
    fn names_are_unique() {
        for unit in UNITS {
            assert_eq!(
                UNITS.iter().filter(|it| it.name == unit.name).count(),
                1,
                "{unit}"
            );
        }
    }
}
