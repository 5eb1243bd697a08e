//! A histogram of durations with fixed buckets, which is cheap to count in: the bucket is found with the number of
//! significant bits, and at most two comparisons.

/// A histogram of durations. All have the same buckets, from 10 µs to 50 s.
#[derive(Clone, Debug)]
pub struct Durations {
    /// The durations of each bucket, those beyond the last bound at the end. Not cumulative.
    counts: [u64; BOUNDS_NS.len() + 1],
    sum_ns: u64,
}

impl Durations {
    /// The upper bounds of the buckets in nanoseconds, each included; the bucket after the last one has none.
    pub const BOUNDS_NS: &[u64] = &BOUNDS_NS;

    /// An empty histogram.
    pub const fn new() -> Durations {
        Durations { counts: [0; BOUNDS_NS.len() + 1], sum_ns: 0 }
    }

    /// Counts a duration `times` times.
    #[inline]
    pub fn note(&mut self, ns: u64, times: u64) {
        self.counts[bucket(ns)] += times;
        self.sum_ns = self.sum_ns.wrapping_add(ns.wrapping_mul(times));
    }

    /// The number of durations up to each bound, then of all.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0, |all, count| {
            *all += count;
            Some(*all)
        })
    }

    /// The sum of all durations in nanoseconds. It wraps after 584 years.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }
}

impl Default for Durations {
    fn default() -> Durations {
        Durations::new()
    }
}

/// The index of the bucket of a duration.
#[inline]
fn bucket(ns: u64) -> usize {
    let bits = (u64::BITS - ns.leading_zeros()) as usize;
    let mut bucket = usize::from(FIRST[bits]);
    while bucket < BOUNDS_NS.len() && ns > BOUNDS_NS[bucket] {
        bucket += 1;
    }
    bucket
}

/// By the number of significant bits of a duration: the first bucket that it can have.
const FIRST: [u8; u64::BITS as usize + 1] = {
    let mut first = [0; u64::BITS as usize + 1];
    let mut bits = 1;
    while bits < first.len() {
        let least = 1_u64 << (bits - 1);
        let mut bucket = 0;
        while bucket < BOUNDS_NS.len() && BOUNDS_NS[bucket] < least {
            bucket += 1;
        }
        first[bits] = bucket as u8;
        bits += 1;
    }
    first
};

/// 1, 2, 5 in each decade: a turn of the loop without work takes some 10 µs, and the longest time of a question to
/// Places is mostly below 50 s.
const BOUNDS_NS: [u64; 21] = {
    let mut bounds = [0; 21];
    let (mut index, mut decade) = (0, 10_000);
    while index < bounds.len() {
        bounds[index] = decade * [1, 2, 5][index % 3];
        index += 1;
        if index % 3 == 0 {
            decade *= 10;
        }
    }
    bounds
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_one_two_and_five_in_each_decade() {
        assert_eq!(BOUNDS_NS[..4], [10_000, 20_000, 50_000, 100_000]);
        assert_eq!(BOUNDS_NS[18..], [10_000_000_000, 20_000_000_000, 50_000_000_000]);
    }

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let around = BOUNDS_NS.iter().flat_map(|&bound| [bound - 1, bound, bound + 1]);
        let powers = (0..64).flat_map(|bits| [1_u64 << bits, (1 << bits) - 1]);
        for ns in around.chain(powers).chain([u64::MAX]) {
            let expected = BOUNDS_NS.iter().position(|&bound| ns <= bound).unwrap_or(BOUNDS_NS.len());
            assert_eq!(bucket(ns), expected, "{ns}");
        }
    }

    #[test]
    fn counts_are_cumulative_and_the_last_one_is_that_of_all() {
        let mut durations = Durations::new();
        durations.note(10_000, 1);
        durations.note(15_000, 3);
        durations.note(u64::MAX / 4, 1);
        let cumulative: Vec<u64> = durations.cumulative().collect();
        assert_eq!((cumulative[0], cumulative[1], cumulative[2]), (1, 4, 4));
        assert_eq!((cumulative[BOUNDS_NS.len() - 1], cumulative[BOUNDS_NS.len()]), (4, 5));
        assert_eq!(durations.sum_ns(), 55_000 + u64::MAX / 4);
    }
}
