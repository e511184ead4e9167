//! Before a run: everything it uses is there, sizes agree, ids are in range.

use super::{Dense, Inputs, Pointer, Size, Slot, axis, check_sizes, position};
use crate::error::{Declared, RunError};
use crate::memory::Block;
use crate::options::Ids;
use crate::store::Store;
use latentc_ir::array::{Array, Element};
use latentc_ir::dtype::DType;
use latentc_ir::plan::InputDecl;
use latentc_ir::types::Type;

impl Inputs {
    /// Checks everything that the coming run uses, notes where the store's arrays are, and binds the
    /// dimensions; gives whether any of them has another value than in the run before.
    pub fn bind(&mut self, store: &mut Store) -> Result<bool, RunError> {
        for (value, s) in self.dims.values.iter_mut().zip(&self.dims.symbols) {
            // A range of one value needs no input; the types of inputs have it as a constant.
            *value = (s.lo == s.hi).then_some((s.lo, usize::MAX));
        }
        for at in 0..self.decls.len() {
            let decl = &self.decls[at];
            match &self.slots[at] {
                Slot::Kept(_) => {
                    let array = entry(decl, store)?;
                    check_sizes(decl, &self.sizes[at], &self.dims.symbols, array.shape())?;
                }
                Slot::Dense(Dense { given: true, .. }) | Slot::Pattern(Some(_)) => {}
                _ => {
                    let (place, ty) = (Declared::of(decl), decl.ty.to_string());
                    return Err(RunError::Missing { place, ty });
                }
            }
        }
        self.each_size(store, Inputs::bind_symbol)?;
        if let Some(at) = self.dims.values.iter().position(Option::is_none) {
            return Err(RunError::Unbound { dimension: self.dims.symbols[at].name.clone() });
        }
        self.each_size(store, Inputs::check_computed)?;
        self.check_bounds(store)?;
        // Last, since every look at an array from here on would be one behind the addresses' back.
        for (decl, slot) in self.decls.iter().zip(&mut self.slots) {
            if let (Slot::Kept(pointer), Some(array)) = (slot, store.get_mut(&decl.name)) {
                *pointer = Pointer(array.as_bytes_mut().as_mut_ptr());
            }
        }
        let mut changed = false;
        for (before, now) in self.dims.before.iter_mut().zip(&self.dims.values) {
            let now = now.map(|(v, _)| v);
            changed |= *before != now;
            *before = now;
        }
        Ok(changed)
    }

    /// Visits every size of every input: which input, which of its sizes, and its value.
    fn each_size(
        &mut self,
        store: &Store,
        visit: fn(&mut Inputs, usize, usize, usize) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        for at in 0..self.decls.len() {
            for i in 0..self.sizes[at].len() {
                let found = match &self.slots[at] {
                    Slot::Kept(_) => store.get(&self.decls[at].name).map_or(0, |a| a.shape()[i]),
                    Slot::Dense(d) => d.shape[i],
                    Slot::Pattern(p) => p.as_ref().map_or(0, |p| [p.rows, p.cols, p.nnz()][i]),
                };
                visit(self, at, i, found)?;
            }
        }
        Ok(())
    }

