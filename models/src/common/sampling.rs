//! Triples (user, positive item, negative item) for Bayesian personalised ranking.
//!
//! Draws are Philox words addressed by (seed, epoch, position of the draw in the epoch): any batch of any
//! epoch can be produced alone, for any number of threads, and a resumed run sees what an uninterrupted one
//! would have seen. A negative is uniform over the items that the user does not have. It is found by rank in
//! the complement of the user's sorted list, which has the distribution of drawing until the item is unseen
//! but takes one draw also for users who have nearly everything.

use super::data::Interactions;
use latentc::philox::Stream;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Philox stream of the users of [`Sampling::DistinctUsers`]; its step is the epoch.
const USERS: u32 = 0x4250_0001;
/// Philox stream of everything drawn by triple; its step is the epoch.
const TRIPLES: u32 = 0x4250_0002;
/// Words that belong to one triple; far more than rejection in `below` can need.
const WORDS_PER_TRIPLE: u64 = 1 << 12;

/// How the user and the positive item of a triple are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// NGCF's code: distinct users without replacement (with replacement where the batch is larger than the
    /// number of users), then one of the user's items. An epoch has `pairs / batch + 1` batches.
    DistinctUsers,
    /// LightGCN's code: each triple draws a user, then one of the user's items. An epoch has as many triples
    /// as there are train pairs.
    Users,
    /// Each triple draws a train pair, so active users come more often. An epoch has as many triples as
    /// there are train pairs.
    Pairs,
}

/// How item ids are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ItemIds {
    /// Rows of the item table, from 0.
    #[default]
    Item,
    /// Rows of one table that holds the users first: the item plus the number of users.
    Node,
}

/// Why triples cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A batch without a triple.
    #[error("batch is 0; give a batch of at least 1")]
    EmptyBatch,
    /// A batch that 32-bit sizes do not hold.
    #[error("batch is {0}; at most 16777216 triples fit a step")]
    HugeBatch(usize),
    /// A user for whom there is no negative item.
    #[error(
        "user {user} has all {items} items in train, so no negative item exists; remove the user or some interactions"
    )]
    OwnsEverything {
        /// The user.
        user: usize,
        /// Rows of the item table.
        items: usize,
    },
    /// Nothing to draw from.
    #[error("no user has a train item; add interactions")]
    NoUsers,
}

/// The triples of a batch: three columns of one length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triples {
    /// Users.
    pub user: Vec<i32>,
    /// Items that the user has.
    pub positive: Vec<i32>,
    /// Items that the user does not have.
    pub negative: Vec<i32>,
}

impl Triples {
    /// Number of triples.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }

    fn clear(&mut self) {
        self.user.clear();
        self.positive.clear();
        self.negative.clear();
    }
}

/// Draws batches of triples from the train lists of a data set.
#[derive(Clone, Debug)]
pub struct BprSampler {
    data: Arc<Interactions>,
    strategy: Sampling,
    batch: usize,
    seed: u64,
    item_offset: i32,
    /// Users with a train item, in ascending order between calls.
    active: Vec<i32>,
    /// The swaps of the current draw without replacement, to be undone.
    swaps: Vec<u32>,
}

impl BprSampler {
    /// A sampler of batches of at most `batch` triples.
    pub fn new(
        data: Arc<Interactions>,
        strategy: Sampling,
        batch: usize,
        seed: u64,
        ids: ItemIds,
    ) -> Result<BprSampler, SampleError> {
        match batch {
            0 => return Err(SampleError::EmptyBatch),
            b if b > 1 << 24 => return Err(SampleError::HugeBatch(b)),
            _ => {}
        }
        let items = data.items;
        if let Some(user) = (0..data.users).find(|&u| items > 0 && data.train.of(u).len() == items) {
            return Err(SampleError::OwnsEverything { user, items });
        }
        let active: Vec<i32> =
            (0..data.users).filter(|&u| !data.train.of(u).is_empty()).map(|u| u as i32).collect();
        if active.is_empty() {
            return Err(SampleError::NoUsers);
        }
        let item_offset = match ids {
            ItemIds::Item => 0,
            ItemIds::Node => data.users as i32,
        };
        let swaps = Vec::with_capacity(batch.min(active.len()));
        Ok(BprSampler { data, strategy, batch, seed, item_offset, active, swaps })
    }

    /// Batches in an epoch.
    pub fn batches(&self) -> u32 {
        let pairs = self.data.train.pairs();
        (match self.strategy {
            Sampling::DistinctUsers => pairs / self.batch + 1,
            Sampling::Users | Sampling::Pairs => pairs.div_ceil(self.batch),
        }) as u32
    }

