//! The loop, driven with matrix factorisation in plain Rust.

use super::super::tensor::{NamedTensor, SavedTensor, Values};
use super::*;
use crate::common::data::{Declared, load_lastfm, test_data};
use latentc::philox::Stream;

/// BPR matrix factorisation with plain gradient descent.
struct Mf {
    data: Arc<Interactions>,
    dim: usize,
    lr: f32,
    users: Vec<f32>,
    items: Vec<f32>,
    losses: Vec<f32>,
    /// The step whose loss is made not a number.
    broken: Option<u64>,
    /// The step whose update makes a parameter not a number.
    poisoned: Option<u64>,
    /// Raised once this many steps are done.
    stop_after: Option<(u64, Arc<AtomicBool>)>,
}

impl Mf {
    fn new(data: Arc<Interactions>, dim: usize, lr: f32, seed: u64) -> Mf {
        let mut random = Stream::new(seed, 1, 0);
        let mut table = |rows: usize| (0..rows * dim).map(|_| 0.1 * random.normal() as f32).collect();
        let (users, items) = (table(data.users), table(data.items));
        Mf { data, dim, lr, users, items, losses: vec![], broken: None, poisoned: None, stop_after: None }
    }

    fn dot(&self, user: usize, item: usize) -> f32 {
        let (u, i) = (&self.users[user * self.dim..], &self.items[item * self.dim..]);
        (0..self.dim).map(|d| u[d] * i[d]).sum()
    }
}

impl Recommender for Mf {
    fn train_step(&mut self, batch: Batch<'_>) -> Result<f32, ModelError> {
        let mut sum = 0.0;
        for ((&user, &positive), &negative) in batch.user.iter().zip(batch.positive).zip(batch.negative) {
            let (u, p, n) = (user as usize, positive as usize, negative as usize);
            let x = self.dot(u, p) - self.dot(u, n);
            sum += (-x).exp().ln_1p();
            let g = self.lr / (1.0 + x.exp());
            for d in 0..self.dim {
                let (a, b, c) = (u * self.dim + d, p * self.dim + d, n * self.dim + d);
                let (old, difference) = (self.users[a], self.items[b] - self.items[c]);
                self.users[a] += g * difference;
                self.items[b] += g * old;
                self.items[c] -= g * old;
            }
        }
        if let Some((after, stop)) = &self.stop_after
            && batch.step + 1 == *after
        {
            stop.store(true, Ordering::Relaxed);
        }
        if self.poisoned == Some(batch.step) {
            self.users[0] = f32::INFINITY;
        }
        if self.broken == Some(batch.step) {
            return Ok(f32::NAN);
        }
        let loss = sum / batch.user.len() as f32;
        self.losses.push(loss);
        Ok(loss)
    }

    fn top_k(&mut self, users: &[i32], k: usize, out: &mut Vec<i32>) -> Result<(), ModelError> {
        out.clear();
        for &user in users {
            let mut scored: Vec<(f32, i32)> = (0..self.data.items as i32)
                .filter(|&i| !self.data.train.contains(user as usize, i))
                .map(|i| (self.dot(user as usize, i as usize), i))
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            out.extend((0..k).map(|j| scored.get(j).map_or(-1, |s| s.1)));
        }
        Ok(())
    }

    fn tensors(&self) -> Result<Vec<SavedTensor<'_>>, ModelError> {
        Ok(vec![
            NamedTensor::new("users", &[self.data.users, self.dim], Values::F32(self.users.clone())).saved(),
            NamedTensor::new("items", &[self.data.items, self.dim], Values::F32(self.items.clone())).saved(),
        ])
    }

    fn set_tensors(&mut self, tensors: Vec<NamedTensor>) -> Result<(), ModelError> {
        let mut tables = tensors.into_iter().map(NamedTensor::into_values);
        let (Some(Values::F32(users)), Some(Values::F32(items))) = (tables.next(), tables.next()) else {
            return Err("two f32 tables expected".into());
        };
        (self.users, self.items) = (users, items);
        Ok(())
    }
}

