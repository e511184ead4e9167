//! Programs at random, mostly wrong: building one never panics, and gives mistakes that can be drawn or a
//! program that is the same on every device.

use latentc::philox::Stream;
use latentc::prelude::*;
#[cfg(feature = "llvm")]
use latentc::{Cache, CsrArray, RunError, Session};
#[cfg(feature = "llvm")]
use latentc_ir::{graph::InputKind, ops::Op, ops::input::Input, types::Type};
#[cfg(feature = "llvm")]
use std::sync::Arc;

/// Small sizes, and some that are no sizes.
fn size(s: &mut Stream) -> i64 {
    [0, 1, 1, 2, 3, 4, 4, 7, -1][s.below(9) as usize]
}

fn axis(s: &mut Stream) -> i64 {
    i64::from(s.below(5)) - 2
}

fn number(s: &mut Stream) -> f64 {
    [0.0, 1.0, -2.0, 0.5, 1e-6, f64::NAN][s.below(6) as usize]
}

fn step<'g>(g: &'g Scope, s: &mut Stream, pool: &mut Vec<Tensor<'g>>, dims: &[Dim<'g>]) {
    let some = |s: &mut Stream| pool[s.below(pool.len() as u32) as usize];
    let (a, b, c) = (some(s), some(s), some(s));
    let n = dims[s.below(dims.len() as u32) as usize];
    let new = match s.below(40) {
        0 => a + b,
        1 => a - number(s),
        2 => number(s) * a,
        3 => a / n,
        4 => a.gt(b).select(a, number(s)),
        5 => a.select(b, c),
        6 => a.sum(axis(s)),
        7 => a.mean_keep([axis(s), axis(s)]),
        8 => a.max_all(),
        9 => a.matmul(b),
        10 => a.matmul(b.t()),
        11 => a.reshape([size(s), size(s)]),
        12 => a.reshape((n, size(s))),
        13 => a.slice(axis(s), size(s)..size(s)),
        14 => a.slice(axis(s), n..),
        15 => a.pad(axis(s), size(s), n, number(s)),
        16 => a.permute([axis(s), axis(s)]),
        17 => a.rows(b),
        18 => a.rows(g.ids(&format!("i{}", s.below(8)), [size(s)])),
        19 => a.unsqueeze(axis(s)),
        20 => a.squeeze(axis(s)),
        21 => a.softmax() + b.log_sum_exp(),
        22 => a.log_softmax(),
        23 => a.dropout(number(s)),
        24 => a.normalize_rows(number(s)),
        25 => a.cast([DType::F32, DType::I32, DType::Bool, DType::F64][s.below(4) as usize]),
        26 => g.concat(&[a, b, c][..s.below(4) as usize], axis(s)),
        27 => g.stack(&[a, b][..s.below(3) as usize], axis(s)),
        28 => a.top_k(s.below(4) as usize).0,
        29 => a.scatter_rows(b, n),
        30 => a.broadcast_to([size(s), size(s)]),
        31 => a.scale_rows(b),
        32 => bpr(a, b, c),
        33 => cross_entropy(a, b),
        34 => -a.leaky_relu(number(s)).exp(),
        35 => !a.eq(b) & c,
        36 => g.fill(DType::F32, (n - 1, n * n), number(s)),
        37 => {
            let csr = g.csr(&format!("c{}", s.below(6)), (n, a.dim(0)));
            let csr = if s.below(2) == 0 { csr.symmetric() } else { csr.transpose() };
            csr.sym_norm_spmm(a) + csr.row_norm_self_spmm(b) * csr.degree().unsqueeze(-1)
        }
        38 => g.params().table(s.below(4), [4, 3], init::normal(number(s))).all(g),
        _ => {
            let state =
                g.state(&format!("s{}", s.below(4)), DType::F32, [size(s).unsigned_abs() as usize], 0.0);
            g.update(state, a);
            state
        }
    };
    pool.push(new);
}

fn random(seed: u64) -> Result<Program> {
    let mut s = Stream::new(seed, 0, 0);
    program("random", |g| {
        let n = g.dim("n", 1..=4);
        let dims = [n, g.dim("m", 0..=3), n + 1, n / 2];
        let w = g.params().table("w", [4, 3], init::normal(1.0));
        let mut pool = vec![w.all(g), g.input("x", DType::F32, (n, 3)), g.ids("ids", [n])];
        for _ in 0..1 + s.below(6) {
            step(g, &mut s, &mut pool, &dims);
        }
        for (i, t) in pool.iter().enumerate().skip(3) {
            g.output(&format!("y{i}"), *t);
        }
        if s.below(2) == 0 {
            g.minimise(pool[pool.len() - 1].sum_all() + w.all(g).mean_all(), Adam::new(0.1));
        }
    })
}

