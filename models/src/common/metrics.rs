//! Quality of ranked lists: Recall, Precision, HitRate, MRR and NDCG at several lengths at once.
//!
//! With `h_j` 1 where place j (from 1) of a user's list holds a test item, and T the number of test items:
//! `Recall@k = sum_{j<=k} h_j / T`, `Precision@k = sum / k`, `HitRate@k = [sum > 0]`, `MRR@k` = 1 / place of
//! the first hit within k, and `DCG@k = sum_{j<=k} h_j / log2(j + 1)`. `ndcg` divides it by the DCG of
//! min(k, T) hits in front. `ndcg_self` divides it by the DCG at k of the user's own hits moved to the front,
//! the hits of the whole list given (as the NGCF code does, whose list is as long as its largest k): it is
//! larger, and not comparable with `ndcg`. Averages run over users with a test item, in f64, in the order in
//! which users are added, so they are the same bits every time.

use super::data::Lists;

/// The metrics of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Share of the test items that were found.
    pub recall: f64,
    /// Share of the list that is a hit.
    pub precision: f64,
    /// Whether there is a hit (a share of users once averaged).
    pub hit_rate: f64,
    /// One over the place of the first hit, or 0.
    pub mrr: f64,
    /// Discounted gain over that of the best list possible.
    pub ndcg: f64,
    /// Discounted gain over that of the list's own hits in front.
    pub ndcg_self: f64,
}

impl Scores {
    /// The names of the metrics, in the order of [`Scores::values`].
    pub const NAMES: [&'static str; 6] = ["recall", "ndcg", "precision", "hit_rate", "mrr", "ndcg_self"];

    /// The values, in the order of [`Scores::NAMES`].
    pub fn values(&self) -> [f64; 6] {
        [self.recall, self.ndcg, self.precision, self.hit_rate, self.mrr, self.ndcg_self]
    }

    fn combine(self, other: Scores, f: impl Fn(f64, f64) -> f64) -> Scores {
        Scores {
            recall: f(self.recall, other.recall),
            precision: f(self.precision, other.precision),
            hit_rate: f(self.hit_rate, other.hit_rate),
            mrr: f(self.mrr, other.mrr),
            ndcg: f(self.ndcg, other.ndcg),
            ndcg_self: f(self.ndcg_self, other.ndcg_self),
        }
    }
}

/// Why lists cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// No length asked for.
    #[error("ks is empty; name at least one list length, such as 20")]
    NoLength,
    /// A list of no item.
    #[error("ks holds 0; a list has at least one place")]
    ZeroLength,
    /// A list longer than the item table.
    #[error("top {k} of {items} items was asked for; give ks of at most {items}")]
    LongerThanItems {
        /// The length.
        k: usize,
        /// Rows of the item table.
        items: usize,
    },
    /// Lists of another number than users times places.
    #[error("{found} ids for {users} lists of {width}; expected {}", users * width)]
    Size {
        /// Ids given.
        found: usize,
        /// Users given.
        users: usize,
        /// Places of a list.
        width: usize,
    },
    /// A user outside the table.
    #[error("user {user} was ranked, the user table has {users} rows")]
    NoSuchUser {
        /// The user.
        user: i32,
        /// Rows of the table.
        users: usize,
    },
    /// A list with an id that is no item.
    #[error("user {user}: place {place} holds item {item}, the item table has {items} rows")]
    NoSuchItem {
        /// The user.
        user: i32,
        /// The place, from 1.
        place: usize,
        /// The id.
        item: i32,
        /// Rows of the item table.
        items: usize,
    },
    /// A list that names a hit twice.
    #[error("user {user}: item {item} is ranked twice; a list must not repeat an item")]
    Repeated {
        /// The user.
        user: i32,
        /// The item.
        item: i32,
    },
}

/// Averages of the metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// List lengths, ascending.
    pub ks: Vec<usize>,
    /// The scores of each length.
    pub scores: Vec<Scores>,
    /// Users averaged over.
    pub users: usize,
}

impl Report {
    /// The scores at a length, where it was asked for.
    pub fn at(&self, k: usize) -> Option<Scores> {
        self.ks.iter().position(|&x| x == k).map(|i| self.scores[i])
    }

    /// A metric by its name, such as `recall@20`.
    pub fn get(&self, name: &str) -> Option<f64> {
        let (metric, k) = name.split_once('@')?;
        let scores = self.at(k.parse().ok()?)?;
        Scores::NAMES.iter().position(|&n| n == metric).map(|i| scores.values()[i])
    }

    /// All metrics with names such as `recall@20`, length by length.
    pub fn entries(&self) -> impl Iterator<Item = (String, f64)> + '_ {
        self.ks.iter().zip(&self.scores).flat_map(|(k, scores)| {
            Scores::NAMES.iter().zip(scores.values()).map(move |(name, value)| (format!("{name}@{k}"), value))
        })
    }
}

