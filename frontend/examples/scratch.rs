use latentc::prelude::*;
use latentc_backends::{Options, Session, Store};
use latentc_ir::array::{Array, CsrArray, Value};
use std::sync::Arc;

fn main() {
    let small = std::env::args().nth(1).as_deref() != Some("big");
    let (users, items, b, edges) =
        if small { (40usize, 60usize, 7usize, 300usize) } else { (29858, 40981, 2048, 810128) };
    let n = users + items;
    let mut s = latentc_ir::philox::Stream::new(1, 2, 3);
    let mut pairs: Vec<(i32, i32)> =
        (0..edges).map(|_| (s.below(users as u32) as i32, s.below(items as u32) as i32)).collect();
    pairs.sort();
    pairs.dedup();
    let csr = Arc::new(CsrArray::bipartite(users, items, pairs.iter().copied()).unwrap());
    let p = program("lightgcn_step", |g| {
        let params = g.params();
        let table = params.table("nodes", [n, 64], init::normal(0.1));
        let adj = g.csr("adj", [n, n]).symmetric().nnz(csr.nnz());
        let bd = g.dim("batch", 1..=2048usize);
        let user = g.ids("user", [bd]);
        let pos = g.ids("pos", [bd]);
        let neg = g.ids("neg", [bd]);
        let e0 = table.all(g);
        let mut e = e0;
        let mut sum = e0;
        for _ in 0..3 {
            e = adj.sym_norm_spmm(e);
            sum = sum + e;
        }
        let e = sum / 4.0;
        let loss = bpr(e.rows(user), e.rows(pos), e.rows(neg)) + table.l2(&[user, pos, neg]) / bd * 1e-4;
        g.minimise(loss, Adam::new(1e-3));
        g.output("loss", loss);
    });
    let p = match p {
        Ok(p) => p,
        Err(e) => {
            eprintln!("{e}");
            return;
        }
    };
    eprintln!("built {}", p.graph().len());
    let isa = latentc_backends::cpu::Isa::host().unwrap();
    let target = latentc_ir::lower::Target::from(&isa);
    let options = latentc_ir::passes::Options {
        library: &latentc_kernels::Kernels,
        ..latentc_ir::passes::Options::new(&target)
    };
    let t = std::time::Instant::now();
    let g2 = latentc_ir::passes::optimise(p.graph(), &options).unwrap();
    eprintln!("optimised {}", g2.len());
    eprintln!("{g2}");
    let f = latentc_ir::passes::regions(&g2, &options);
    print!("{}", latentc_ir::passes::regions_text(&g2, &f));
    eprintln!("regions");
    let plan = latentc_ir::passes::lower(p.graph(), &options).unwrap();
    println!("planned in {:?}, arena {} MB", t.elapsed(), plan.arena_bytes >> 20);
    let mut ses = Session::cpu(
        &plan,
        &Options { threads: 1, cache: latentc_backends::Cache::Off, ..Options::default() },
    )
    .unwrap();
    println!("{}", ses.report());
    let mut store = Store::new();
    for (name, a) in p.first_values(7) {
        store.insert(name, a);
    }
    let ids = |s: &mut latentc_ir::philox::Stream, lo: usize, n: usize| -> Vec<i32> {
        (0..b).map(|_| lo as i32 + s.below(n as u32) as i32).collect()
    };
    let (u, i, j) = (ids(&mut s, 0, users), ids(&mut s, users, items), ids(&mut s, users, items));
    ses.set_csr("adj", csr.clone()).unwrap();
    ses.set("user", &[b], &u).unwrap();
    ses.set("pos", &[b], &i).unwrap();
    ses.set("neg", &[b], &j).unwrap();
    if small {
        let inputs = |name: &str| -> Option<Value> {
            Some(match name {
                "adj" => Value::Csr(csr.clone()),
                "user" => Value::Tensor(Array::from_slice(&[b], &u)),
                "pos" => Value::Tensor(Array::from_slice(&[b], &i)),
                "neg" => Value::Tensor(Array::from_slice(&[b], &j)),
                other => Value::Tensor(store.get(other)?.clone()),
            })
        };
        let reference = latentc_ir::interp::run(p.graph(), &inputs).unwrap();
        ses.run(&mut store).unwrap();
        println!("loss {:?} ref {:?}", ses.output::<f32>("loss").unwrap().1, reference.outputs);
        for (name, v) in &reference.updates {
            if let Value::Tensor(a) = v {
                let got = store.get(name).unwrap();
                let worst =
                    a.to_f64().iter().zip(got.to_f64()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                println!("{name}: worst {worst:e}");
            }
        }
    } else {
        ses.profile(true);
        for _ in 0..8 {
            let t = std::time::Instant::now();
            ses.run(&mut store).unwrap();
            println!("{:?} loss {:?}", t.elapsed(), ses.output::<f32>("loss").unwrap().1);
        }
        println!("{}", ses.report());
        for l in ses.report().profile {
            println!("{:8.3} ms  {}", l.total.as_secs_f64() * 1e3 / l.calls as f64, l.name);
        }
    }
}
