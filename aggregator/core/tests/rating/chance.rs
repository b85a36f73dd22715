//! Numbers without a pattern, the same in every run: a case that fails is found again by its seed.

use crate::exact::Ratio;

/// Splitmix64.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        // Only here the numbers may leave 64 bits: they are chance, not usage.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        let at = usize::try_from(self.next() % these.len() as u64).expect("below a length");
        &these[at]
    }

    /// A decimal below `bound` with at most so many places, often with fewer.
    pub fn decimal(&mut self, bound: u64, places: u32) -> Ratio {
        let places = u32::try_from(self.below(u64::from(places) + 1)).expect("few places");
        let factor = 10_u64.pow(places);
        Ratio::new(i128::from(self.below(bound * factor)), i128::from(factor))
    }

    /// The same above zero.
    pub fn some(&mut self, bound: u64, places: u32) -> Ratio {
        let number = self.decimal(bound, places);
        if number.is_zero() { Ratio::whole(1) } else { number }
    }
}