    fn bind_symbol(&mut self, at: usize, i: usize, found: usize) -> Result<(), RunError> {
        let Size::Symbol(s) = self.sizes[at][i] else { return Ok(()) };
        match self.dims.values[s] {
            // Ranges were checked with the other sizes, so it fits an i64.
            None => self.dims.values[s] = Some((found as i64, at)),
            Some((first, giver)) if first != found as i64 => {
                let decl = &self.decls[at];
                return Err(RunError::Conflict {
                    dimension: self.dims.symbols[s].name.clone(),
                    first_place: Declared::of(&self.decls[giver]),
                    first,
                    place: Declared::of(decl),
                    axis: axis(decl, i),
                    found,
                });
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn check_computed(&mut self, at: usize, i: usize, found: usize) -> Result<(), RunError> {
        let Size::Computed(dim) = &self.sizes[at][i] else { return Ok(()) };
        let value = self.dims.eval(dim);
        if value.is_some() && value == i64::try_from(found).ok() {
            return Ok(());
        }
        let decl = &self.decls[at];
        let expected = match value {
            Some(v) => format!("{v} (`{dim}`)"),
            None => format!("`{dim}`, which is too large to compute"),
        };
        Err(RunError::Size { place: Declared::of(decl), axis: axis(decl, i), expected, found })
    }

    fn check_bounds(&mut self, store: &Store) -> Result<(), RunError> {
        for (decl, slot) in self.decls.iter().zip(&mut self.slots) {
            let (Type::Tensor(ty), Some(bound)) = (&decl.ty, &decl.bound) else { continue };
            // Every dimension is bound by now; a bound too large to compute forbids nothing.
            let bound = self.dims.eval(bound).unwrap_or(i64::MAX);
            let (wrong, shape) = match slot {
                Slot::Dense(d) if d.checked == Some(bound) => continue,
                Slot::Dense(d) => {
                    let bytes = d.shape.iter().product::<usize>() * ty.dtype.size();
                    if let Some(raw) = &d.raw {
                        settle(raw, &mut d.data, bytes, ty.dtype, d.ids, bound);
                    }
                    let wrong = outside(d.data.slice(bytes), ty.dtype, bound);
                    d.checked = wrong.is_none().then_some(bound);
                    (wrong, d.shape.as_slice())
                }
                // What is kept may have been changed by anyone, so it is looked at each time.
                Slot::Kept(_) => match store.get(&decl.name) {
                    Some(a) => (outside(a.as_bytes(), ty.dtype, bound), a.shape()),
                    None => continue,
                },
                Slot::Pattern(_) => continue,
            };
            if let Some((at, value)) = wrong {
                return Err(RunError::Bound {
                    place: Declared::of(decl),
                    position: position(shape, at),
                    value,
                    bound,
                });
            }
        }
        Ok(())
    }
}

/// Writes the rows that the numbers given stand for. Those that stand for none stay, and are found.
fn settle(raw: &Block, data: &mut Block, bytes: usize, dtype: DType, ids: Ids, rows: i64) {
    fn write<T: Element + Into<i128> + TryFrom<i64>>(
        raw: &Block,
        data: &mut Block,
        n: usize,
        ids: Ids,
        rows: i64,
    ) {
        for (to, from) in data.slice_mut::<T>(n).iter_mut().zip(raw.slice::<T>(n)) {
            let row = ids.row((*from).into(), rows).and_then(|r| T::try_from(r).ok());
            *to = row.unwrap_or(*from);
        }
    }
    let n = bytes / dtype.size();
    match dtype {
        DType::I64 => write::<i64>(raw, data, n, ids, rows),
        DType::I32 => write::<i32>(raw, data, n, ids, rows),
        DType::I16 => write::<i16>(raw, data, n, ids, rows),
        DType::I8 => write::<i8>(raw, data, n, ids, rows),
        DType::U32 => write::<u32>(raw, data, n, ids, rows),
        DType::U16 => write::<u16>(raw, data, n, ids, rows),
        DType::U8 => write::<u8>(raw, data, n, ids, rows),
        DType::U64 => write::<u64>(raw, data, n, ids, rows),
        _ => {}
    }
}

/// The entry of the store for an input that is kept, of the right type.
fn entry<'s>(decl: &InputDecl, store: &'s Store) -> Result<&'s Array, RunError> {
    let (Type::Tensor(ty), Some(array)) = (&decl.ty, store.get(&decl.name)) else {
        let (place, ty) = (Declared::of(decl), decl.ty.to_string());
        return Err(RunError::MissingEntry { place, ty });
    };
    if array.dtype() != ty.dtype {
        return Err(RunError::ElementType {
            place: Declared::of(decl),
            expected: ty.dtype,
            found: array.dtype(),
        });
    }
    Ok(array)
}

/// The first element that is not in `0..bound`. The bytes are aligned to a cache line, as all arrays are.
fn outside(bytes: &[u8], dtype: DType, bound: i64) -> Option<(usize, i64)> {
    fn seen<T: Element>(bytes: &[u8]) -> &[T] {
        // SAFETY: any bits are a `T`.
        unsafe { bytes.align_to::<T>().1 }
    }
    match dtype {
        DType::I64 => first(seen::<i64>(bytes), |x| *x < 0 || *x >= bound),
        DType::I32 => {
            // As unsigned numbers negative ids are large: one comparison an element.
            let bound = bound.clamp(0, 1 << 31) as u32;
            first(seen::<i32>(bytes), |x| *x as u32 >= bound)
        }
        DType::U32 => first(seen::<u32>(bytes), |x| i64::from(*x) >= bound),
        DType::U8 => first(seen::<u8>(bytes), |x| i64::from(*x) >= bound),
        DType::U16 => first(seen::<u16>(bytes), |x| i64::from(*x) >= bound),
        DType::I16 => first(seen::<i16>(bytes), |x| *x < 0 || i64::from(*x) >= bound),
        DType::I8 => first(seen::<i8>(bytes), |x| *x < 0 || i64::from(*x) >= bound),
        // Beyond the greatest i64 it is beyond every bound.
        DType::U64 => first(seen::<i64>(bytes), |x| *x < 0 || *x >= bound),
        DType::Bool | DType::F64 | DType::F32 | DType::Bf16 | DType::F16 => None,
        DType::F8E4M3Fn | DType::F8E5M2 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => None,
    }
}

/// Looks block by block, without leaving a block early, so that the comparison runs in vectors.
fn first<T: Copy + Into<i64>>(values: &[T], wrong: impl Fn(&T) -> bool) -> Option<(usize, i64)> {
    const BLOCK: usize = 1024;
    for (b, block) in values.chunks(BLOCK).enumerate() {
        if block.iter().fold(false, |any, x| any | wrong(x))
            && let Some(i) = block.iter().position(&wrong)
        {
            return Some((b * BLOCK + i, block[i].into()));
        }
    }
    None
}
