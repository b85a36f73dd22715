//! Raw counters of a workload: what the kernel says, what of it was billed, what is still to be billed.
//!
//! A value below the one before, with the same identity, is a fault and moves nothing. A row that was gone in between
//! is a new life that starts at 0.

use bincode::{Decode, Encode};

use super::meters::Totals;
use crate::event::Hardware;
use crate::sources::io::Device;
use crate::sources::name::InterfaceName;

/// Which row of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum RowKey {
    /// The file has one value.
    Whole,
    /// A block device: major, minor.
    Device(u32, u32),
    /// A network interface: name, filled up with zeros.
    Interface([u8; 16]),
}

impl From<Device> for RowKey {
    fn from(device: Device) -> Self {
        Self::Device(device.major, device.minor)
    }
}

impl From<InterfaceName> for RowKey {
    fn from(name: InterfaceName) -> Self {
        let mut bytes = [0; 16];
        for (slot, byte) in bytes.iter_mut().zip(name.as_bytes()) {
            *slot = *byte;
        }
        Self::Interface(bytes)
    }
}

/// One counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Counter {
    /// Its row.
    pub row: RowKey,
    /// Its meter's place.
    pub place: u8,
    /// Whether the last good read of its file had it.
    pub present: bool,
    /// Value up to which it was billed.
    pub last: u64,
    /// Newest value.
    pub current: u64,
    /// Unbilled usage of earlier lives of the row.
    pub carried: u64,
    /// Read in which it was seen last; counts reads of the process.
    stamp: u32,
}

/// A counter that went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WentBack {
    /// The value before.
    pub before: u64,
    /// The value found, which is not believed.
    pub found: u64,
}

/// All counters of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    rows: Vec<Counter>,
    /// Where the next row is looked for first: files keep their order.
    hint: usize,
    stamp: u32,
}

impl Counters {
    /// Counters as a checkpoint holds them.
    pub fn restore(mut rows: Vec<Counter>) -> Self {
        rows.iter_mut().for_each(|row| row.stamp = 0);
        Self {
            rows,
            ..Self::default()
        }
    }

    /// For a checkpoint.
    pub fn rows(&self) -> &[Counter] {
        &self.rows
    }

    /// Begins a read of a file.
    pub fn begin_read(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        self.hint = 0;
    }

    /// A value. A row that is new here starts at `baseline`.
    pub fn read(&mut self, row: RowKey, place: usize, value: u64, baseline: u64) -> Result<(), WentBack> {
        let Some(index) = self.find(row, place) else {
            self.rows.push(Counter {
                row,
                place: u8::try_from(place).expect("there are few meters"),
                present: true,
                last: baseline,
                current: value,
                carried: 0,
                stamp: self.stamp,
            });
            return Ok(());
        };
        let counter = &mut self.rows[index];
        counter.stamp = self.stamp;
        if !counter.present {
            counter.carried += counter.current - counter.last;
            (counter.last, counter.present) = (0, true);
        } else if value < counter.current {
            return Err(WentBack {
                before: counter.current,
                found: value,
            });
        }
        counter.current = value;
        Ok(())
    }

    /// The row is there, but this value of it could not be read.
    pub fn touch(&mut self, row: RowKey, place: usize) {
        if let Some(index) = self.find(row, place) {
            self.rows[index].stamp = self.stamp;
        }
    }

    /// A whole file was read: rows of these meters that it did not have are gone.
    pub fn end_read(&mut self, places: &[usize]) {
        let stamp = self.stamp;
        for counter in &mut self.rows {
            if counter.stamp != stamp && places.contains(&usize::from(counter.place)) {
                counter.present = false;
            }
        }
    }

    /// Adds what is not billed yet to totals; only rows that count.
    pub fn add_to(&self, totals: &mut Totals, counts: impl Fn(&RowKey) -> bool) {
        for counter in self.rows.iter().filter(|counter| counts(&counter.row)) {
            totals[usize::from(counter.place)] +=
                u128::from(counter.carried) + u128::from(counter.current - counter.last);
        }
    }

    /// Everything up to now is billed. Rows that are gone are forgotten.
    pub fn settle(&mut self) {
        self.rows.retain(|counter| counter.present);
        for counter in &mut self.rows {
            (counter.last, counter.carried) = (counter.current, 0);
        }
    }

    /// Takes the rows of some meters away, to be followed by another workload.
    pub fn split_off(&mut self, places: &[usize]) -> Vec<Counter> {
        let of_places = |c: &Counter| places.contains(&usize::from(c.place));
        let taken = self.rows.iter().copied().filter(of_places).collect();
        self.rows.retain(|c| !of_places(c));
        taken
    }

    /// Follows rows that another workload had.
    pub fn adopt(&mut self, rows: Vec<Counter>) {
        self.rows.extend(rows);
    }

    fn find(&mut self, row: RowKey, place: usize) -> Option<usize> {
        let matches = |c: &Counter| c.row == row && usize::from(c.place) == place;
        let index = match self.rows.get(self.hint) {
            Some(counter) if matches(counter) => self.hint,
            _ => self.rows.iter().position(matches)?,
        };
        self.hint = index + 1;
        Some(index)
    }
}

impl Hardware {
    /// Whether a row counts. `host`: it is one of the host's own figures.
    pub(super) fn counts(&self, row: &RowKey, host: bool) -> bool {
        match row {
            RowKey::Whole => true,
            RowKey::Device(major, minor) => self
                .devices
                .as_ref()
                .is_none_or(|devices| devices.iter().any(|d| (d.major, d.minor) == (*major, *minor))),
            RowKey::Interface(_) if !host => true,
            RowKey::Interface(name) => self.uplinks.iter().any(|uplink| {
                InterfaceName::new(uplink.as_bytes())
                    .is_some_and(|u| RowKey::from(u) == RowKey::Interface(*name))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::meters::{COUNT, READ_BYTES};
    use super::*;

    const ROW: RowKey = RowKey::Device(8, 0);

    fn unbilled(counters: &Counters) -> u128 {
        let mut totals = [0; COUNT];
        counters.add_to(&mut totals, |_| true);
        totals[READ_BYTES]
    }

    /// One read of the file with these values of the row.
    fn read(counters: &mut Counters, value: Option<u64>) -> Result<(), WentBack> {
        counters.begin_read();
        let outcome = value.map_or(Ok(()), |v| counters.read(ROW, READ_BYTES, v, 0));
        counters.end_read(&[READ_BYTES]);
        outcome
    }

    #[test]
    fn a_value_that_goes_back_moves_nothing() {
        let mut counters = Counters::default();
        assert_eq!(read(&mut counters, Some(100)), Ok(()));
        assert_eq!(
            read(&mut counters, Some(40)),
            Err(WentBack {
                before: 100,
                found: 40
            })
        );
        assert_eq!(unbilled(&counters), 100);
        assert_eq!(read(&mut counters, Some(130)), Ok(()));
        assert_eq!(unbilled(&counters), 130);
    }

    #[test]
    fn a_row_that_was_gone_starts_again_at_zero() {
        let mut counters = Counters::default();
        read(&mut counters, Some(100)).unwrap();
        read(&mut counters, None).unwrap();
        read(&mut counters, Some(7)).unwrap();
        assert_eq!(unbilled(&counters), 107);
        counters.settle();
        assert_eq!(unbilled(&counters), 0);
        read(&mut counters, Some(9)).unwrap();
        assert_eq!(unbilled(&counters), 2);
        read(&mut counters, None).unwrap();
        counters.settle();
        assert!(counters.rows().is_empty());
    }
}