    /// Triples in a batch of an epoch: the last one of an epoch over pairs may be short.
    pub fn batch_len(&self, batch: u32) -> usize {
        match self.strategy {
            Sampling::DistinctUsers => self.batch,
            Sampling::Users | Sampling::Pairs => {
                self.data.train.pairs().saturating_sub(batch as usize * self.batch).min(self.batch)
            }
        }
    }

    /// Writes the triples of a batch. What the buffers hold is replaced; with the capacity of a batch they
    /// are not reallocated.
    pub fn fill(&mut self, epoch: u32, batch: u32, out: &mut Triples) {
        out.clear();
        let n = self.batch_len(batch);
        if self.strategy == Sampling::DistinctUsers {
            self.draw_users(epoch, batch, n, &mut out.user);
        }
        let train = &self.data.train;
        for slot in 0..n {
            let draw = u64::from(batch) * self.batch as u64 + slot as u64;
            let mut random = Stream::at(self.seed, TRIPLES, epoch, draw * WORDS_PER_TRIPLE);
            let (user, positive) = match self.strategy {
                Sampling::Pairs => {
                    let pair = random.below(train.pairs() as u32) as usize;
                    (train.user_of(pair), train.items()[pair])
                }
                strategy => {
                    let user = match strategy {
                        Sampling::Users => {
                            let user = self.active[random.below(self.active.len() as u32) as usize];
                            out.user.push(user);
                            user
                        }
                        _ => out.user[slot],
                    } as usize;
                    let row = train.of(user);
                    (user, row[random.below(row.len() as u32) as usize])
                }
            };
            if self.strategy == Sampling::Pairs {
                out.user.push(user as i32);
            }
            let row = train.of(user);
            let rank = random.below((self.data.items - row.len()) as u32);
            out.positive.push(positive + self.item_offset);
            out.negative.push(unseen(row, rank as i32) + self.item_offset);
        }
    }

    /// Users of a batch: the first steps of a Fisher-Yates shuffle of the active users, undone afterwards so
    /// that the draw depends on nothing but its address.
    fn draw_users(&mut self, epoch: u32, batch: u32, n: usize, out: &mut Vec<i32>) {
        let mut random = Stream::at(self.seed, USERS, epoch, u64::from(batch) << 32);
        let users = self.active.len();
        if n > users {
            out.extend((0..n).map(|_| self.active[random.below(users as u32) as usize]));
            return;
        }
        self.swaps.clear();
        for slot in 0..n {
            let other = slot as u32 + random.below((users - slot) as u32);
            self.active.swap(slot, other as usize);
            self.swaps.push(other);
            out.push(self.active[slot]);
        }
        for (slot, &other) in self.swaps.iter().enumerate().rev() {
            self.active.swap(slot, other as usize);
        }
    }
}

