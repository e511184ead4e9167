//! Ops from their text: one row an op, from the attributes that [`OpDef::attrs`] gives.

use super::*;
use crate::diag::{Diag, Span};
use crate::dtype::DType;
use crate::scalar::{ReduceOp, ScalarOp};
use crate::text::nearest;
use crate::types::Shape;

/// The attributes that a text gives an op, taken one by one.
#[derive(Debug)]
pub(crate) struct Given {
    /// The name of the op, and where it stands.
    pub op: String,
    pub span: Span,
    /// Names and values, with the place of the name.
    pub attrs: Vec<(String, Attr, Span)>,
    /// Names that were asked for.
    pub asked: Vec<&'static str>,
}

impl Given {
    /// An attribute: a value of the kind that `read` takes, else an error at its place.
    fn take<T>(
        &mut self,
        name: &'static str,
        kind: &str,
        read: impl FnOnce(&Attr) -> Option<T>,
    ) -> Result<T, Diag> {
        self.asked.push(name);
        let Some(at) = self.attrs.iter().position(|a| a.0 == name) else {
            let diag = Diag::new(
                format!("`{}` needs an attribute `{name}`: {kind}", self.op),
                self.span.clone(),
                "here",
            );
            let written = self.attrs.iter().map(|a| a.0.as_str());
            return Err(match nearest(name, written) {
                Some(other) => diag.help(format!("it has `{other}`; is `{name}` meant?")),
                None => diag,
            });
        };
        let (_, value, span) = self.attrs.remove(at);
        read(&value).ok_or_else(|| {
            let message = format!("`{name}` of `{}` must be {kind}, {} found", self.op, value.kind());
            Diag::new(message, span, "this attribute")
        })
    }

    fn int(&mut self, name: &'static str) -> Result<i64, Diag> {
        self.take(name, "an integer", int)
    }

    fn count(&mut self, name: &'static str) -> Result<usize, Diag> {
        self.take(name, "an integer of at least 0", |a| int(a).and_then(|i| usize::try_from(i).ok()))
    }

