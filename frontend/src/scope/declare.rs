//! Declarations: dims, inputs, patterns, parameters, state.

use super::{DimSpec, First, Scope, Slot, StateSpec, is_name};
use crate::csr::{Csr, CsrDecl};
use crate::dims::{At, Dim, DimLike, ShapeLike, range};
use crate::params::{Init, ParamSpec};
use crate::tensor::Tensor;
use latentc_ir::diag::{Diag, Span};
use latentc_ir::dim::Dim as Size;
use latentc_ir::dtype::{DType, Literal};
use latentc_ir::graph::{InputKind, Operand};
use latentc_ir::ops::input::Input;
use latentc_ir::types::{CsrType, Type, shape_text};
use std::ops::RangeBounds;
use std::panic::Location;
use std::sync::Arc;

impl Scope {
    /// Declares a dim: a size that may differ from run to run, within a range.
    ///
    /// The range is checked at every run, and the compiler may rely on it. A missing end is `i32::MAX`. A
    /// range of one value is that constant.
    #[track_caller]
    pub fn dim<D: DimLike>(&self, name: &str, values: impl RangeBounds<D>) -> Dim<'_> {
        let at = Location::caller();
        let whole = Size::constant(i64::from(i32::MAX) + 1);
        let poisoned = Dim { scope: self, index: None };
        let Some((start, end)) = range(self, at, &values, &whole) else { return poisoned };
        let (Some(lo), Some(end)) = (start.as_const(), end.as_const()) else {
            self.error(at, format!("the range of `{name}` must be of constants"), "this dim");
            return poisoned;
        };
        self.declare_dim(name, lo, end - 1, at).map_or(poisoned, |size| self.intern(size))
    }

    /// A size as a dim, for where dims and numbers meet: `g.size(1)..n`.
    #[track_caller]
    pub fn size(&self, size: impl DimLike) -> Dim<'_> {
        match size.resolve(self, Location::caller()) {
            Some(size) => self.intern(size),
            None => Dim { scope: self, index: None },
        }
    }

    pub(crate) fn declare_dim(&self, name: &str, lo: i64, hi: i64, at: At) -> Option<Size> {
        let earlier = self.state.borrow().dims.iter().find(|(d, _)| d.name == name).map(|(_, at)| *at);
        let diag = |message: String| Diag::new(message, Span::from(at), "this dim");
        if let Some(earlier) = earlier {
            let diag = diag(format!("the dim `{name}` is declared twice"));
            self.report(
                diag.label(Span::from(earlier), "first here").help("use the first one, or another name"),
            );
            return None;
        }
        if !name.chars().all(is_name) || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            self.report(
                diag(format!("`{name}` cannot be the name of a dim"))
                    .help("begin with a letter or `_`, and go on with letters, digits and `_`"),
            );
            return None;
        }
        if lo < 0 || hi < lo || hi > i64::from(i32::MAX) {
            let message = format!("the dim `{name}` has the range {lo}..={hi}");
            self.report(diag(message).help(format!("a range lies in 0..={} and is not empty", i32::MAX)));
            return None;
        }
        self.state.borrow_mut().dims.push((DimSpec { name: name.to_owned(), lo, hi }, at));
        Some(Size::symbol(name, lo, hi))
    }

    /// Where the parameters of a model are declared.
    pub fn params(&self) -> &Init {
        &self.params
    }

    /// Declares ids: i32 data given with every run.
    #[track_caller]
    pub fn ids(&self, name: &str, shape: impl ShapeLike) -> Tensor<'_> {
        self.input(name, DType::I32, shape)
    }

    /// Declares a tensor given with every run.
    #[track_caller]
    pub fn input(&self, name: &str, dtype: DType, shape: impl ShapeLike) -> Tensor<'_> {
        let at = Location::caller();
        let value = shape
            .resolve(self, at)
            .and_then(|shape| self.declare(name, InputKind::Data, Type::tensor(dtype, shape), at));
        Tensor { scope: self, value, at }
    }

    /// Declares a sparse pattern of `[rows, cols]` given with every run.
    ///
    /// Its number of entries is a dim of its own, `<name>_nnz` in `0..=i32::MAX`, unless [`Csr::nnz`] gives one.
    #[track_caller]
    pub fn csr(&self, name: &str, shape: impl ShapeLike) -> Csr<'_> {
        let at = Location::caller();
        let poisoned = Csr::poisoned(self);
        let Some(shape) = shape.resolve(self, at) else { return poisoned };
        let [rows, cols] = shape.as_slice() else {
            let message =
                format!("the pattern `{name}` has sizes {}; give rows and columns", shape_text(&shape));
            self.error(at, message, "this pattern");
            return poisoned;
        };
        if !self.claim(name, at) {
            return poisoned;
        }
        let csrs = &mut self.state.borrow_mut().csrs;
        csrs.push(CsrDecl {
            name: name.to_owned(),
            at,
            rows: rows.clone(),
            cols: cols.clone(),
            nnz: None,
            symmetric: false,
            value: None,
        });
        Csr::new(self, csrs.len() - 1)
    }

    /// Takes the name of an input; a name that is taken is recorded as a mistake.
    pub(crate) fn claim(&self, name: &str, at: At) -> bool {
        let earlier = self.state.borrow().inputs.get(name).copied();
        if let Some(earlier) = earlier {
            let diag =
                Diag::new(format!("the name `{name}` is taken"), Span::from(at), "declared again here");
            self.report(
                diag.label(Span::from(earlier), "first here")
                    .help("inputs, parameters and state share one set of names; choose another"),
            );
            return false;
        }
        if name.is_empty() {
            self.error(at, "an input needs a name; it is empty", "declared here");
            return false;
        }
        self.state.borrow_mut().inputs.insert(name.to_owned(), at);
        true
    }

    /// Adds an input node under a new name.
    pub(crate) fn declare(&self, name: &str, kind: InputKind, ty: Type, at: At) -> Option<Operand> {
        self.claim(name, at).then(|| self.input_node(name, kind, ty, at)).flatten()
    }

    /// Adds an input node whose name has been claimed.
    pub(crate) fn input_node(&self, name: &str, kind: InputKind, ty: Type, at: At) -> Option<Operand> {
        self.node_of(Input { name: name.to_owned(), kind, ty }, &[], &[], at).map(Operand::from)
    }

    /// The node of a declared pattern: made when it is first used, so that `symmetric` and `nnz` can come first.
    pub(crate) fn csr_node(&self, index: usize) -> Option<Operand> {
        let decl = self.state.borrow().csrs.get(index).cloned()?;
        if decl.value.is_some() {
            return decl.value;
        }
        let nnz = match decl.nnz {
            Some(nnz) => nnz,
            None => {
                let name: String =
                    decl.name.chars().map(|c| if is_name(c) { c } else { '_' }).collect::<String>() + "_nnz";
                self.declare_dim(&name, 0, i64::from(i32::MAX), decl.at)?
            }
        };
        let ty = Type::Csr(CsrType { rows: decl.rows, cols: decl.cols, nnz, symmetric: decl.symmetric });
        let value = self.input_node(&decl.name, InputKind::Data, ty, decl.at);
        self.state.borrow_mut().csrs[index].value = value;
        value
    }

    /// Makes a parameter known to the program; gives its place among the parameters.
    fn register(&self, spec: &Arc<ParamSpec>) -> usize {
        let known = self.state.borrow().params.iter().position(|(s, _)| Arc::ptr_eq(s, spec));
        if let Some(index) = known {
            return index;
        }
        let mut slot = Slot::Unused;
        if !self.claim(&spec.name, spec.at) {
            slot = Slot::Poisoned;
        } else if let Some(fault) = spec.fault() {
            self.error(spec.at, fault, "this parameter");
            slot = Slot::Poisoned;
        } else {
            // Two names that hash alike would draw the same numbers.
            let alike = self
                .state
                .borrow()
                .params
                .iter()
                .map(|(s, _)| s.clone())
                .find(|s| s.name != spec.name && s.stream() == spec.stream());
            if let Some(alike) = alike {
                let message = format!(
                    "the parameters `{}` and `{}` would begin with the same random numbers",
                    alike.name, spec.name
                );
                let diag = Diag::new(message, Span::from(spec.at), "this parameter");
                self.report(diag.label(Span::from(alike.at), "and this").help("rename one of them"));
            }
        }
        let params = &mut self.state.borrow_mut().params;
        params.push((spec.clone(), slot));
        params.len() - 1
    }

    /// The node of a parameter, made when it is first used.
    pub(crate) fn param_node(&self, spec: &Arc<ParamSpec>) -> Option<Operand> {
        let index = self.register(spec);
        let slot = self.state.borrow().params[index].1;
        match slot {
            Slot::Node(value) => Some(value),
            Slot::Poisoned => None,
            Slot::Unused => {
                let ty = Type::tensor(DType::F32, spec.shape.iter().map(|n| Size::from(*n)));
                let value = self.input_node(&spec.name, InputKind::Param, ty, spec.at);
                self.state.borrow_mut().params[index].1 = value.map_or(Slot::Poisoned, Slot::Node);
                value
            }
        }
    }

    /// Declares state: a tensor of constant sizes that is kept between runs, with every element `first`
    /// before the first run. [`Scope::update`] gives its next value.
    #[track_caller]
    pub fn state(&self, name: &str, dtype: DType, shape: impl AsRef<[usize]>, first: f64) -> Tensor<'_> {
        let at = Location::caller();
        let shape = shape.as_ref().to_vec();
        let ty = Type::tensor(dtype, shape.iter().map(|n| Size::from(*n)));
        let value = self.declare(name, InputKind::State, ty, at);
        if value.is_some() {
            let first = First::Constant(Literal::float(dtype, first));
            self.state.borrow_mut().states.push(StateSpec { name: name.to_owned(), dtype, shape, first });
        }
        Tensor { scope: self, value, at }
    }

    /// What was declared and not used belongs to the program too.
    pub(crate) fn close(&self) {
        for spec in self.params.specs() {
            self.register(&spec);
        }
        let patterns = self.state.borrow().csrs.len();
        for index in 0..patterns {
            self.csr_node(index);
        }
        self.close_bodies();
    }
}
