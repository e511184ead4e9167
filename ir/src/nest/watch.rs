//! Whether the iterations of a parallel or vector loop are independent, seen from what they touch.
//!
//! Iterations may share an element that all of them only read. In a vector loop they may also share one that
//! only one statement touches, by storing (the last lane stays) or by accumulating (lanes take turns in
//! order): that comes to the same in lanes and one by one. Anything else would not.

use super::{BufId, VarId};
use rustc_hash::FxHashMap;

/// What is done to an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    Accumulate,
}

/// What has been done to an element.
#[derive(Clone, Copy, Debug)]
struct Touch {
    iteration: i64,
    /// Whether other iterations touched it too.
    many: bool,
    /// The access and, but for reads, the statement; nothing once there were different ones.
    access: Option<(Access, u64)>,
}

/// The iterations of one loop, or of one vector of it.
#[derive(Debug)]
pub(super) struct Watch {
    pub var: VarId,
    /// The iteration that runs.
    pub iteration: i64,
    lanes: bool,
    /// How many statements the iteration has run: which one, among all iterations.
    statement: u64,
    touched: FxHashMap<(BufId, usize), Touch>,
}

impl Watch {
    /// The iterations of a loop over `var`; `lanes` for those of a vector.
    pub fn new(var: VarId, lanes: bool) -> Watch {
        Watch { var, iteration: 0, lanes, statement: 0, touched: FxHashMap::default() }
    }

    /// An iteration of a loop starts; of this one, if it is the variable's.
    pub fn enter(&mut self, var: VarId, value: i64) {
        if var == self.var {
            (self.iteration, self.statement) = (value, 0);
        }
    }

    /// A statement starts.
    pub fn step(&mut self) {
        self.statement += 1;
    }

    /// Notes an access. Gives the iteration that it cannot be together with, where there is one.
    pub fn touch(&mut self, buf: BufId, at: usize, access: Access) -> Result<(), i64> {
        let statement = if access == Access::Read { 0 } else { self.statement };
        let now = Some((access, statement));
        let (iteration, lanes) = (self.iteration, self.lanes);
        let touch = self.touched.entry((buf, at)).or_insert(Touch { iteration, many: false, access: now });
        if touch.iteration == iteration && !touch.many {
            if touch.access != now {
                touch.access = None;
            }
            return Ok(());
        }
        touch.many = true;
        if touch.access == now && (lanes || access == Access::Read) { Ok(()) } else { Err(touch.iteration) }
    }
}
