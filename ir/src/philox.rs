//! Philox4x32-10: random numbers addressed by position, so that any thread may compute any of them.
//!
//! Every random value of latentc, on the host, in the interpreter and in compiled code, is a pure function
//! of (seed, stream, step, index). That makes results independent of the number of threads and of the order
//! of work, and lets a resumed run continue exactly. The generator is that of Salmon, Moraes, Dror and Shaw,
//! "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), with ten rounds.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Four random words for a counter under a key.
#[inline]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut c = counter;
    let mut k = key;
    for round in 0..ROUNDS {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
    }
    c
}

/// The four words that hold the elements `4 * block ..= 4 * block + 3` of a stream at a step.
#[inline]
fn block_bits(seed: u64, stream: u32, step: u32, block: u64) -> [u32; 4] {
    philox4x32([block as u32, (block >> 32) as u32, stream, step], [seed as u32, (seed >> 32) as u32])
}

/// The random word of element `index` of a stream at a step: the counter is (index/4 low, index/4 high,
/// stream, step), the key the halves of the seed, low first, and `index % 4` picks the word of the result.
#[inline]
pub fn element_bits(seed: u64, stream: u32, step: u32, index: u64) -> u32 {
    block_bits(seed, stream, step, index / 4)[(index % 4) as usize]
}

/// A number in [0, 1) from a random word: its top 24 bits times 2^-24, which is exact in f32.
#[inline]
pub fn u01(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// The words of a stream at a step, one after the other: for sequential work on the host.
#[derive(Clone, Debug)]
pub struct Stream {
    seed: u64,
    stream: u32,
    step: u32,
    index: u64,
    block: Option<(u64, [u32; 4])>,
    spare: Option<f64>,
}

impl Stream {
    /// The stream from its first element.
    pub fn new(seed: u64, stream: u32, step: u32) -> Stream {
        Stream::at(seed, stream, step, 0)
    }

    /// The stream from element `index`.
    pub fn at(seed: u64, stream: u32, step: u32, index: u64) -> Stream {
        Stream { seed, stream, step, index, block: None, spare: None }
    }

    /// The next random word: `element_bits` of successive indices.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        let block = self.index / 4;
        let words = match self.block {
            Some((b, words)) if b == block => words,
            _ => {
                let words = block_bits(self.seed, self.stream, self.step, block);
                self.block = Some((block, words));
                words
            }
        };
        let word = words[(self.index % 4) as usize];
        self.index = self.index.wrapping_add(1);
        word
    }

    /// A number in [0, 1), a multiple of 2^-24.
    pub fn next_f32(&mut self) -> f32 {
        u01(self.next_u32())
    }

    /// A number in [0, 1), a multiple of 2^-53.
    pub fn next_f64(&mut self) -> f64 {
        let high = u64::from(self.next_u32());
        let low = u64::from(self.next_u32());
        (((high << 32) | low) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A whole number uniform in `0..n`, without bias: Lemire's multiplication with rejection ("Fast random
    /// integer generation in an interval", 2019).
    ///
    /// # Panics
    /// Where `n` is 0: there is no number to give.
    #[inline]
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "a random number below 0 was asked for");
        let mut product = u64::from(self.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// Puts a slice in uniformly random order (Fisher and Yates).
    ///
    /// # Panics
    /// Where the slice holds 2^32 elements or more.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            let bound = u32::try_from(last + 1).expect("a slice of fewer than 2^32 elements");
            values.swap(last, self.below(bound) as usize);
        }
    }

    /// A standard normal number (Box and Muller, in f64; the second of each pair is kept for the next call).
    pub fn normal(&mut self) -> f64 {
        if let Some(second) = self.spare.take() {
            return second;
        }
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.next_f64()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.next_f64()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that Random123 ships (kat_vectors, philox4x32 10).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn elements_are_words_of_blocks() {
        let seed = 0x0123_4567_89ab_cdef;
        let index = (0x1_0000_0003u64 << 2) | 2;
        let block = philox4x32([3, 1, 7, 9], [0x89ab_cdef, 0x0123_4567]);
        assert_eq!(element_bits(seed, 7, 9, index), block[2]);
    }

    #[test]
    fn a_stream_is_its_elements_in_order() {
        let mut s = Stream::at(42, 1, 2, 6);
        for index in 6..40 {
            assert_eq!(s.next_u32(), element_bits(42, 1, 2, index));
        }
    }

    #[test]
    fn u01_is_exact_and_below_one() {
        assert_eq!(u01(0), 0.0);
        assert_eq!(u01(u32::MAX), 1.0 - 1.0 / 16_777_216.0);
        assert_eq!(u01(1 << 31), 0.5);
    }

    /// Chi-square of 6 equally likely cells: 5 degrees of freedom, 99.9 % below 20.5.
    #[test]
    fn below_is_uniform() {
        let mut s = Stream::new(3, 0, 0);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[s.below(6) as usize] += 1;
        }
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 1e4).powi(2) / 1e4).sum();
        assert!(chi2 < 20.5, "chi-square {chi2} of {counts:?}");
        assert!((0..100).all(|_| s.below(1) == 0));
        assert!((0..100).any(|_| s.below(u32::MAX) > 1 << 31));
    }

    #[test]
    fn shuffle_permutes() {
        let mut v: Vec<u32> = (0..1000).collect();
        Stream::new(5, 0, 0).shuffle(&mut v);
        assert_ne!(v, (0..1000).collect::<Vec<_>>());
        v.sort_unstable();
        assert_eq!(v, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn normal_has_its_moments() {
        let mut s = Stream::new(11, 0, 0);
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|_| s.normal()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        let fourth = draws.iter().map(|x| (x - mean).powi(4)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.015, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
        assert!((fourth - 3.0).abs() < 0.15, "fourth moment {fourth}");
    }
}