/// Users and items in four groups; a user likes the items of the own group.
fn groups() -> Arc<Interactions> {
    let row = |u: i32, held_out: bool| -> Vec<i32> {
        (0..40).filter(|i| i % 4 == u % 4 && ((i / 4 + u / 4) % 5 == 0) == held_out).collect()
    };
    let rows = |held_out| (0..60).map(|u| row(u, held_out)).collect::<Vec<_>>();
    Arc::new(Interactions::from_lists("groups", 60, 40, &rows(false), &rows(true)).unwrap())
}

fn schedule(epochs: u32) -> Schedule {
    Schedule {
        epochs,
        eval_every: 2,
        patience: 0,
        ks: vec![5, 10],
        batch: 32,
        sampling: Sampling::Pairs,
        seed: 9,
    }
}

fn meta(data: &Interactions, config: &str) -> Meta {
    Meta {
        system: "mf".into(),
        config: config.into(),
        data: data.name.clone(),
        sizes: [data.users, data.items],
        fingerprint: data.fingerprint(),
        progress: Progress::default(),
        quick: false,
    }
}

struct Fixture {
    tmp: tempfile::TempDir,
    data: Arc<Interactions>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { tmp: tempfile::tempdir().unwrap(), data: groups() }
    }

    fn dir(&self, name: &str) -> std::path::PathBuf {
        self.tmp.path().join(name)
    }

    fn model(&self) -> Mf {
        Mf::new(self.data.clone(), 8, 0.1, 3)
    }

    fn start(&self, name: &str, s: &Schedule) -> Run {
        let dir = RunDir::create("mf", Some(&self.dir(name))).unwrap();
        Run::new(dir, meta(&self.data, "lr = 0.1\nepochs = 1\n"), self.data.clone(), s.clone()).unwrap()
    }

    fn resume(&self, name: &str, s: &Schedule, config: &str, model: &mut Mf) -> Result<Run, RunError> {
        let dir = RunDir::open("mf", Some(&self.dir(name))).unwrap();
        Run::resume(dir, meta(&self.data, config), self.data.clone(), s.clone(), model)
    }
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

fn without_times(records: &[Record]) -> Vec<Record> {
    let mut records = records.to_vec();
    records.iter_mut().for_each(|r| drop(r.remove("seconds")));
    records
}

#[test]
fn a_run_learns_and_leaves_its_folder() {
    #[derive(Default)]
    struct Seen(u32, Vec<f64>, usize);
    impl Observer for Seen {
        fn stepped(&mut self, _: f32, triples: usize) {
            self.0 += 1;
            self.2 += triples;
        }
        fn evaluated(&mut self, e: &Evaluation, best: &Best) {
            self.1.push(e.report.get("recall@5").unwrap());
            assert!(best.value >= *self.1.last().unwrap());
        }
    }
    let f = Fixture::new();
    let (run, mut seen) = (f.start("a", &schedule(15)), Seen::default());
    let dir = run.dir().clone();
    let outcome = run.train(&mut f.model(), &mut seen, &never()).unwrap();
    assert_eq!(outcome.ending, Ending::Epochs);
    // Evaluated after epochs 2, 4, ..., 14 and the last.
    assert_eq!((outcome.evaluations.len(), seen.1.len()), (8, 8));
    assert_eq!(seen.2, 15 * f.data.train.pairs());
    let best = outcome.progress.best.unwrap();
    assert!(best.value > 0.9 && best.value > 2.0 * seen.1[0], "{best:?}, {:?}", seen.1);
    // The save at the beginning, and each epoch.
    assert_eq!(std::fs::read_to_string(dir.log()).unwrap().lines().count(), 16);
    assert_eq!(std::fs::read_to_string(dir.metrics()).unwrap().lines().count(), 8);
    assert!(dir.curve().exists() && dir.config().exists());
    assert_eq!(Checkpoint::load(&dir.last()).unwrap().meta.progress.epoch, 15);
    let kept = Checkpoint::load(&dir.best()).unwrap();
    assert_eq!(kept.meta.progress.best.as_ref(), Some(&best));
    // The checkpoint of the best evaluation gives that evaluation again.
    let mut again = f.model();
    kept.restore(&dir.best(), &mut again).unwrap();
    let report = evaluate(&mut again, &f.data, &[5, 10], None, |_, _| {}).unwrap();
    assert_eq!(report.get("recall@5"), Some(best.value));
}