/// Adds up the metrics of users, batch after batch.
#[derive(Clone, Debug)]
pub struct Evaluator {
    ks: Vec<usize>,
    items: usize,
    sums: Vec<Scores>,
    users: usize,
    /// DCG of n hits in front, for n from 0.
    ideal: Vec<f64>,
    hits: Vec<bool>,
    found: Vec<bool>,
}

impl Evaluator {
    /// An evaluator at the lengths `ks` (any order, repetitions dropped) of lists of `items` items.
    pub fn new(ks: &[usize], items: usize) -> Result<Evaluator, MetricError> {
        let mut ks = ks.to_vec();
        ks.sort_unstable();
        ks.dedup();
        match (ks.first(), ks.last()) {
            (None, _) | (_, None) => Err(MetricError::NoLength),
            (Some(0), _) => Err(MetricError::ZeroLength),
            (_, Some(&k)) if k > items => Err(MetricError::LongerThanItems { k, items }),
            (_, Some(&width)) => {
                let mut ideal = vec![0.0; width + 1];
                for place in 1..=width {
                    ideal[place] = ideal[place - 1] + discount(place);
                }
                let sums = vec![Scores::default(); ks.len()];
                Ok(Evaluator { ks, items, sums, users: 0, ideal, hits: Vec::new(), found: Vec::new() })
            }
        }
    }

    /// Places that a list must have: the largest length.
    pub fn width(&self) -> usize {
        self.ideal.len() - 1
    }

    /// Adds users with their lists, `width()` ids for each: best first, and negative ids from where a list
    /// has no more items. Users without a test item are skipped.
    pub fn add(&mut self, users: &[i32], lists: &[i32], test: &Lists) -> Result<(), MetricError> {
        let width = self.width();
        if lists.len() != users.len() * width {
            return Err(MetricError::Size { found: lists.len(), users: users.len(), width });
        }
        for (&user, list) in users.iter().zip(lists.chunks_exact(width)) {
            let known = usize::try_from(user).ok().filter(|&u| u < test.users());
            let Some(row) = known else {
                return Err(MetricError::NoSuchUser { user, users: test.users() });
            };
            let relevant = test.of(row);
            if relevant.is_empty() {
                continue;
            }
            self.mark_hits(user, list, relevant)?;
            for at in 0..self.ks.len() {
                let scores = self.score(self.ks[at], relevant.len());
                self.sums[at] = self.sums[at].combine(scores, |a, b| a + b);
            }
            self.users += 1;
        }
        Ok(())
    }

    fn mark_hits(&mut self, user: i32, list: &[i32], relevant: &[i32]) -> Result<(), MetricError> {
        self.hits.clear();
        self.found.clear();
        self.found.resize(relevant.len(), false);
        for (at, &item) in list.iter().enumerate().take_while(|(_, item)| **item >= 0) {
            if item as usize >= self.items {
                return Err(MetricError::NoSuchItem { user, place: at + 1, item, items: self.items });
            }
            let hit = relevant.binary_search(&item);
            if hit.is_ok_and(|i| std::mem::replace(&mut self.found[i], true)) {
                return Err(MetricError::Repeated { user, item });
            }
            self.hits.push(hit.is_ok());
        }
        Ok(())
    }

    fn score(&self, k: usize, relevant: usize) -> Scores {
        let (mut count, mut dcg, mut mrr) = (0usize, 0.0, 0.0);
        for place in self.hits.iter().take(k).enumerate().filter(|(_, hit)| **hit).map(|(at, _)| at + 1) {
            if count == 0 {
                mrr = 1.0 / place as f64;
            }
            count += 1;
            dcg += discount(place);
        }
        let own = self.hits.iter().filter(|h| **h).count().min(k);
        Scores {
            recall: count as f64 / relevant as f64,
            precision: count as f64 / k as f64,
            hit_rate: f64::from(u8::from(count > 0)),
            mrr,
            ndcg: dcg / self.ideal[k.min(relevant)],
            ndcg_self: if own == 0 { 0.0 } else { dcg / self.ideal[own] },
        }
    }

    /// The averages; zeros where no user had a test item.
    pub fn finish(self) -> Report {
        let n = self.users.max(1) as f64;
        let scores = self.sums.iter().map(|s| s.combine(*s, |a, _| a / n)).collect();
        Report { ks: self.ks, scores, users: self.users }
    }
}

