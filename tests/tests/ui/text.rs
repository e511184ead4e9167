//! Programs as text that cannot be read, or that break a rule.

use latentc::read_graph;

fn shown(text: &str) -> String {
    match read_graph("model.ir", text) {
        Ok(graph) => panic!("`{}` was read", graph.name),
        // What a program prints: the text is known, no file is needed.
        Err(errors) => errors.render(false),
    }
}

macro_rules! texts {
    ($($name:ident: $text:literal;)+) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), shown($text));
        }
    )+};
}

texts! {
    text_word_out_of_place: "graph g {\n  data x: f32[4]\n  %0 = relu x\n  output y = %0\n}\n";
    text_unknown_op: "graph g {\n  data x: f32[4]\n  %0 = tahn(x)\n  output y = %0\n}\n";
    text_sizes_that_do_not_fit:
        "graph g {\n  data x: f32[8, 3]\n  data w: f32[4, 2]\n  %0 = matmul(x, w) {transpose = [0, 0]}\n  output y = %0\n}\n";
    text_declared_type_differs:
        "graph g {\n  data x: f32[8]\n  %0 = exp(x) : f32[9]\n  output y = %0\n}\n";
    text_update_of_data: "graph g {\n  data x: f32[8]\n  %0 = exp(x)\n  update x = %0\n}\n";
    text_quote_without_end: "graph \"g {\n  data x: f32[8]\n}\n";
    text_declared_twice: "graph g {\n  data x: f32[8]\n  data x: f32[8]\n}\n";
}

#[test]
fn text_that_breaks_a_rule_of_graphs() {
    // It reads, and two sizes have one name with different ranges: told by the rules, at both lines.
    let mut graph =
        read_graph("model.ir", "graph g {\n  data x: f32[8]\n  %0 = exp(x)\n  output y = %0\n}\n").unwrap();
    graph.outputs.push(graph.outputs[0].clone());
    let errors = latentc_ir::graph::verify::verify(&graph).unwrap_err();
    let text = "graph g {\n  data x: f32[8]\n  %0 = exp(x)\n  output y = %0\n}\n";
    insta::assert_snapshot!(
        "text_that_breaks_a_rule_of_graphs",
        latentc::Errors::from(errors).with_text("model.ir", text).render(false)
    );
}
