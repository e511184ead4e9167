//! What a schedule knows of a processor: plain numbers, filled in by the backend.

use latentc_ir::dtype::DType;

use crate::tile::Tile;

/// A processor as schedules see it. Results of a kernel may depend on it (the order of a sum does not; the
/// number of lanes of a lane-wise sum does), never on the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// f32 lanes of a vector register.
    pub lanes: u32,
    /// Vector registers.
    pub registers: u32,
    /// Bytes of the first data cache of a core.
    pub l1: usize,
    /// Bytes of the second cache of a core.
    pub l2: usize,
    /// Iterations that a gathering loop looks ahead with prefetches.
    pub prefetch: u32,
    /// Whether the sum of four products of bytes is one instruction.
    pub dot4: bool,
}

/// Rows beyond which a tile that reads its left operand in place would alias in the first cache: a stride
/// that is a power of two puts every row in one set, which has at least 8 ways.
const MOST_ROWS: i64 = 12;

impl Machine {
    /// Lanes of a vector register for values of this type; 16-bit floats are widened to f32 in registers.
    pub fn lanes_of(&self, dtype: DType) -> u32 {
        let bytes = dtype.size().max(4) as u32;
        (self.lanes * 4 / bytes).max(1)
    }

    /// The register tile with `vectors` vectors of columns: as many rows as leave one register for the
    /// broadcast element, `vectors` for the right operand and a little room for the allocator.
    pub fn tile(&self, vectors: u32, dtype: DType) -> Tile {
        let lanes = self.lanes_of(dtype);
        let vectors = vectors.max(1);
        let room = i64::from(self.registers) - i64::from(self.registers / 10) - i64::from(vectors);
        let rows = (room / i64::from(vectors)).clamp(1, MOST_ROWS);
        Tile { rows, cols: i64::from(vectors * lanes), lanes }
    }

    /// The tile with the most columns that still has rows enough to hide the latency of a multiply-add:
    /// 6 rows of 4 vectors where there are 32 registers, of 2 where there are 16.
    pub fn widest_tile(&self, dtype: DType) -> Tile {
        self.tile(if self.registers >= 32 { 4 } else { 2 }, dtype)
    }
}
