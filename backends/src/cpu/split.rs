//! Dividing a parallel loop among threads: by the loop's bounds and a prefix count alone, so the same every
//! time.

use super::threads::Part;

/// A parallel loop at known sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// First value.
    pub lo: i64,
    /// End, exclusive.
    pub hi: i64,
    /// Positive step.
    pub step: i64,
}

impl Range {
    /// Number of iterations.
    pub fn count(self) -> i64 {
        if self.hi <= self.lo { 0 } else { (self.hi - self.lo - 1) / self.step + 1 }
    }

    /// Where iteration `at` begins; the end for the iteration after the last.
    fn value(self, at: i64) -> i64 {
        self.lo.saturating_add(at.saturating_mul(self.step)).min(self.hi)
    }

    /// Writes the parts between cuts; `cut(t)` is the first iteration of part `t`, ascending.
    fn write(self, parts: &mut [Part], mut cut: impl FnMut(i64) -> i64) {
        let (n, count) = (parts.len(), self.count());
        let mut from = 0;
        for (t, part) in parts.iter_mut().enumerate() {
            let to = if t + 1 == n { count } else { cut(t as i64 + 1).clamp(from, count) };
            *part = (self.value(from), self.value(to));
            from = to;
        }
    }

    /// Equal counts.
    pub fn evenly(self, parts: &mut [Part]) {
        let (n, count) = (parts.len() as i128, i128::from(self.count()));
        self.write(parts, |t| (count * i128::from(t) / n) as i64);
    }

    /// Equal work, where iteration `i` is the rows `i * rows_per_iteration ..` of a prefix count and work is
    /// rows and entries together.
    pub fn by_prefix(self, prefix: &[i32], rows_per_iteration: u32, parts: &mut [Part]) {
        let Some(last) = prefix.len().checked_sub(1) else { return self.evenly(parts) };
        let work = |at: i64| {
            let row = self.value(at).saturating_mul(i64::from(rows_per_iteration)).clamp(0, last as i64);
            row + i64::from(prefix[row as usize])
        };
        let (n, count) = (parts.len() as i128, self.count());
        let (start, total) = (work(0), i128::from(work(count) - work(0)));
        self.write(parts, |t| {
            let goal = start + (total * i128::from(t) / n) as i64;
            // The first iteration whose work before it reaches the goal.
            let (mut a, mut b) = (0, count);
            while a < b {
                let middle = a + (b - a) / 2;
                if work(middle) < goal {
                    a = middle + 1;
                } else {
                    b = middle;
                }
            }
            a
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts follow one another and cover the range, each from a whole number of steps.
    fn check(range: Range, parts: &[Part]) {
        let mut at = range.lo;
        for &(lo, hi) in parts {
            assert_eq!(lo, at, "{range:?} {parts:?}");
            assert!(hi >= lo && (hi == range.hi.max(range.lo) || (hi - range.lo) % range.step == 0));
            at = hi;
        }
        assert_eq!(at, range.hi.max(range.lo), "{range:?} {parts:?}");
    }

    #[test]
    fn even_parts_cover_the_range() {
        for n in 1..9 {
            for (lo, hi, step) in [(0, 0, 1), (0, 1, 1), (3, 50, 7), (-5, 5, 2), (0, 1000, 16), (9, 2, 1)] {
                let range = Range { lo, hi, step };
                let mut parts = vec![(0, 0); n];
                range.evenly(&mut parts);
                if range.count() > 0 {
                    check(range, &parts);
                } else {
                    assert!(parts.iter().all(|(a, b)| a >= b));
                }
                let sizes = parts.iter().map(|(a, b)| Range { lo: *a, hi: *b, step }.count());
                let (min, max) = sizes.fold((i64::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
                assert!(max - min <= 1);
            }
        }
    }

    #[test]
    fn a_hub_gets_a_thread_of_its_own() {
        let mut prefix = vec![0i32];
        for row in 0..100 {
            prefix.push(prefix[row] + if row == 40 { 1000 } else { 1 });
        }
        let range = Range { lo: 0, hi: 100, step: 1 };
        let mut parts = [(0, 0); 4];
        range.by_prefix(&prefix, 1, &mut parts);
        check(range, &parts);
        // 1199 units of work, 300 a thread; the hub lies in one part and the cuts fall beside it.
        assert_eq!(parts, [(0, 41), (41, 41), (41, 41), (41, 100)]);
        let rows = vec![0i32; 101];
        range.by_prefix(&rows, 1, &mut parts);
        assert_eq!(parts, [(0, 25), (25, 50), (50, 75), (75, 100)]);
    }

    #[test]
    fn several_rows_an_iteration_and_odd_prefixes() {
        let prefix: Vec<i32> = (0..=10).map(|i| i * 3).collect();
        let range = Range { lo: 0, hi: 3, step: 1 };
        let mut parts = [(0, 0); 2];
        range.by_prefix(&prefix, 4, &mut parts);
        check(range, &parts);
        assert_eq!(parts, [(0, 2), (2, 3)]);
        // Whatever is in the buffer, the parts cover the range.
        for prefix in [vec![], vec![0], vec![5, -3, 100, 2, i32::MAX, i32::MIN]] {
            range.by_prefix(&prefix, 1, &mut parts);
            check(range, &parts);
        }
    }
}