    fn stream(&mut self) -> Result<u32, Diag> {
        self.take("stream", "an integer from 0 to 2^32 - 1", |a| int(a).and_then(|i| u32::try_from(i).ok()))
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, Diag> {
        self.take(name, "0 or 1", |a| int(a).and_then(truth))
    }

    fn axes(&mut self, name: &'static str) -> Result<Axes, Diag> {
        let read = |i: i64| usize::try_from(i).ok();
        self.take(name, "a list of axes", |a| ints_of(a)?.into_iter().map(read).collect())
    }

    fn window(&mut self) -> Result<windows::Window, Diag> {
        let mut list =
            |name| self.take(name, "a list of integers", |a| ints_of(a).map(windows::Extents::from_vec));
        Ok(windows::Window {
            kernel: list("kernel")?,
            stride: list("stride")?,
            dilation: list("dilation")?,
            before: list("before")?,
            after: list("after")?,
        })
    }

    fn dims(&mut self, name: &'static str) -> Result<Shape, Diag> {
        self.take(name, "a list of sizes", |a| match a {
            Attr::Dims(d) => Some(d.iter().cloned().collect()),
            _ => None,
        })
    }

    /// So many sizes.
    fn sizes<const N: usize>(&mut self, name: &'static str) -> Result<[Dim; N], Diag> {
        let kind = format!("a list of {N} size{}", if N == 1 { "" } else { "s" });
        self.take(name, &kind, |a| match a {
            Attr::Dims(d) => d.clone().try_into().ok(),
            _ => None,
        })
    }

    fn literal(&mut self, name: &'static str) -> Result<Literal, Diag> {
        self.take(name, "a constant with its type, as `0.5:f32`", |a| match a {
            Attr::Literal(l) => Some(*l),
            _ => None,
        })
    }

    fn body(&mut self, name: &'static str) -> Result<Body, Diag> {
        self.take(name, "a graph in braces", |a| match a {
            Attr::Body(body) => Some(body.clone()),
            _ => None,
        })
    }

    fn word<T>(
        &mut self,
        name: &'static str,
        kind: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Diag> {
        self.take(name, kind, |a| match a {
            Attr::Word(w) => parse(w),
            _ => None,
        })
    }
}

fn int(a: &Attr) -> Option<i64> {
    match a {
        Attr::Int(i) => Some(*i),
        _ => None,
    }
}

/// A list of integers is written as one of sizes.
fn ints_of(a: &Attr) -> Option<Vec<i64>> {
    match a {
        Attr::Ints(i) => Some(i.clone()),
        Attr::Dims(d) => d.iter().map(Dim::as_const).collect(),
        _ => None,
    }
}

fn truth(i: i64) -> Option<bool> {
    match i {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

impl Attr {
    /// What kind of value it is, for messages.
    fn kind(&self) -> String {
        match self {
            Attr::Int(i) => format!("the integer {i}"),
            Attr::Float(f) => format!("the float {f:?}"),
            Attr::Word(w) => format!("the word `{w}`"),
            Attr::Ints(_) | Attr::Dims(_) => "a list".to_owned(),
            Attr::Type(t) => format!("the type {t}"),
            Attr::Text(t) => format!("the string {t:?}"),
            Attr::Literal(l) => format!("the constant {l} of {}", l.dtype()),
            Attr::Body(_) => "a body".to_owned(),
        }
    }
}

macro_rules! rows {
    ($($variant:ident = $name:literal |$a:ident| $make:expr;)+) => {
        /// Names of the ops that are no scalar operations.
        const NAMES: &[&str] = &[$($name),+];

        fn row(name: &str, given: &mut Given) -> Result<Option<Op>, Diag> {
            Ok(Some(match name {
                $($name => {
                    let $a = given;
                    Op::from($make)
                })+
                _ => return Ok(None),
            }))
        }

        /// An op of the registry that has no row here does not compile; one may have several, by name.
        #[allow(unreachable_patterns)]
        const _: fn(&Op) = |op| match op {
            Op::Elementwise(_) $(| Op::$variant(_))+ => (),
        };
    };
}

rows! {
    Input = "input" |a| input::Input {
        name: a.take("name", "a string", |a| match a {
            Attr::Text(t) => Some(t.clone()),
            _ => None,
        })?,
        kind: a.word("kind", "`data`, `param`, `state` or `arg`", crate::graph::InputKind::parse)?,
        ty: a.take("type", "a type", |a| match a {
            Attr::Type(t) => Some(t.clone()),
            _ => None,
        })?,
    };
    Fill = "fill" |a| fill::Fill { value: a.literal("value")?, shape: a.dims("shape")? };
    Iota = "iota" |a| iota::Iota {
        shape: a.dims("shape")?,
        axis: a.count("axis")?,
        dtype: a.word("dtype", "an element type", DType::parse)?,
    };
    Size = "size" |a| {
        let [dim] = a.sizes("dim")?;
        size::Size { dim }
    };
    Random = "random" |a| random::Random { stream: a.stream()?, shape: a.dims("shape")? };
    After = "after" |_a| after::After;
    Cast = "cast" |a| cast::Cast { to: a.word("to", "an element type", DType::parse)? };
    Bitcast = "bitcast" |a| bitcast::Bitcast { to: a.word("to", "an element type", DType::parse)? };
    Broadcast = "broadcast" |a| broadcast::Broadcast { shape: a.dims("shape")?, axes: a.axes("axes")? };
    Reshape = "reshape" |a| reshape::Reshape { shape: a.dims("shape")? };
    Permute = "permute" |a| permute::Permute { axes: a.axes("axes")? };
    Slice = "slice" |a| {
        let axis = a.count("axis")?;
        let [start, end] = a.sizes("range")?;
        slice::Slice { axis, start, end, step: a.int("step")? }
    };
    Concat = "concat" |a| concat::Concat { axis: a.count("axis")? };
    Pad = "pad" |a| {
        let axis = a.count("axis")?;
        let [before, after] = a.sizes("sizes")?;
        pad::Pad { axis, before, after, value: a.literal("value")? }
    };
    Reverse = "reverse" |a| reverse::Reverse { axes: a.axes("axes")? };
    Windows = "windows" |a| windows::Windows { window: a.window()?, value: a.literal("value")? };
    Spread = "spread" |a| spread::Spread { window: a.window()?, shape: a.dims("shape")? };
    Fold = "fold" |a| fold::Fold { window: a.window()?, shape: a.dims("shape")? };
    Reduce = "reduce" |a| reduce::Reduce {
        op: a.word("op", "`sum`, `prod`, `max` or `min`", ReduceOp::parse)?,
        axes: a.axes("axes")?,
    };
    Cumulative = "cumulative" |a| cumulative::Cumulative {
        op: a.word("op", "`sum`, `prod`, `max` or `min`", ReduceOp::parse)?,
        axis: a.count("axis")?,
        exclusive: a.flag("exclusive")?,
        reverse: a.flag("reverse")?,
    };
    Matmul = "matmul" |a| {
        let [transpose_a, transpose_b] = a.take("transpose", "two of 0 and 1", |a| {
            let flags: Option<Vec<bool>> = ints_of(a)?.into_iter().map(truth).collect();
            <[bool; 2]>::try_from(flags?).ok()
        })?;
        matmul::Matmul { transpose_a, transpose_b }
    };
    Conv = "conv" |a| conv::Conv { window: a.window()?, groups: a.int("groups")? };
    ConvTranspose = "conv_transpose" |a| conv_transpose::ConvTranspose {
        window: a.window()?,
        groups: a.int("groups")?,
        shape: a.dims("shape")?,
    };
    GatherRows = "gather_rows" |_a| gather_rows::GatherRows;
    Index = "index" |_a| index::Index;
    IndexUpdate = "index_update" |a| index_update::IndexUpdate {
        op: a.word("op", "`set`, `sum`, `prod`, `max` or `min`", |w| match w {
            "set" => Some(None),
            w => ReduceOp::parse(w).map(Some),
        })?,
    };
    ScatterRows = "scatter_rows" |a| {
        let [rows] = a.sizes("rows")?;
        scatter_rows::ScatterRows { rows }
    };
    RowSparse = "row_sparse" |a| {
        let [rows] = a.sizes("rows")?;
        row_sparse::RowSparse { rows }
    };
    RowSparseParts = "row_sparse_parts" |_a| row_sparse::RowSparseParts;
    Segments = "segments" |a| {
        let [rows] = a.sizes("rows")?;
        segments::Segments { rows }
    };
    SegmentReduce = "segment_sum" |_a| segment_reduce::SegmentReduce { op: ReduceOp::Sum };
    SegmentReduce = "segment_max" |_a| segment_reduce::SegmentReduce { op: ReduceOp::Max };
    SegmentReduce = "segment_min" |_a| segment_reduce::SegmentReduce { op: ReduceOp::Min };
    SegmentIds = "segment_ids" |a| {
        let [count] = a.sizes("count")?;
        segment_ids::SegmentIds { count }
    };
    SegmentSoftmax = "segment_softmax" |_a| segment_softmax::SegmentSoftmax;
    Spmm = "spmm" |a| spmm::Spmm { transpose: a.flag("transpose")?, weighted: a.flag("weighted")? };
    SpmmRows = "spmm_rows" |a| spmm_rows::SpmmRows { transpose: a.flag("transpose")? };
    Sddmm = "sddmm" |_a| sddmm::Sddmm;
    CsrArrayOf = "csr_array" |a| csr_array::CsrArrayOf {
        part: a.word("part", "the name of an array of a pattern", crate::plan::CsrPart::parse)?,
    };
    CsrDegree = "csr_degree" |a| csr_degree::CsrDegree { transpose: a.flag("transpose")? };
    Cholesky = "cholesky" |_a| cholesky::Cholesky;
    TriangularSolve = "triangular_solve" |a| triangular_solve::TriangularSolve {
        lower: a.flag("lower")?,
        transpose: a.flag("transpose")?,
        unit: a.flag("unit")?,
    };
    Lu = "lu" |_a| lu::Lu;
    Qr = "qr" |_a| qr::Qr;
    Svd = "svd" |_a| svd::Svd;
    Eigh = "eigh" |_a| eigh::Eigh;
    Pinv = "pinv" |a| pinv::Pinv { least: a.literal("least")? };
    Sort = "sort" |a| sort::Sort { descending: a.flag("descending")? };
    TopK = "top_k" |a| top_k::TopK { k: a.count("k")? };
    ScoreTopK = "score_top_k" |a| score_top_k::ScoreTopK { k: a.count("k")? };
    Dropout = "dropout" |a| dropout::Dropout {
        rate: a.take("rate", "a constant of f64, as `0.1:f64`", |a| match a {
            Attr::Literal(l) if l.dtype() == DType::F64 => Some(*l),
            _ => None,
        })?,
        stream: a.stream()?,
    };
    Placeholder = "placeholder" |a| placeholder::Placeholder {
        id: a.take("id", "an integer from 0 to 2^32 - 1", |a| int(a).and_then(|i| u32::try_from(i).ok()))?,
        ty: a.take("type", "a type", |a| match a {
            Attr::Type(t) => Some(t.clone()),
            _ => None,
        })?,
    };
    CustomVjp = "custom_vjp" |_a| custom_vjp::CustomVjp;
    Checkpoint = "checkpoint" |a| checkpoint::Checkpoint { results: a.count("results")? };
    Barrier = "barrier" |_a| barrier::Barrier;
    Softmax = "softmax" |_a| softmax::Softmax;
    LogSumExp = "log_sum_exp" |_a| log_sum_exp::LogSumExp;
    LinearLogSumExp = "linear_log_sum_exp" |a| linear_log_sum_exp::LinearLogSumExp {
        part: a.count("part")?,
        biased: a.flag("biased")?,
        excluding: a.flag("excluding")?,
    };
    Scan = "scan" |a| {
        let [trips] = a.sizes("trips")?;
        scan::Scan {
            trips,
            carries: a.count("carries")?,
            slices: a.count("slices")?,
            reverse: a.flag("reverse")?,
            checkpoint: a.count("checkpoint")?,
            body: a.body("body")?,
        }
    };
    Cond = "cond" |a| cond::Cond { then: a.body("then")?, otherwise: a.body("otherwise")? };
    While = "while" |a| {
        let [limit] = a.sizes("limit")?;
        while_loop::While {
            limit,
            carries: a.count("carries")?,
            test: a.body("test")?,
            body: a.body("body")?,
        }
    };
}

/// The op of a name with attributes.
///
/// # Errors
/// Where there is no such op, or an attribute is missing, of another kind, or not one of the op's.
pub(crate) fn op_from_attrs(mut given: Given) -> Result<Op, Diag> {
    let name = given.op.clone();
    // Random words are not elementwise in tensors: `random` makes them.
    let scalar = ScalarOp::parse(&name).filter(|op| *op != ScalarOp::Philox);
    let op = match scalar {
        Some(op) => Op::from(elementwise::Elementwise { op }),
        None => row(&name, &mut given)?.ok_or_else(|| {
            let known = ScalarOp::ALL.iter().map(|o| o.name()).chain(NAMES.iter().copied());
            let diag = Diag::new(format!("there is no op `{name}`"), given.span.clone(), "not known");
            match nearest(&name, known) {
                Some(k) => diag.help(format!("`{k}` may be meant")),
                None => diag,
            }
        })?,
    };
    match given.attrs.first() {
        None => Ok(op),
        Some((other, _, span)) => {
            let diag =
                Diag::new(format!("`{name}` has no attribute `{other}`"), span.clone(), "not one of its own");
            Err(match given.asked.as_slice() {
                [] => diag.help(format!("`{name}` has no attributes")),
                asked => diag.help(format!("its attributes are {}", asked.join(", "))),
            })
        }
    }
}