fn discount(place: usize) -> f64 {
    1.0 / ((place + 1) as f64).log2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge(list: &[i32], test: &[i32], ks: &[usize]) -> Report {
        let lists = Lists::from_rows(&[test]).unwrap();
        let mut e = Evaluator::new(ks, 1000).unwrap();
        let mut list = list.to_vec();
        list.resize(e.width(), -1);
        e.add(&[0], &list, &lists).unwrap();
        e.finish()
    }

    fn close(found: f64, printed: f64) {
        assert!((found - printed).abs() < 5e-7, "{found} is not {printed}");
    }

    /// The worked example that all recommenders of this crate share.
    #[test]
    fn parity_with_the_worked_example() {
        let s = judge(&[7, 3, 9, 1, 5], &[3, 5, 8], &[5]).at(5).unwrap();
        close(s.recall, 0.666667);
        close(s.precision, 0.4);
        close(s.hit_rate, 1.0);
        close(s.ndcg, 0.477624);
        // The example prints .624050, its value .62405052 cut off after the sixth digit.
        assert_eq!((s.ndcg_self * 1e6).floor(), 624_050.0);
        close(s.ndcg_self, 0.624_050_52);
        close(s.mrr, 0.5);
    }

    #[test]
    fn names_reach_the_values() {
        let r = judge(&[7, 3, 9, 1, 5], &[3, 5, 8], &[5, 1, 5]);
        assert_eq!(r.ks, [1, 5]);
        close(r.get("recall@5").unwrap(), 0.666667);
        assert_eq!(r.get("recall@1"), Some(0.0));
        assert_eq!((r.get("recall@7"), r.get("rank@5"), r.get("recall")), (None, None, None));
        assert_eq!(r.entries().count(), 12);
        assert!(r.entries().all(|(name, value)| r.get(&name) == Some(value)));
    }

    #[test]
    fn averages_run_over_users_with_a_test_item() {
        let test = Lists::from_rows(&[vec![1], vec![], vec![2]]).unwrap();
        let mut e = Evaluator::new(&[2], 10).unwrap();
        e.add(&[0, 1], &[1, 0, 5, 6], &test).unwrap();
        e.add(&[2], &[3, -1], &test).unwrap();
        let r = e.finish();
        assert_eq!((r.users, r.get("recall@2")), (2, Some(0.5)));
    }

    #[test]
    fn bad_lengths_and_lists_are_named() {
        let e = |ks: &[usize]| Evaluator::new(ks, 10).unwrap_err().to_string();
        assert_eq!(e(&[20]), "top 20 of 10 items was asked for; give ks of at most 10");
        assert!(e(&[]).contains("ks is empty"));
        assert!(e(&[0, 5]).contains("ks holds 0"));
        let test = Lists::from_rows(&[vec![1, 2]]).unwrap();
        let add = |users: &[i32], list: &[i32]| {
            Evaluator::new(&[2], 10).unwrap().add(users, list, &test).unwrap_err()
        };
        assert_eq!(add(&[0], &[1]), MetricError::Size { found: 1, users: 1, width: 2 });
        assert_eq!(add(&[1], &[1, 2]), MetricError::NoSuchUser { user: 1, users: 1 });
        assert_eq!(add(&[0], &[3, 10]), MetricError::NoSuchItem { user: 0, place: 2, item: 10, items: 10 });
        assert_eq!(add(&[0], &[1, 1]), MetricError::Repeated { user: 0, item: 1 });
    }

    proptest! {
        #[test]
        fn bounds_and_monotony(
            order in Just((0..60i32).collect::<Vec<_>>()).prop_shuffle(), length in 1usize..40,
            test in proptest::collection::btree_set(0i32..60, 1..20),
        ) {
            let test: Vec<i32> = test.into_iter().collect();
            let ks: Vec<usize> = (1..=length).collect();
            let r = judge(&order[..length], &test, &ks);
            for (name, value) in r.entries() {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{} is {}", name, value);
            }
            for pair in r.scores.windows(2) {
                prop_assert!(pair[0].recall <= pair[1].recall);
                prop_assert!(pair[0].hit_rate <= pair[1].hit_rate);
                prop_assert!(pair[0].mrr <= pair[1].mrr);
            }
            for (k, s) in r.ks.iter().zip(&r.scores) {
                prop_assert!((s.recall * test.len() as f64 - s.precision * *k as f64).abs() < 1e-9);
            }
        }

        #[test]
        fn a_perfect_list_scores_one(test in proptest::collection::btree_set(0i32..60, 1..20), extra in 0usize..5) {
            let test: Vec<i32> = test.into_iter().collect();
            let mut list = test.clone();
            list.extend((60..).take(extra));
            let s = judge(&list, &test, &[list.len()]).at(list.len()).unwrap();
            prop_assert_eq!((s.recall, s.hit_rate, s.mrr), (1.0, 1.0, 1.0));
            prop_assert!((s.ndcg - 1.0).abs() < 1e-12 && (s.ndcg_self - 1.0).abs() < 1e-12);
        }
    }
}
