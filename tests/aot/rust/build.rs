//! Compiles the model: a factorisation of a matrix of ratings, its training step and its use.

use latentc::aot;
use latentc::prelude::*;

/// Rows of the tables and their width; the program includes the same file.
mod sizes {
    include!("src/sizes.rs");
}
use sizes::{ITEMS, USERS, WIDTH};

#[derive(Params)]
struct Model {
    users: Table,
    items: Table,
}

impl Model {
    fn new(p: &Init) -> Model {
        Model {
            users: p.table("users", [USERS, WIDTH], init::normal(0.1)),
            items: p.table("items", [ITEMS, WIDTH], init::normal(0.1)),
        }
    }

    /// The ratings of pairs.
    fn rate<'g>(&self, g: &'g Scope, user: Tensor<'g>, item: Tensor<'g>) -> Tensor<'g> {
        (self.users.all(g).rows(user) * self.items.all(g).rows(item)).sum(-1)
    }
}

fn step() -> Result<Program> {
    program("step", |g| {
        let batch = g.dim("batch", 1..=1024);
        let [user, item] = ["user", "item"].map(|name| g.ids(name, [batch]));
        let rating = g.input("rating", DType::F32, [batch]);
        let loss = mse(Model::new(g.params()).rate(g, user, item), rating);
        g.minimise(loss, Adam::new(0.05));
        g.output("loss", loss);
    })
}

fn rate() -> Result<Program> {
    program("rate", |g| {
        let batch = g.dim("batch", 1..=1024);
        let [user, item] = ["user", "item"].map(|name| g.ids(name, [batch]));
        let ratings = Model::new(g.params()).rate(g, user, item);
        g.output("ratings", ratings);
    })
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/sizes.rs");
    let step = step()?;
    // The first values of parameters and of the optimizer's state come with the object.
    let first = step.init(1);
    aot::library("model").add("step", step).embed(&first).add("rate", rate()?).emit()?;
    Ok(())
}