#[test]
fn an_interrupted_run_continues_with_the_same_losses() {
    let f = Fixture::new();
    let mut whole = f.model();
    let expected = f.start("whole", &schedule(6)).train(&mut whole, &mut Silent, &never()).unwrap();

    // Within an epoch, at the end of one, and after the first step.
    let steps = f.data.train.pairs().div_ceil(32) as u64;
    for (n, after) in [3 * steps + 4, 4 * steps, 1].into_iter().enumerate() {
        let name = format!("part{n}");
        let stop = Arc::new(never());
        let mut first = Mf { stop_after: Some((after, stop.clone())), ..f.model() };
        let outcome = f.start(&name, &schedule(6)).train(&mut first, &mut Silent, &stop).unwrap();
        assert_eq!((outcome.ending, outcome.progress.step), (Ending::Interrupted, after));
        let mut second = Mf::new(f.data.clone(), 8, 0.1, 999);
        let run = f.resume(&name, &schedule(6), "lr = 0.1\nepochs = 6\n", &mut second).unwrap();
        let outcome = run.train(&mut second, &mut Silent, &never()).unwrap();
        let losses: Vec<f32> = first.losses.iter().chain(&second.losses).copied().collect();
        assert_eq!(losses, whole.losses);
        assert_eq!(without_times(&outcome.evaluations), without_times(&expected.evaluations));
        let state = |name: &str| Checkpoint::load(&f.dir(name).join("last.safetensors")).unwrap();
        assert_eq!(state(&name).tensors, state("whole").tensors);
        assert_eq!(state(&name).meta.progress, state("whole").meta.progress);
    }
}

