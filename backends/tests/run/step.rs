//! A program with one of everything: a sparse product divided by row pointers, an update in place, a gather,
//! a reduction in two phases, a counter; and the same in plain loops.

use latentc_backends::Store;
use latentc_ir::array::{Array, CsrArray};
use latentc_ir::diag::Span;
use latentc_ir::dim::{Dim, Symbol};
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::InputKind;
use latentc_ir::nest::AxisKind::{Parallel, Serial, Vector};
use latentc_ir::nest::build::{KernelBuilder, f32c, load, op2};
use latentc_ir::nest::{Expr, Kernel, Space, Split};
use latentc_ir::plan::{BufferDecl, CsrPart, InputDecl, Launch, OutputDecl, Place, Program};
use latentc_ir::scalar::{ReduceOp, ScalarOp};
use latentc_ir::types::{CsrType, Type};
use std::sync::Arc;

pub const WIDTH: usize = 64;
const W: i64 = WIDTH as i64;
/// Ids that one iteration of the first phase adds up.
const CHUNK: i64 = 32;
pub const NODES: i64 = 4000;
pub const BATCH: i64 = 3000;
pub const ENTRIES: i64 = 100_000;

pub fn symbol(name: &str, lo: i64, hi: i64) -> Arc<Symbol> {
    Arc::new(Symbol { name: name.to_owned(), lo, hi })
}

/// `y[r] = sum of x[c] over the entries of row r`.
pub fn spmm() -> Kernel {
    let mut k = KernelBuilder::new("spmm");
    let (nodes, nnz) = (k.dim("nodes"), k.dim("nnz"));
    let ptr = k.buffer("ptr", DType::I32, nodes.clone() + 1, Space::In);
    let col = k.buffer("col", DType::I32, nnz, Space::In);
    let x = k.buffer("x", DType::F32, nodes.clone() * W, Space::In);
    let y = k.buffer("y", DType::F32, nodes.clone() * W, Space::Out);
    let acc = k.buffer("acc", DType::F32, W, Space::Register);
    let split = Split::ByPrefix { prefix: ptr, rows_per_iteration: 1 };
    k.for_("r", nodes, Parallel(split), |k, r| {
        k.fill(acc, Literal::zero(DType::F32));
        let first = k.load_index(ptr, r.clone());
        let end = k.load_index(ptr, r.clone() + 1);
        k.for_step("e", first, end, 1, Serial, |k, e| {
            let c = k.load_index(col, e);
            k.for_("i", W, Vector(16), |k, i| {
                k.accumulate(ReduceOp::Sum, acc, i.clone(), load(x, c * W + i));
            });
        });
        k.for_("i", W, Vector(16), |k, i| k.store(y, r * W + i.clone(), load(acc, i)));
    });
    k.finish()
}

/// `x = x * keep + y`, in place, 4 rows an iteration.
fn mix() -> Kernel {
    let mut k = KernelBuilder::new("mix");
    let nodes = k.dim("nodes");
    let y = k.buffer("y", DType::F32, nodes.clone() * W, Space::In);
    let keep = k.buffer("keep", DType::F32, 1, Space::In);
    let x = k.buffer("x", DType::F32, nodes.clone() * W, Space::InOut);
    k.for_step("r", 0, nodes.clone(), 4, Parallel(Split::Even), |k, r| {
        let f = k.let_(DType::F32, load(keep, 0));
        k.for_step("s", r.clone(), (r + 4).min(nodes), 1, Serial, |k, s| {
            k.for_("i", W, Vector(16), |k, i| {
                let at = s * W + i;
                let kept = op2(ScalarOp::Mul, load(x, at.clone()), Expr::Val(f));
                k.store(x, at.clone(), op2(ScalarOp::Add, kept, load(y, at)));
            });
        });
    });
    k.finish()
}

