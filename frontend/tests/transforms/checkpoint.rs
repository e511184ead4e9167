//! What is computed again: the same steps, in less memory.

use super::some;
use crate::common::{Machine, close, devices};
use latentc::prelude::*;

/// A deep network with dropout whose layers are regions, or not.
fn deep(layers: usize, sizes: [usize; 2], regions: bool) -> Program {
    program("deep", |g| {
        let mut h = g.input("x", DType::F32, sizes);
        for layer in 0..layers {
            let w = g.params().tensor(format!("w{layer}"), [sizes[1]; 2], init::xavier_uniform());
            let block = || {
                let up = h.matmul(w.get(g)).layer_norm(1, 1e-5).gelu().dropout(0.1);
                h + up.tanh() * 0.5
            };
            h = if regions { g.checkpoint(block) } else { block() };
        }
        let loss = h.square().mean_all();
        g.minimise(loss, Sgd::new(0.5));
        g.output("loss", loss);
    })
    .unwrap()
}

#[test]
fn regions_change_no_step() {
    const SIZES: [usize; 2] = [16, 8];
    let [plain, regions] = [false, true].map(|regions| deep(4, SIZES, regions));
    for device in devices() {
        let mut runs = vec![];
        for program in [&plain, &regions] {
            let mut m = Machine::new(program, 5, device);
            m.set("x", some(&SIZES, 1));
            let losses: Vec<f64> = (0..3).map(|_| m.run()["loss"].1[0]).collect();
            runs.push((losses, m.get("w0"), m.get("w3")));
        }
        let (a, b) = (&runs[0], &runs[1]);
        assert!(a.0[2] < a.0[0], "{:?}", a.0);
        close(&a.0, &b.0, 1e-6);
        close(&a.1, &b.1, 1e-6);
        close(&a.2, &b.2, 1e-6);
    }
}

#[cfg(feature = "llvm")]
mod memory {
    use super::*;
    use latentc::{Cache, Errors, Store};
    use latentc_ir::explain::explain;
    use latentc_ir::lower::Target;
    use latentc_ir::passes;
    use latentc_ir::plan;

    const LAYERS: usize = 12;
    const SIZES: [usize; 2] = [256, 64];
    const VALUE: usize = SIZES[0] * SIZES[1] * 4;

    fn plan(program: &Program, memory: Option<usize>) -> Result<plan::Program, latentc::Diag> {
        let target = Target::default();
        passes::lower(program.graph(), &passes::Options { memory, ..passes::Options::new(&target) })
    }

    /// Between the passes a region keeps its entries alone: one value a layer instead of several.
    #[test]
    fn regions_take_less_memory() {
        let [plain, regions] =
            [false, true].map(|r| plan(&deep(LAYERS, SIZES, r), None).unwrap().arena_bytes.div_ceil(VALUE));
        assert!(regions < LAYERS + 8 && plain >= 2 * regions, "{plain} and {regions} values");
    }

    #[test]
    fn what_is_computed_again_is_told() {
        let target = Target::default();
        let program = deep(LAYERS, SIZES, true);
        let told = explain(program.graph(), &passes::Options::new(&target)).unwrap().explanation;
        let again: Vec<_> = told.recomputed.iter().filter(|a| a.why.contains("second time")).collect();
        let products = again.iter().filter(|a| told.nodes[a.node].op == "matmul").count();
        assert!(products >= LAYERS - 1, "{products} products are computed again");
        assert!(again.iter().all(|a| a.bytes > 0));
        let plain =
            explain(deep(LAYERS, SIZES, false).graph(), &passes::Options::new(&target)).unwrap().explanation;
        assert!(plain.recomputed.iter().all(|a| !a.why.contains("second time")));
    }

    /// A program that nobody marked, in as many bytes as it is given; the steps are the same.
    #[test]
    fn a_program_fits_its_bytes() {
        let program = deep(LAYERS, SIZES, false);
        let bytes = plan(&program, None).unwrap().arena_bytes * 3 / 5;
        let arena = plan(&program, Some(bytes)).unwrap_or_else(|d| panic!("{d}")).arena_bytes;
        assert!(arena <= bytes, "{arena} of {bytes}");
        let step = |memory: Option<usize>| -> Result<(f64, Store), Errors> {
            let options = Options { threads: 1, cache: Cache::Off, memory, ..Options::default() };
            let mut session = cpu()?.compile(&program, &options)?;
            let mut store = program.init(5);
            let x = some(&SIZES, 1);
            session.set::<f32>("x", x.shape(), x.as_slice()).unwrap();
            session.run(&mut store).unwrap();
            session.run(&mut store).unwrap();
            Ok((f64::from(session.output::<f32>("loss").unwrap().1[0]), store))
        };
        let (plain, within) = (step(None).unwrap(), step(Some(bytes)).unwrap());
        close(&[plain.0], &[within.0], 1e-6);
        for name in ["w0", "w5", "w11"] {
            close(&plain.1.get(name).unwrap().to_f64(), &within.1.get(name).unwrap().to_f64(), 1e-6);
        }
        let refused = plan(&deep(2, SIZES, false), Some(VALUE)).expect_err("too little");
        let message = refused.message;
        assert!(message.starts_with("`deep` needs ") && message.ends_with("are allowed"), "{message}");
    }
}
