//! What graphs for rules are written with.

use latentc_ir::array::Array;
use latentc_ir::array::Value;
use latentc_ir::dim::Dim;
use latentc_ir::dtype::DType;
use latentc_ir::dtype::Literal;
use latentc_ir::graph::Graph;
use latentc_ir::graph::InputKind;
use latentc_ir::graph::Operand;
use latentc_ir::interp;
use latentc_ir::ops::Axes;
use latentc_ir::ops::broadcast::Broadcast;
use latentc_ir::ops::gather_rows::GatherRows;
use latentc_ir::ops::input::Input;
use latentc_ir::ops::permute::Permute;
use latentc_ir::ops::scatter_rows::ScatterRows;
use latentc_ir::philox::Stream;
use latentc_ir::scalar::ScalarOp;
use latentc_ir::testing::random_array;
use latentc_ir::testing::random_ids;
use latentc_ir::testing::random_pattern;
use latentc_ir::types::CsrType;
use latentc_ir::types::Shape;
use latentc_ir::types::Type;
use std::sync::Arc;

pub const NUMBERS: [DType; 8] =
    [DType::F32, DType::F64, DType::Bf16, DType::F16, DType::I64, DType::I32, DType::U32, DType::U8];

/// A graph under construction, with values for its inputs.
pub struct Case {
    pub g: Graph,
    inputs: Vec<(String, Value)>,
    random: Stream,
    /// Sizes of most values.
    pub shape: Shape,
    n: usize,
    /// Whether floats may be NaN, infinite, or a zero with a sign.
    wild: bool,
}

