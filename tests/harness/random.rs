//! Moments that are different in each run of a test, and can be had again.

use std::hash::{BuildHasher, Hasher, RandomState};

/// With this in the environment, a test that failed does the same at the same moments again.
const SEED: &str = "RELAIS_TEST_SEED";

/// SplitMix64: enough for choosing moments, in four lines.
pub(crate) struct Random(u64);

impl Random {
    /// Says what it begins with, so that it stands in the output of a test that fails.
    #[expect(clippy::print_stdout, reason = "a test that fails shows what it printed")]
    pub(crate) fn new() -> Random {
        let given = std::env::var(SEED).ok().map(|seed| seed.parse().unwrap());
        let seed: u64 = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("what is chosen follows from {SEED}={seed}");
        Random(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A place in a list of that length.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }
}
