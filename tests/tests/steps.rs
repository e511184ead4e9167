//! How the compiler divides the training steps of the systems into kernels. The graphs of the steps are kept as
//! text below `filetests/steps`, where the filetests show what becomes of them.

use latentc::Program;
use latentc_ir::fuse::{Kind, Region};
use latentc_ir::graph::Graph;
use latentc_ir::lower::Target;
use latentc_ir::passes::{self, Options};
use latentc_models::common::data::Interactions;
use latentc_models::common::run::Schedule;
use latentc_models::{lightgcn, ngcf};
use latentc_tests::filetests::BLESS;
use std::path::Path;

const USERS: usize = 40;
const ITEMS: usize = 60;
const WIDTH: usize = 16;

/// Three items a user to learn from, one held out.
fn data() -> Interactions {
    let lists = |which: std::ops::Range<usize>| -> Vec<Vec<i32>> {
        let item = |user: usize, i: usize| ((user * 7 + i * 11) % ITEMS) as i32;
        (0..USERS).map(|user| which.clone().map(|i| item(user, i)).collect()).collect()
    };
    Interactions::from_lists("small", USERS, ITEMS, &lists(0..3), &lists(3..4)).unwrap()
}

fn lightgcn_step(layers: usize) -> Program {
    let standard = lightgcn::Config::default();
    let schedule = Schedule { batch: 7, ..standard.schedule.clone() };
    let config = lightgcn::Config { dim: WIDTH, layers, schedule, ..standard };
    lightgcn::programs(&config, &data()).unwrap().step
}

fn ngcf_step(layers: usize) -> Program {
    let standard = ngcf::Config::default();
    let schedule = Schedule { batch: 7, ..standard.schedule.clone() };
    let config = ngcf::Config { dim: WIDTH, layers: vec![WIDTH; layers], schedule, ..standard };
    ngcf::programs(&config, &data()).unwrap().step
}

/// The optimised graph of a step, and its regions.
fn regions(step: &Program) -> (Graph, Vec<Region>) {
    let target = Target::default();
    let options = Options::new(&target);
    let graph = passes::optimise(step.graph(), &options).unwrap();
    let regions = passes::regions(&graph, &options).regions;
    (graph, regions)
}

/// How many nodes of each region have this name; regions without are left out.
fn counts(graph: &Graph, regions: &[Region], op: &str) -> Vec<usize> {
    let count = |r: &Region| r.nodes.iter().filter(|n| graph.node(**n).op.def().name() == op).count();
    regions.iter().map(count).filter(|c| *c > 0).collect()
}

/// The graph in a filetest is that of the step.
fn same_as_shown(file: &str, step: &Program) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests").join(file);
    let graph = step.graph().to_string();
    let shown = std::fs::read_to_string(&path).unwrap_or_default();
    let sections = shown.find("\n===").map_or(shown.len(), |at| at + 1);
    let (source, sections) = shown.split_at(sections);
    let start = source.find("graph ").unwrap_or(source.len());
    if source[start..] == graph {
        return;
    }
    let bless = std::env::var_os(BLESS).is_some_and(|v| v == "1");
    assert!(bless, "the step is no longer the graph in {file}; {BLESS}=1 writes it there:\n{graph}");
    std::fs::write(&path, format!("{}{graph}{sections}", &source[..start])).unwrap();
}

#[test]
fn lightgcn_is_the_graph_of_its_filetest() {
    same_as_shown("steps/lightgcn.ir", &lightgcn_step(3));
}

#[test]
fn ngcf_is_the_graph_of_its_filetest() {
    same_as_shown("steps/ngcf.ir", &ngcf_step(2));
}

/// Each layer is one kernel forwards and one backwards. Of the last one forwards only gathered rows are
/// computed, in the kernel of the loss.
#[test]
fn lightgcn_propagates_once_a_layer_and_direction() {
    for layers in 1..=4 {
        let (graph, regions) = regions(&lightgcn_step(layers));
        let products = counts(&graph, &regions, "spmm");
        assert_eq!(products, vec![1; layers - 1 + layers], "{layers} layers");
        assert_eq!(counts(&graph, &regions, "spmm_rows"), [3], "{layers} layers");
    }
}

/// Each layer is one kernel forwards, with both of its products, and one backwards, with the gradients of both
/// matrices and of the rows. Of the last one only gathered rows are computed, and sent back.
#[test]
fn ngcf_propagates_once_a_layer_and_direction() {
    for layers in 1..=3 {
        let (graph, regions) = regions(&ngcf_step(layers));
        assert_eq!(counts(&graph, &regions, "spmm"), vec![1; layers - 1 + layers], "{layers} layers");
        assert_eq!(counts(&graph, &regions, "spmm_rows"), [3], "{layers} layers");
        let nodes = Kind::Rows([(USERS + ITEMS).into()].into_iter().collect());
        let whole: Vec<Region> = regions.into_iter().filter(|r| r.kind == nodes).collect();
        let products = [vec![2; layers - 1], vec![4; layers - 1]].concat();
        assert_eq!(counts(&graph, &whole, "matmul"), products, "{layers} layers");
    }
}
