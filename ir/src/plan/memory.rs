//! Places in the arena for values that live only within a run.

/// A buffer that needs a place: how large it is, and the launches between which it lives, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Bytes.
    pub bytes: usize,
    /// The first launch that writes it.
    pub from: usize,
    /// The last launch that reads or writes it.
    pub to: usize,
}

/// Alignment of every place: a cache line.
pub const ALIGN: usize = 64;

/// Gives every tenant an offset so that those that live at the same time do not overlap; returns the offsets
/// and the size of the arena. Largest first, each at the lowest offset that is free for its whole life.
pub fn place(tenants: &[Tenant]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..tenants.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(tenants[*i].bytes), tenants[*i].from, *i));
    let mut offsets = vec![0; tenants.len()];
    let mut placed: Vec<usize> = vec![];
    let mut size = 0;
    for i in order {
        let t = tenants[i];
        let bytes = t.bytes.next_multiple_of(ALIGN).max(ALIGN);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|j| tenants[**j].from <= t.to && t.from <= tenants[**j].to)
            .map(|j| (offsets[*j], offsets[*j] + tenants[*j].bytes.next_multiple_of(ALIGN).max(ALIGN)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (lo, hi) in taken {
            if at + bytes <= lo {
                break;
            }
            at = at.max(hi);
        }
        offsets[i] = at;
        size = size.max(at + bytes);
        placed.push(i);
    }
    (offsets, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_of_one_time_do_not_overlap() {
        let t = |bytes, from, to| Tenant { bytes, from, to };
        let tenants = [t(100, 0, 2), t(64, 1, 3), t(200, 3, 4), t(10, 4, 9), t(128, 2, 2)];
        let (offsets, size) = place(&tenants);
        for i in 0..tenants.len() {
            assert_eq!(offsets[i] % ALIGN, 0);
            assert!(offsets[i] + tenants[i].bytes <= size);
            for j in 0..i {
                let (a, b) = (tenants[i], tenants[j]);
                if a.from <= b.to && b.from <= a.to {
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    assert!(apart, "{i} and {j}");
                }
            }
        }
        // Those that follow each other share.
        assert!(size < 100 + 64 + 200 + 10 + 128 + 5 * ALIGN);
    }
}
