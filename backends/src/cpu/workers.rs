//! Work of a compiler on several threads: items that differ much in what they take.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What becomes of each item, in their order, on up to so many threads. A thread takes the next item when it is
/// done with one.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], threads: usize, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = vec![];
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, f(item)));
        }
    };
    let mut all = std::thread::scope(|s| {
        let workers: Vec<_> = (0..threads.min(items.len())).map(|_| s.spawn(work)).collect();
        let mut all = vec![];
        for w in workers {
            match w.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}