#[test]
fn what_would_change_the_run_is_refused_on_resume() {
    let f = Fixture::new();
    f.start("a", &schedule(2)).train(&mut f.model(), &mut Silent, &never()).unwrap();
    let e = f.resume("a", &schedule(4), "lr = 0.2\n", &mut f.model()).unwrap_err().to_string();
    assert!(e.contains("made with `lr = 0.1`, now `lr = 0.2`"), "{e}");
    let mut wide = Mf::new(f.data.clone(), 16, 0.1, 3);
    let e = f.resume("a", &schedule(4), "lr = 0.1\n", &mut wide).unwrap_err().to_string();
    assert!(e.contains("tensor `users`: found f32[60, 8], expected f32[60, 16]"), "{e}");
    // More epochs are a continuation; a finished run has nothing left to do.
    let mut model = f.model();
    let run = f.resume("a", &schedule(4), "lr = 0.1\nepochs = 4\n", &mut model).unwrap();
    assert_eq!(run.train(&mut model, &mut Silent, &never()).unwrap().progress.epoch, 4);
    let run = f.resume("a", &schedule(4), "lr = 0.1\nepochs = 4\n", &mut model).unwrap();
    let outcome = run.train(&mut model, &mut Silent, &never()).unwrap();
    assert_eq!((outcome.ending, outcome.evaluations.len()), (Ending::Epochs, 2));
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_run() {
    let f = Fixture::new();
    let steps = f.data.train.pairs().div_ceil(32) as u64;
    let mut model = Mf { broken: Some(2 * steps + 3), ..f.model() };
    let run = f.start("nan", &schedule(6));
    let e = run.train(&mut model, &mut Silent, &never()).unwrap_err().to_string();
    assert!(e.starts_with(&format!("epoch 3, step {}: the loss is NaN", 2 * steps + 4)), "{e}");
    assert_eq!(Checkpoint::load(&f.dir("nan").join("last.safetensors")).unwrap().meta.progress.epoch, 2);
}

/// The update of the last step before a save may be the one that overflows; its loss was still a number.
#[test]
fn a_state_that_is_not_a_number_is_not_saved_over_a_good_one() {
    let f = Fixture::new();
    let steps = f.data.train.pairs().div_ceil(32) as u64;
    let mut model = Mf { poisoned: Some(4 * steps - 1), ..f.model() };
    let e = f.start("nan", &schedule(6)).train(&mut model, &mut Silent, &never()).unwrap_err().to_string();
    assert!(e.starts_with("epoch 4: tensor `users` holds a value that is not finite"), "{e}");
    assert_eq!(Checkpoint::load(&f.dir("nan").join("last.safetensors")).unwrap().meta.progress.epoch, 2);
}

#[test]
fn patience_ends_a_run_that_no_longer_improves() {
    let f = Fixture::new();
    let s = Schedule { epochs: 100, eval_every: 1, patience: 3, ..schedule(100) };
    let mut still = Mf { lr: 0.0, ..f.model() };
    let outcome = f.start("still", &s).train(&mut still, &mut Silent, &never()).unwrap();
    assert_eq!((outcome.ending, outcome.progress.epoch), (Ending::Patience, 4));
    assert_eq!(outcome.progress.best.unwrap().epoch, 1);
}

#[test]
fn a_list_longer_than_the_items_is_an_error() {
    let f = Fixture::new();
    let s = Schedule { ks: vec![41], ..schedule(2) };
    let dir = RunDir::create("mf", Some(&f.dir("k"))).unwrap();
    let e = Run::new(dir, meta(&f.data, ""), f.data.clone(), s).unwrap_err().to_string();
    assert_eq!(e, "top 41 of 40 items was asked for; give ks of at most 40");
}

/// Ranks items by the number of their train pairs.
struct Popular(Arc<Interactions>);

impl Recommender for Popular {
    fn train_step(&mut self, _: Batch<'_>) -> Result<f32, ModelError> {
        Err("popularity has nothing to train".into())
    }

    fn top_k(&mut self, users: &[i32], k: usize, out: &mut Vec<i32>) -> Result<(), ModelError> {
        let mut counts = vec![0usize; self.0.items];
        self.0.train.items().iter().for_each(|&i| counts[i as usize] += 1);
        let mut order: Vec<i32> = (0..self.0.items as i32).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(counts[i as usize]), i));
        out.clear();
        for &user in users {
            let train = &self.0.train;
            out.extend(order.iter().filter(|&&i| !train.contains(user as usize, i)).take(k));
        }
        Ok(())
    }

    fn tensors(&self) -> Result<Vec<SavedTensor<'_>>, ModelError> {
        Ok(vec![])
    }

    fn set_tensors(&mut self, _: Vec<NamedTensor>) -> Result<(), ModelError> {
        Ok(())
    }
}

/// On real data, with the batches of NGCF's sampler: a plain factorisation beats most-popular ranking.
#[test]
fn factorisation_learns_the_real_lastfm() {
    let (Some(train), Some(test)) =
        (test_data("lastfm-social/data1.txt.gz"), test_data("lastfm-social/test1.txt.gz"))
    else {
        return;
    };
    let data = Arc::new(load_lastfm("lastfm", &train, &test, Declared::default()).unwrap());
    let tmp = tempfile::tempdir().unwrap();
    let s = Schedule {
        epochs: 20,
        eval_every: 10,
        ks: vec![20],
        batch: 1024,
        sampling: Sampling::DistinctUsers,
        ..schedule(20)
    };
    let dir = RunDir::create("mf", Some(&tmp.path().join("r"))).unwrap();
    let run = Run::new(dir, meta(&data, "lr = 0.05\n"), data.clone(), s).unwrap();
    let mut model = Mf::new(data.clone(), 32, 0.05, 1);
    let outcome = run.train(&mut model, &mut Silent, &never()).unwrap();
    let best = outcome.progress.best.unwrap().value;
    let popular = evaluate(&mut Popular(data.clone()), &data, &[20], None, |_, _| {}).unwrap();
    let popular = popular.get("recall@20").unwrap();
    assert!(best > 1.2 * popular, "recall@20 {best}, by popularity {popular}");
}
