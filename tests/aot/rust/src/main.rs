//! Learns ratings that have a pattern, and tells some.

use sizes::{ITEMS, USERS, WIDTH};

mod sizes {
    include!("sizes.rs");
}

include!(concat!(env!("OUT_DIR"), "/model.rs"));

use model::{
    Error, Rate, RateDims, RateIn, RateOut, RateParams, Step, StepDims, StepIn, StepOut, StepParams,
    StepState,
};

/// What a user thinks of an item: two kinds of each like one another.
fn truth(user: usize, item: usize) -> f32 {
    let [u, i] = [user, item].map(|x| (x % 4) as f32 / 3.0);
    u * i + (1.0 - u) * (1.0 - i)
}

/// Runs the parts of a loop on a thread each. A real program keeps a pool, such as rayon's.
fn spread(parts: usize, run: &(dyn Fn(usize) + Sync)) {
    std::thread::scope(|s| {
        for part in 1..parts {
            s.spawn(move || run(part));
        }
        run(0);
    });
}

fn main() -> Result<(), Error> {
    let mut users = vec![0.0; USERS * WIDTH];
    let mut items = vec![0.0; ITEMS * WIDTH];
    let mut kept = [
        vec![0.0; USERS * WIDTH],
        vec![0.0; USERS * WIDTH],
        vec![0.0; ITEMS * WIDTH],
        vec![0.0; ITEMS * WIDTH],
    ];
    let mut count = [0i64];
    let mut step = Step::new()?;
    step.set_threads(2, spread);
    let [m_users, v_users, m_items, v_items] = &mut kept;
    step.weights(
        StepDims { batch: 1 },
        StepParams { users: &mut users, items: &mut items },
        StepState {
            adam_step: &mut count,
            adam_m_users: m_users,
            adam_v_users: v_users,
            adam_m_items: m_items,
            adam_v_items: v_items,
        },
    )?;

    // Every pair once an epoch, in batches whose last one is shorter; every fifth pair is held out.
    let pairs: Vec<(usize, usize)> =
        (0..USERS * ITEMS).map(|i| i * 7 % (USERS * ITEMS)).map(|i| (i / ITEMS, i % ITEMS)).collect();
    let (learned, held) = pairs.split_at(pairs.len() * 4 / 5);
    for epoch in 0..40 {
        let mut total = 0.0;
        for chunk in learned.chunks(300) {
            let column =
                |of: fn(&(usize, usize)) -> usize| chunk.iter().map(|p| of(p) as i32).collect::<Vec<_>>();
            let ratings: Vec<f32> = chunk.iter().map(|(u, i)| truth(*u, *i)).collect();
            let mut loss = [0.0];
            let [m_users, v_users, m_items, v_items] = &mut kept;
            step.run(
                StepDims { batch: chunk.len() as i64 },
                StepIn { user: &column(|p| p.0), item: &column(|p| p.1), rating: &ratings },
                StepParams { users: &mut users, items: &mut items },
                StepState {
                    adam_step: &mut count,
                    adam_m_users: m_users,
                    adam_v_users: v_users,
                    adam_m_items: m_items,
                    adam_v_items: v_items,
                },
                StepOut { loss: &mut loss },
            )?;
            total += loss[0] * chunk.len() as f32;
        }
        println!("epoch {epoch} loss {:.6}", total / learned.len() as f32);
    }

    let mut rate = Rate::new()?;
    let [user, item] = [|p: &(usize, usize)| p.0 as i32, |p: &(usize, usize)| p.1 as i32]
        .map(|of| held.iter().map(of).collect::<Vec<i32>>());
    let mut ratings = vec![0.0; held.len()];
    let dims = RateDims { batch: held.len() as i64 };
    rate.run(
        dims,
        RateIn { user: &user, item: &item },
        RateParams { users: &users, items: &items },
        RateOut { ratings: &mut ratings },
    )?;
    let wrong = held.iter().zip(&ratings).map(|((u, i), r)| (truth(*u, *i) - r).powi(2)).sum::<f32>();
    println!("held out {:.6}", wrong / held.len() as f32);

    // Mistakes are values.
    let mut refused = |dims: RateDims, user: &[i32], ratings: &mut [f32]| {
        let inputs = RateIn { user, item: &item };
        let params = RateParams { users: &users, items: &items };
        match rate.run(dims, inputs, params, RateOut { ratings }) {
            Ok(()) => println!("not refused"),
            Err(e) => println!("refused: {e}"),
        }
    };
    refused(dims, &user[1..], &mut ratings);
    refused(RateDims { batch: 5000 }, &user, &mut ratings);
    let mut beyond = user.clone();
    beyond[3] = USERS as i32;
    refused(dims, &beyond, &mut ratings);
    Ok(())
}