/// Gathers rows and adds up chunks of them.
fn gather() -> Kernel {
    let mut k = KernelBuilder::new("gather");
    let (nodes, batch) = (k.dim("nodes"), k.dim("batch"));
    let chunks = (batch.clone() + (CHUNK - 1)).floor_div(CHUNK);
    let ids = k.buffer("ids", DType::I32, batch.clone(), Space::In);
    let x = k.buffer("x", DType::F32, nodes * W, Space::In);
    let rows = k.buffer("rows", DType::F32, batch.clone() * W, Space::Out);
    let partial = k.buffer("partial", DType::F32, chunks.clone(), Space::Out);
    let acc = k.buffer("acc", DType::F32, W, Space::Register);
    k.for_("c", chunks, Parallel(Split::Even), |k, c| {
        k.fill(acc, Literal::zero(DType::F32));
        let end = (c.clone() * CHUNK + CHUNK).min(batch);
        k.for_step("b", c.clone() * CHUNK, end, 1, Serial, |k, b| {
            let id = k.load_index(ids, b.clone());
            k.for_("i", W, Vector(16), |k, i| {
                let v = k.let_(DType::F32, load(x, id * W + i.clone()));
                k.store(rows, b * W + i.clone(), Expr::Val(v));
                k.accumulate(ReduceOp::Sum, acc, i, Expr::Val(v));
            });
        });
        k.store(partial, c, Expr::Lanes { op: ReduceOp::Sum, buf: acc });
    });
    k.finish()
}

/// Adds up what the chunks left; counts.
fn finish() -> Kernel {
    let mut k = KernelBuilder::new("finish");
    let batch = k.dim("batch");
    let chunks = (batch + (CHUNK - 1)).floor_div(CHUNK);
    let partial = k.buffer("partial", DType::F32, chunks.clone(), Space::In);
    let sum = k.buffer("sum", DType::F32, 1, Space::Out);
    let count = k.buffer("count", DType::I32, 1, Space::InOut);
    k.store(sum, 0, f32c(0.0));
    k.for_("c", chunks, Serial, |k, c| k.accumulate(ReduceOp::Sum, sum, 0, load(partial, c)));
    let one = Expr::Lit(Literal::int(DType::I32, 1));
    k.accumulate(ReduceOp::Sum, count, 0, one);
    k.finish()
}

/// The program: data `adj`, `ids`, `keep`; parameter `x`; state `count`; outputs `rows`, `sum`.
pub fn program() -> Program {
    let nodes = Dim::symbol("nodes", 1, NODES);
    let batch = Dim::symbol("batch", 0, BATCH);
    let nnz = Dim::symbol("nnz", 0, ENTRIES);
    let w = Dim::from(WIDTH);
    let one = Dim::from(1);
    let chunks = batch.ceil_div(CHUNK);
    let f32s = |shape: &[&Dim]| Type::tensor(DType::F32, shape.iter().map(|d| (*d).clone()));
    let input =
        |name: &str, kind, ty| InputDecl { name: name.to_owned(), kind, ty, bound: None, span: Span::none() };
    let csr = CsrType { rows: nodes.clone(), cols: nodes.clone(), nnz: nnz.clone(), symmetric: true };
    let inputs = vec![
        input("adj", InputKind::Data, Type::Csr(csr)),
        InputDecl {
            bound: Some(nodes.clone()),
            ..input("ids", InputKind::Data, Type::tensor(DType::I32, [batch.clone()]))
        },
        input("keep", InputKind::Data, Type::scalar(DType::F32)),
        input("x", InputKind::Param, f32s(&[&nodes, &w])),
        input("count", InputKind::State, Type::scalar(DType::I32)),
    ];
    let output = |name: &str, shape: &[&Dim]| OutputDecl {
        name: name.to_owned(),
        dtype: DType::F32,
        shape: shape.iter().map(|d| (*d).clone()).collect(),
    };
    let outputs = vec![output("rows", &[&batch, &w]), output("sum", &[])];
    let buffer = |name: &str, dtype, shape: &[&Dim], place| BufferDecl {
        name: name.to_owned(),
        dtype,
        shape: shape.iter().map(|d| (*d).clone()).collect(),
        place,
    };
    let arena_y = (NODES * W * 4) as usize;
    let arena = arena_y + ((BATCH / CHUNK + 1) as usize * 4).next_multiple_of(64);
    let part = |part| Place::Csr { input: 0, part };
    let buffers = vec![
        buffer("ptr", DType::I32, &[&(&nodes + &one)], part(CsrPart::Indptr)),
        buffer("col", DType::I32, &[&nnz], part(CsrPart::Indices)),
        buffer("ids", DType::I32, &[&batch], Place::Input(1)),
        buffer("keep", DType::F32, &[], Place::Input(2)),
        buffer("x", DType::F32, &[&nodes, &w], Place::Input(3)),
        buffer("count", DType::I32, &[], Place::Input(4)),
        buffer("y", DType::F32, &[&nodes, &w], Place::Arena { offset: 0 }),
        buffer("partial", DType::F32, &[&chunks], Place::Arena { offset: arena_y }),
        buffer("rows", DType::F32, &[&batch, &w], Place::Output(0)),
        buffer("sum", DType::F32, &[], Place::Output(1)),
    ];
    let launch = |kernel, buffers: &[usize], dims: &[usize]| Launch {
        kernel,
        buffers: buffers.to_vec(),
        dims: dims.to_vec(),
    };
    Program {
        name: "step".to_owned(),
        dims: vec![symbol("nodes", 1, NODES), symbol("batch", 0, BATCH), symbol("nnz", 0, ENTRIES)],
        inputs,
        outputs,
        buffers,
        kernels: vec![spmm(), mix(), gather(), finish()],
        launches: vec![
            launch(0, &[0, 1, 4, 6], &[0, 2]),
            launch(1, &[6, 3, 4], &[0]),
            launch(2, &[2, 4, 8, 7], &[0, 1]),
            launch(3, &[7, 9, 5], &[1]),
        ],
        arena_bytes: arena,
        ..Program::default()
    }
}

