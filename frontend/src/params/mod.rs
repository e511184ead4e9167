//! Parameters: tables of rows and plain tensors, declared by name with what they begin as.

pub mod init;

use crate::dims::{At, DimLike};
use crate::scope::Scope;
use crate::tensor::Tensor;
pub use init::Initializer;
use latentc_ir::compose::bag::Bag;
use latentc_ir::dtype::DType;
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// A declared parameter.
#[derive(Clone, Debug)]
pub struct ParamSpec {
    /// The name, unique in a program; levels are separated by dots.
    pub name: String,
    /// The sizes.
    pub shape: Vec<usize>,
    /// What it begins as.
    pub init: Initializer,
    pub(crate) at: At,
}

impl ParamSpec {
    /// The stream of its first random numbers: the FNV-1a hash, of 32 bits, of the bytes of its name.
    pub fn stream(&self) -> u32 {
        self.name.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
    }

    /// What is wrong with the declaration.
    pub(crate) fn fault(&self) -> Option<String> {
        let text = |what: String| format!("the parameter `{}` of sizes {:?}: {what}", self.name, self.shape);
        let bytes = self.shape.iter().try_fold(DType::F32.size(), |all, n| all.checked_mul(*n));
        if bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
            return Some(text("no memory holds so many numbers".to_owned()));
        }
        self.init.fault(&self.shape).map(text)
    }
}

/// Where a model declares its parameters.
///
/// [`Scope::params`] gives the one of a program. One that is made with [`Init::new`] stands by itself: a
/// model declared with it may be used in several programs, which then have the same parameters.
#[derive(Clone, Debug, Default)]
pub struct Init {
    prefix: String,
    specs: Rc<RefCell<Vec<Arc<ParamSpec>>>>,
}

impl Init {
    /// An empty one.
    pub fn new() -> Init {
        Init::default()
    }

    /// The same place with a name in front of the names declared through it: `scope("layer1")` and then
    /// `tensor("weight", ..)` is `layer1.weight`.
    pub fn scope(&self, name: impl fmt::Display) -> Init {
        Init { prefix: format!("{}{name}.", self.prefix), specs: self.specs.clone() }
    }

    /// Declares a table: a parameter, f32, whose rows are looked up by id.
    #[track_caller]
    pub fn table(&self, name: impl fmt::Display, shape: [usize; 2], init: Initializer) -> Table {
        Table(self.declare(name, &shape, init, Location::caller()))
    }

    /// Declares a plain parameter, f32.
    #[track_caller]
    pub fn tensor(&self, name: impl fmt::Display, shape: impl AsRef<[usize]>, init: Initializer) -> Param {
        Param(self.declare(name, shape.as_ref(), init, Location::caller()))
    }

    fn declare(&self, name: impl fmt::Display, shape: &[usize], init: Initializer, at: At) -> Arc<ParamSpec> {
        let name = format!("{}{name}", self.prefix);
        let spec = Arc::new(ParamSpec { name, shape: shape.to_vec(), init, at });
        self.specs.borrow_mut().push(spec.clone());
        spec
    }

    /// What has been declared, in order.
    pub(crate) fn specs(&self) -> Vec<Arc<ParamSpec>> {
        self.specs.borrow().clone()
    }
}

/// A plain parameter. Mistakes in its declaration are reported by the program that uses it.
#[derive(Clone, Debug)]
pub struct Param(Arc<ParamSpec>);

impl Param {
    /// Its value in a program.
    #[track_caller]
    pub fn get<'g>(&self, g: &'g Scope) -> Tensor<'g> {
        Tensor { scope: g, value: g.param_node(&self.0), at: Location::caller() }
    }

    /// Its declaration.
    pub fn spec(&self) -> &ParamSpec {
        &self.0
    }
}

/// A table of rows, such as embeddings. Where only [`Table::rows`] uses it, its gradient lists rows and is
/// never as large as the table.
#[derive(Clone, Debug)]
pub struct Table(Arc<ParamSpec>);