impl Case {
    pub fn new(seed: u32, wild: bool) -> Case {
        let mut random = Stream::new(seed.into(), 12, 0);
        let n = random.below(4) as usize;
        let mut c = Case { g: Graph::new("rule"), inputs: vec![], random, shape: Shape::new(), n, wild };
        // The size of the symbol is known from this input.
        c.moderate(DType::F32, &[Dim::symbol("n", 0, 16)]);
        let rank = c.below(4);
        c.shape = (0..rank).map(|_| c.dim()).collect();
        c
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u32) as usize
    }

    pub fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        let at = self.below(list.len());
        list[at].clone()
    }

    pub fn dim(&mut self) -> Dim {
        match self.below(3) {
            0 => Dim::symbol("n", 0, 16),
            _ => Dim::from(self.one_of(&[0usize, 1, 2, 3, 5])),
        }
    }

    pub fn sizes(&self, shape: &[Dim]) -> Vec<usize> {
        let value = |d: &Dim| d.eval(&|_| Some(self.n as i64)).expect("a size") as usize;
        shape.iter().map(value).collect()
    }

    pub fn given(&mut self, ty: Type, value: Value) -> Operand {
        let name = format!("x{}", self.inputs.len());
        self.inputs.push((name.clone(), value));
        self.g.emit(Input { name, kind: InputKind::Data, ty }, &[])
    }

    pub fn moderate(&mut self, dtype: DType, shape: &[Dim]) -> Operand {
        let sizes = self.sizes(shape);
        let value = Value::Tensor(random_array(&mut self.random, dtype, &sizes));
        self.given(Type::tensor(dtype, shape.iter().cloned()), value)
    }

    /// Any element: every fourth one that breaks code, where the case is wild.
    pub fn literal(&mut self, dtype: DType) -> Literal {
        let edges = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-40, -3e38, 65504.0];
        let value = if self.wild && self.one_in(4) {
            self.one_of(&edges)
        } else {
            (self.below(4001) as f64 - 2000.0) / 1000.0
        };
        match dtype {
            DType::Bool => Literal::int(dtype, i64::from(value > 0.0)),
            d if d.is_float() => Literal::float(d, value),
            d => Literal::int(d, self.one_of(&[i64::MIN, i64::MAX, -1, 0, 1, 7, 1 << 31, 255])),
        }
    }

    pub fn input(&mut self, dtype: DType, shape: &[Dim]) -> Operand {
        let mut a = Array::zeros(dtype, &self.sizes(shape));
        for i in 0..a.len() {
            let value = self.literal(dtype);
            a.set(i, value);
        }
        self.given(Type::tensor(dtype, shape.iter().cloned()), Value::Tensor(a))
    }

    /// A value of the common sizes, of any type of numbers.
    pub fn any(&mut self) -> Operand {
        let (dtype, shape) = (self.one_of(&NUMBERS), self.shape.clone());
        self.input(dtype, &shape)
    }

    /// As [`Case::any`], with at least one axis, and one of them.
    pub fn with_axis(&mut self) -> (Operand, usize) {
        let dtype = self.one_of(&NUMBERS);
        self.of_type_with_axis(dtype)
    }

    pub fn float_with_axis(&mut self) -> (Operand, usize) {
        self.of_type_with_axis(DType::F32)
    }

    pub fn of_type_with_axis(&mut self, dtype: DType) -> (Operand, usize) {
        let extra = self.dim();
        self.shape.push(extra);
        let shape = self.shape.clone();
        let axis = self.below(shape.len());
        (self.input(dtype, &shape), axis)
    }

    /// A value that goes beside another along an axis.
    pub fn part(&mut self, x: Operand, axis: usize) -> Operand {
        let mut shape = self.g.shape_of(x);
        shape[axis] = Dim::from(self.below(4));
        self.input(self.g.dtype_of(x), &shape)
    }

    /// A constant of the type and sizes of a value: written as such, or moved there.
    pub fn constant(&mut self, x: Operand, value: f64) -> Operand {
        let (dtype, shape) = (self.g.dtype_of(x), self.g.shape_of(x));
        let scalar = self.g.fill(Literal::float(dtype, value), []);
        if self.one_in(2) { self.g.fill_like(x, value) } else { self.g.broadcast(scalar, shape, Axes::new()) }
    }

    pub fn with_constant(&mut self, op: ScalarOp, value: f64, commutes: bool) -> Operand {
        let x = self.any();
        let c = self.constant(x, value);
        if commutes && self.one_in(2) { self.g.map(op, &[c, x]) } else { self.g.map(op, &[x, c]) }
    }

    pub fn float_and(&mut self, op: ScalarOp, value: f64) -> Operand {
        let (dtype, shape) = (self.one_of(&NUMBERS[..4]), self.shape.clone());
        let x = self.input(dtype, &shape);
        let c = self.constant(x, value);
        self.g.map(op, &[x, c])
    }

    pub fn twice(&mut self, op: ScalarOp, dtypes: &[DType]) -> Operand {
        let (dtype, shape) = (self.one_of(dtypes), self.shape.clone());
        let x = self.input(dtype, &shape);
        let once = self.g.map(op, &[x]);
        self.g.map(op, &[once])
    }

    /// A value with one more axis somewhere.
    pub fn repeated(&mut self, x: Operand) -> (Operand, usize) {
        let mut shape = self.g.shape_of(x);
        let at = self.below(shape.len() + 1);
        shape.insert(at, self.dim());
        let axes = (0..shape.len()).filter(|a| *a != at).collect();
        (self.g.emit(Broadcast { shape, axes }, &[x]), at)
    }

    pub fn permuted(&mut self, x: Operand) -> Operand {
        let mut axes: Axes = (0..self.g.shape_of(x).len()).collect();
        self.random.shuffle(&mut axes);
        self.g.emit(Permute { axes }, &[x])
    }

    pub fn rows_of_table(&mut self) -> Dim {
        Dim::from(self.one_of(&[1usize, 2, 5, 20]))
    }

    pub fn ids(&mut self, shape: &[Dim], rows: &Dim) -> Operand {
        let (sizes, bound) = (self.sizes(shape), self.sizes(std::slice::from_ref(rows))[0]);
        let value = random_ids(&mut self.random, sizes.iter().product(), bound).reshaped(&sizes);
        self.given(Type::tensor(DType::I32, shape.iter().cloned()), Value::Tensor(value))
    }

    pub fn table(&mut self, dtype: DType) -> Operand {
        self.input(dtype, &[20.into(), 3.into()])
    }

    /// Few rows of a table of twenty: none, one, or more, some of them twice.
    pub fn few_of(&mut self, table: Operand) -> Operand {
        let rows = self.g.shape_of(table)[0].clone();
        let count = Dim::from(self.one_of(&[0usize, 1, 3, 7]));
        let ids = self.ids(&[count], &rows);
        self.g.emit(GatherRows, &[table, ids])
    }

    pub fn scatter(&mut self, shape: &Shape) -> Operand {
        let count = Dim::from(self.below(5));
        let ids = self.ids(std::slice::from_ref(&count), &shape[0]);
        let mut values = shape.clone();
        values[0] = count;
        let values = self.moderate(DType::F32, &values);
        self.g.emit(ScatterRows { rows: shape[0].clone() }, &[ids, values])
    }

    pub fn pattern(&mut self, rows: usize, symmetric: bool) -> Operand {
        let csr = random_pattern(&mut self.random, rows, rows, symmetric);
        let nnz = Dim::from(csr.indices.len());
        let ty = CsrType { rows: rows.into(), cols: rows.into(), nnz, symmetric };
        self.given(Type::Csr(ty), Value::Csr(Arc::new(csr)))
    }

    pub fn run(&self) -> Value {
        let given = |name: &str| self.inputs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let mut run = interp::run(&self.g, &given).unwrap_or_else(|e| panic!("{e}\n{}", self.g));
        run.outputs.remove(0).1
    }
}