/// The item of a rank among those that a sorted list lacks.
fn unseen(row: &[i32], rank: i32) -> i32 {
    // row[p] - p counts the unseen items before row[p].
    let (mut low, mut high) = (0, row.len());
    while low < high {
        let middle = (low + high) / 2;
        if row[middle] - middle as i32 <= rank {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    rank + low as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(train: &[Vec<i32>], items: usize) -> Arc<Interactions> {
        let mut test = vec![vec![]; train.len()];
        test[0] = vec![0];
        Arc::new(Interactions::from_lists("t", train.len(), items, train, &test).unwrap())
    }

    fn ring(users: usize, items: usize) -> Arc<Interactions> {
        let train: Vec<Vec<i32>> =
            (0..users).map(|u| (0..3).map(|j| ((u * 5 + j * 7) % items) as i32).collect()).collect();
        data(&train, items)
    }

    #[test]
    fn unseen_items_are_listed_in_order() {
        let row = [0, 1, 4, 6];
        let missing: Vec<i32> = (0..4).map(|r| unseen(&row, r)).collect();
        assert_eq!(missing, [2, 3, 5, 7]);
        assert_eq!(unseen(&[], 3), 3);
    }

    #[test]
    fn a_batch_depends_on_its_address_only_and_allocates_nothing() {
        for strategy in [Sampling::DistinctUsers, Sampling::Users, Sampling::Pairs] {
            let mut a = BprSampler::new(ring(50, 40), strategy, 16, 7, ItemIds::Item).unwrap();
            let mut b = a.clone();
            let mut out = Triples::default();
            for batch in 0..a.batches() {
                a.fill(0, batch, &mut out);
            }
            a.fill(3, 2, &mut out);
            let mut alone = Triples::default();
            b.fill(3, 2, &mut alone);
            assert_eq!(out, alone);
            let at = (out.user.as_ptr(), out.positive.as_ptr(), out.negative.as_ptr());
            a.fill(4, 2, &mut out);
            assert_ne!(out, alone);
            assert_eq!(at, (out.user.as_ptr(), out.positive.as_ptr(), out.negative.as_ptr()));
        }
    }

    #[test]
    fn an_epoch_has_the_triples_of_its_source() {
        let count = |strategy| {
            let mut s = BprSampler::new(ring(50, 40), strategy, 16, 7, ItemIds::Item).unwrap();
            let mut out = Triples::default();
            (0..s.batches())
                .map(|b| {
                    s.fill(0, b, &mut out);
                    out.len()
                })
                .sum::<usize>()
        };
        assert_eq!(count(Sampling::DistinctUsers), (150 / 16 + 1) * 16);
        assert_eq!(count(Sampling::Users), 150);
        assert_eq!(count(Sampling::Pairs), 150);
    }

    #[test]
    fn users_are_distinct_unless_there_are_too_few() {
        let mut s = BprSampler::new(ring(50, 40), Sampling::DistinctUsers, 50, 1, ItemIds::Item).unwrap();
        let mut out = Triples::default();
        s.fill(0, 0, &mut out);
        let mut users = out.user.clone();
        users.sort_unstable();
        assert_eq!(users, (0..50).collect::<Vec<i32>>());
        let mut s = BprSampler::new(ring(5, 40), Sampling::DistinctUsers, 50, 1, ItemIds::Item).unwrap();
        s.fill(0, 0, &mut out);
        assert_eq!(out.len(), 50);
    }

    /// Chi-square of 7 equally likely cells: 6 degrees of freedom, 99.9 % below 22.5.
    #[test]
    fn negatives_are_uniform_over_the_unseen() {
        let set = data(&[vec![0, 3, 9]], 10);
        let mut s = BprSampler::new(set, Sampling::Users, 1, 5, ItemIds::Item).unwrap();
        let (mut out, mut counts) = (Triples::default(), [0f64; 10]);
        for epoch in 0..7000 {
            s.fill(epoch, 0, &mut out);
            counts[out.negative[0] as usize] += 1.0;
        }
        assert_eq!((counts[0], counts[3], counts[9]), (0.0, 0.0, 0.0));
        let chi2: f64 = counts.iter().filter(|&&c| c > 0.0).map(|c| (c - 1e3).powi(2) / 1e3).sum();
        assert!(chi2 < 22.5, "{chi2} of {counts:?}");
    }

    #[test]
    fn pairs_follow_activity_and_users_do_not() {
        let set = data(&[(0..9).collect(), vec![0]], 10);
        let share = |strategy| {
            let mut s = BprSampler::new(set.clone(), strategy, 10, 5, ItemIds::Item).unwrap();
            let (mut out, mut hits) = (Triples::default(), 0);
            for epoch in 0..500 {
                s.fill(epoch, 0, &mut out);
                hits += out.user.iter().filter(|&&u| u == 0).count();
            }
            hits as f64 / 5000.0
        };
        assert!((share(Sampling::Pairs) - 0.9).abs() < 0.02);
        assert!((share(Sampling::Users) - 0.5).abs() < 0.03);
    }

    #[test]
    fn what_cannot_be_sampled_is_named() {
        let set = data(&[vec![1], vec![0, 1, 2], vec![]], 3);
        let e = BprSampler::new(set, Sampling::Pairs, 4, 0, ItemIds::Item).unwrap_err();
        assert_eq!(e, SampleError::OwnsEverything { user: 1, items: 3 });
        assert!(e.to_string().contains("user 1 has all 3 items"));
        let e = BprSampler::new(ring(5, 9), Sampling::Pairs, 0, 0, ItemIds::Item).unwrap_err();
        assert_eq!(e, SampleError::EmptyBatch);
    }

    proptest! {
        #[test]
        fn triples_are_what_they_say(
            rows in proptest::collection::vec(proptest::collection::btree_set(0i32..30, 0..12), 1..20),
            strategy in prop_oneof![Just(Sampling::DistinctUsers), Just(Sampling::Users), Just(Sampling::Pairs)],
            batch in 1usize..40, seed: u64, node: bool,
        ) {
            let train: Vec<Vec<i32>> = rows.iter().map(|r| r.iter().copied().collect()).collect();
            prop_assume!(train.iter().any(|r| !r.is_empty()));
            let set = data(&train, 30);
            let (ids, offset) = if node { (ItemIds::Node, set.users as i32) } else { (ItemIds::Item, 0) };
            let mut s = BprSampler::new(set.clone(), strategy, batch, seed, ids).unwrap();
            let mut out = Triples::default();
            for b in 0..s.batches() {
                s.fill(1, b, &mut out);
                prop_assert_eq!(out.len(), s.batch_len(b));
                prop_assert_eq!((out.positive.len(), out.negative.len()), (out.len(), out.len()));
                for i in 0..out.len() {
                    let user = out.user[i] as usize;
                    prop_assert!(set.train.contains(user, out.positive[i] - offset));
                    let negative = out.negative[i] - offset;
                    prop_assert!((0..30).contains(&negative) && !set.train.contains(user, negative));
                }
            }
        }
    }
}