/// What a run changes and gives, in plain loops with the same order of sums.
pub fn reference(adj: &CsrArray, ids: &[i32], keep: f32, store: &mut Store) -> (Vec<f32>, f32) {
    let x = store.get_mut("x").unwrap().as_mut_slice::<f32>();
    let mut y = vec![0f32; x.len()];
    for r in 0..adj.rows {
        for &c in adj.row(r) {
            for i in 0..WIDTH {
                y[r * WIDTH + i] += x[c as usize * WIDTH + i];
            }
        }
    }
    for (x, y) in x.iter_mut().zip(&y) {
        *x = *x * keep + y;
    }
    let (mut rows, mut sum) = (vec![], 0f32);
    for chunk in ids.chunks(CHUNK as usize) {
        let mut acc = [0f32; WIDTH];
        for &id in chunk {
            let row = &x[id as usize * WIDTH..][..WIDTH];
            rows.extend_from_slice(row);
            acc.iter_mut().zip(row).for_each(|(a, v)| *a += v);
        }
        let mut n = WIDTH / 2;
        while n > 0 {
            for i in 0..n {
                acc[i] += acc[i + n];
            }
            n /= 2;
        }
        sum += acc[0];
    }
    store.get_mut("count").unwrap().as_mut_slice::<i32>()[0] += 1;
    (rows, sum)
}

/// Numbers that look random and are the same in every run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    pub fn ids(&mut self, n: usize, below: usize) -> Vec<i32> {
        (0..n).map(|_| self.below(below) as i32).collect()
    }

    /// A bipartite graph with a hub: the first user has every item.
    pub fn graph(&mut self, users: usize, items: usize, pairs: usize) -> Arc<CsrArray> {
        let hub = (0..items as i32).map(|i| (0, i));
        let others: Vec<(i32, i32)> =
            (0..pairs).map(|_| (self.below(users) as i32, self.below(items) as i32)).collect();
        Arc::new(CsrArray::bipartite(users, items, hub.chain(others)).unwrap())
    }

    pub fn store(&mut self, nodes: usize) -> Store {
        let x: Vec<f32> = (0..nodes * WIDTH).map(|_| self.below(2000) as f32 / 1000.0 - 1.0).collect();
        Store::from_iter([("x", Array::from_slice(&[nodes, WIDTH], &x)), ("count", Array::scalar(0i32))])
    }
}