#[test]
fn building_gives_programs_or_mistakes() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..6000 {
        match random(seed) {
            Ok(program) => {
                good += 1;
                // Sizes are what types say; a mistake of the DSL would show here.
                latentc_ir::graph::verify::verify(program.graph()).unwrap();
                interp().compile(&program, &Options::default()).unwrap();
            }
            Err(errors) => {
                bad += 1;
                assert!(!errors.diags().is_empty());
                let text = errors.render(false);
                assert!(text.contains("random.rs"), "seed {seed}: {text}");
                assert!(!text.contains("a pass"), "seed {seed}: {text}");
            }
        }
    }
    assert!(good > 400 && bad > 400, "{good} good, {bad} bad");
}

/// Gives every data input of a program values for `n` = 3 and `m` = 2; `None` where the program refuses them.
#[cfg(feature = "llvm")]
fn feed(session: &mut Session, program: &Program, seed: u64) -> Option<()> {
    let mut s = Stream::new(seed, 1, 0);
    let dims = |name: &str| if name == "n" { Some(3) } else { Some(2) };
    let at = |d: &latentc_ir::dim::Dim| d.eval(&dims).and_then(|v| usize::try_from(v).ok());
    let graph = program.graph();
    for node in graph.inputs() {
        let Op::Input(Input { name, kind: InputKind::Data, ty }) = &graph.node(*node).op else { continue };
        match ty {
            Type::Tensor(t) => {
                let shape: Vec<usize> = t.shape.iter().map(at).collect::<Option<_>>()?;
                let count = shape.iter().product::<usize>();
                if t.dtype == DType::I32 {
                    let ids: Vec<i32> = (0..count).map(|_| s.below(3) as i32).collect();
                    session.set(name, &shape, &ids).ok()?;
                } else {
                    let x: Vec<f32> = (0..count).map(|_| s.normal() as f32).collect();
                    session.set(name, &shape, &x).ok()?;
                }
            }
            Type::Csr(c) => {
                let (rows, cols) = (at(&c.rows)? as i32, at(&c.cols)? as i32);
                let cells = (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c)));
                let kept: Vec<(i32, i32)> = cells.filter(|_| s.below(3) == 0).collect();
                let mirrored = kept.iter().filter(|_| c.symmetric).map(|(r, c)| (*c, *r));
                let edges = kept.iter().copied().chain(mirrored);
                let csr = CsrArray::from_edges(rows as usize, cols as usize, edges).ok()?;
                session.set_csr(name, Arc::new(csr)).ok()?;
            }
            Type::RowSparse(_) => return None,
        }
    }
    Some(())
}

/// Everything that a run gives and keeps; `None` where the run is refused.
#[cfg(feature = "llvm")]
fn results(mut session: Session, program: &Program, seed: u64) -> Option<Vec<(String, Vec<f64>)>> {
    feed(&mut session, program, seed)?;
    let mut store = program.init(seed);
    session.run(&mut store).ok()?;
    let mut found: Vec<(String, Vec<f64>)> = store.iter().map(|(n, a)| (n.to_owned(), a.to_f64())).collect();
    for (name, o) in &program.graph().outputs {
        let values = match program.graph().tensor(*o).dtype {
            DType::F32 => wide(session.output::<f32>(name)),
            DType::F64 => wide(session.output::<f64>(name)),
            DType::I32 => wide(session.output::<i32>(name)),
            _ => wide(session.output::<u8>(name)),
        };
        found.push((name.clone(), values));
    }
    Some(found)
}

#[cfg(feature = "llvm")]
fn wide<T: latentc::Element + Into<f64>>(
    output: std::result::Result<(&[usize], &[T]), RunError>,
) -> Vec<f64> {
    output.unwrap().1.iter().map(|x| (*x).into()).collect()
}

/// Where the interpreter computes a program, native code computes the same.
#[cfg(feature = "llvm")]
#[test]
fn devices_agree() {
    let options = Options { threads: 1, cache: Cache::Off, ..Options::default() };
    let mut compared = 0;
    for seed in 0..1500 {
        let Ok(program) = random(seed) else { continue };
        let Some(expected) = results(interp().compile(&program, &options).unwrap(), &program, seed) else {
            continue;
        };
        let native = cpu().unwrap().compile(&program, &options);
        let native = native.unwrap_or_else(|e| panic!("seed {seed}: {e:?}\n{}", program.to_text()));
        let found = results(native, &program, seed).unwrap();
        compared += 1;
        for ((name, x), (_, y)) in expected.iter().zip(&found) {
            let close = |(x, y): (&f64, &f64)| {
                x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-4 * x.abs().max(1.0)
            };
            let all = x.len() == y.len() && x.iter().zip(y).all(close);
            assert!(all, "seed {seed}, {name}: {x:?}\n{y:?}\n{}", program.to_text());
        }
    }
    assert!(compared > 80, "{compared} programs");
}
