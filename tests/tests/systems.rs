//! The programs of the systems: well formed as written and after every pass, with kernels that keep their
//! rules, and a text of both that reads back.

use latentc::Program;
use latentc_ir::graph::parse::parse;
use latentc_ir::graph::verify::verify;
use latentc_ir::lower::Target;
use latentc_ir::nest;
use latentc_ir::passes::{self, Numerics, Options, PASSES};
use latentc_kernels::Kernels;
use latentc_models::common::data::Interactions;
use latentc_models::{lightgcn, ngcf};

fn data() -> Interactions {
    let train: Vec<Vec<i32>> = (0..7).map(|u| (0..=u % 4).map(|i| (u * 3 + i) % 9).collect()).collect();
    let test: Vec<Vec<i32>> = (0..7).map(|u| vec![(u * 3 + 5) % 9]).collect();
    Interactions::from_lists("small", 7, 9, &train, &test).unwrap()
}

fn check(program: &Program) {
    let text = program.to_text();
    let read = parse(program.name(), &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(read.to_string(), text);
    let mut graph = program.graph().clone();
    assert_eq!(verify(&graph), Ok(()), "as written\n{text}");
    for pass in PASSES {
        pass.run(&mut graph, Numerics::Fast).unwrap();
        assert_eq!(verify(&graph), Ok(()), "after `{}`\n{graph}", pass.name);
    }
    for lanes in [4, 16] {
        let target = Target { lanes, ..Target::default() };
        let plan =
            passes::lower(program.graph(), &Options { library: &Kernels, ..Options::new(&target) }).unwrap();
        assert!(plan.to_string().starts_with(&format!("program {}\n", program.name())));
        for kernel in &plan.kernels {
            assert_eq!(nest::verify::verify(kernel), Ok(()), "{kernel}");
            assert_eq!(nest::parse::parse(&kernel.name, &kernel.to_string()).as_ref(), Ok(kernel));
        }
    }
}

#[test]
fn lightgcn_keeps_the_rules() {
    let programs = lightgcn::programs(&lightgcn::Config::default(), &data()).unwrap();
    check(&programs.step);
    check(&programs.embed);
}

#[test]
fn ngcf_keeps_the_rules() {
    for node_dropout in [0.0, 0.1] {
        let config = ngcf::Config { node_dropout, message_dropout: 0.1, ..ngcf::Config::default() };
        let programs = ngcf::programs(&config, &data()).unwrap();
        check(&programs.step);
        check(&programs.embed);
    }
}