impl Table {
    /// The whole table, `[rows, width]`.
    #[track_caller]
    pub fn all<'g>(&self, g: &'g Scope) -> Tensor<'g> {
        Tensor { scope: g, value: g.param_node(&self.0), at: Location::caller() }
    }

    /// The rows at `ids`, i32 of any shape: `[ids.., width]`.
    #[track_caller]
    pub fn rows<'g>(&self, g: &'g Scope, ids: Tensor<'g>) -> Tensor<'g> {
        self.all(g).rows(ids)
    }

    /// Rows of the table bag by bag, `[bags, width]`: bag `b` is the sum, the mean or the greatest of the rows
    /// `ids[e]` for `e` in `offsets[b]..offsets[b + 1]`, of `ids` i32 `[n]` and `offsets` i32 `[bags + 1]`, which must not
    /// descend. Ids behind the last offset are in no bag; an empty bag gives 0. The rows are never stored one by one,
    /// and the gradient lists those that are used.
    #[track_caller]
    pub fn bag<'g>(&self, g: &'g Scope, ids: Tensor<'g>, offsets: Tensor<'g>, mode: Bag) -> Tensor<'g> {
        g.composed(&[self.all(g), ids, offsets], Location::caller(), |g, o| {
            g.bag(o[0], o[1], o[2], mode, None)
        })
    }

    /// As [`Table::bag`], sums in which row `ids[e]` counts `weights[e]` times, `weights` `[n]`.
    #[track_caller]
    pub fn bag_weighted<'g>(
        &self,
        g: &'g Scope,
        ids: Tensor<'g>,
        offsets: Tensor<'g>,
        weights: Tensor<'g>,
    ) -> Tensor<'g> {
        g.composed(&[self.all(g), ids, offsets, weights], Location::caller(), |g, o| {
            g.bag(o[0], o[1], o[2], Bag::Sum, Some(o[3]))
        })
    }

    /// As [`Table::bag`], where `of`, i32 `[n]`, says for each id in which of so many bags it is, in any order.
    #[track_caller]
    pub fn bag_by_id<'g>(
        &self,
        g: &'g Scope,
        ids: Tensor<'g>,
        of: Tensor<'g>,
        bags: impl DimLike,
        mode: Bag,
    ) -> Tensor<'g> {
        let at = Location::caller();
        let Some(bags) = bags.resolve(g, at) else { return g.poisoned(at) };
        g.composed(&[self.all(g), ids, of], at, |g, o| g.bag_by_id(o[0], o[1], (o[2], bags), mode, None))
    }

    /// Half the sum of the squares of the rows at these ids, a row as often as it is named:
    /// `0.5 * sum over ids of |row(id)|^2`, a scalar.
    ///
    /// It is not divided by anything. LightGCN and NGCF divide the penalty by the number of triples of the
    /// batch: `lambda * table.l2(&[user, pos, neg]) / batch`, where `batch` is the dim of the ids.
    #[track_caller]
    pub fn l2<'g, const N: usize>(&self, ids: &[Tensor<'g>; N]) -> Tensor<'g> {
        const { assert!(N > 0, "l2 of no ids") };
        let g = ids[0].scope;
        let mut sum = self.rows(g, ids[0]).half_square_sum();
        for more in &ids[1..] {
            sum = sum + self.rows(g, *more).half_square_sum();
        }
        sum
    }

    /// Its declaration.
    pub fn spec(&self) -> &ParamSpec {
        &self.0
    }
}

/// Something that holds parameters. `#[derive(Params)]` writes it for a struct whose fields hold parameters;
/// `#[params(skip)]` on a field leaves it out.
pub trait Params {
    /// Calls `visit` with every parameter, in the order of the fields.
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec));

    /// The names of the parameters, in the order of the fields.
    fn names(&self) -> Vec<String> {
        let mut names = vec![];
        self.visit(&mut |spec| names.push(spec.name.clone()));
        names
    }

    /// How many numbers the parameters hold together.
    fn count(&self) -> usize {
        let mut count = 0;
        self.visit(&mut |spec| count += spec.shape.iter().product::<usize>());
        count
    }
}

impl Params for Param {
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec)) {
        visit(&self.0);
    }
}

impl Params for Table {
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec)) {
        visit(&self.0);
    }
}

impl<P: Params> Params for [P] {
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec)) {
        self.iter().for_each(|p| p.visit(visit));
    }
}

impl<P: Params> Params for Vec<P> {
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec)) {
        self.as_slice().visit(visit);
    }
}

impl<P: Params, const N: usize> Params for [P; N] {
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec)) {
        self.as_slice().visit(visit);
    }
}

impl<P: Params> Params for Option<P> {
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec)) {
        self.iter().for_each(|p| p.visit(visit));
    }
}

impl<P: Params + ?Sized> Params for Box<P> {
    fn visit(&self, visit: &mut dyn FnMut(&ParamSpec)) {
        (**self).visit(visit);
    }
}
