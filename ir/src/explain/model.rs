//! What an explanation is made of.

use crate::diag::Span;

macro_rules! data {
    ($($item:item)+) => {$(
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        $item
    )+};
}

data! {
/// All that there is to be said about a program.
pub struct Explanation {
    /// Its name.
    pub program: String,
    /// Run-time sizes with their ranges.
    pub sizes: Vec<Size>,
    /// The graph as it was written and after every pass, the regions, the plan.
    pub stages: Vec<Stage>,
    /// The graph as it was written, in the order of its text.
    pub before: Vec<Node>,
    /// The graph that was divided into regions, in the order of its text.
    pub nodes: Vec<Node>,
    /// The regions, in the order in which they run.
    pub regions: Vec<Region>,
    /// The kernels.
    pub kernels: Vec<KernelNote>,
    /// The launches, in order.
    pub launches: Vec<Launch>,
    /// What was not fused, the most costly first.
    pub refusals: Vec<Refused>,
    /// What is computed again instead of being kept, by every reader or by late ones, that which saves most first.
    pub recomputed: Vec<Again>,
    /// What becomes of every value that is kept.
    pub updates: Vec<Update>,
    /// Memory over a run.
    pub memory: Timeline,
    /// Wall time of fusion, lowering and planning.
    pub lowering_seconds: f64,
}

/// A run-time size.
pub struct Size {
    /// Its name.
    pub name: String,
    /// The least value.
    pub least: i64,
    /// The greatest value.
    pub greatest: i64,
}

/// A stage of the pipeline.
pub struct Stage {
    /// The pass, or what it is: `graph`, `regions`, `plan`.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Whether it changed anything; otherwise there is no text.
    pub changed: bool,
    /// Nodes of the graph after it.
    pub nodes: usize,
    /// Wall time.
    pub seconds: f64,
    /// Its text.
    pub text: String,
}

/// A place in a source file.
pub struct Source {
    /// The file as the compiler or the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// The line itself, where somebody has read it.
    pub text: Option<String>,
}

/// A node of the graph.
pub struct Node {
    /// The values it gives, as the text of the graph names them.
    pub value: String,
    /// The op; of an input its kind.
    pub op: String,
    /// The types of its results.
    pub ty: String,
    /// Positions of the nodes that it reads.
    pub operands: Vec<usize>,
    /// The outputs and updates that it is.
    pub gives: Vec<String>,
    /// Bytes of its results.
    pub bytes: u64,
    /// Arithmetic operations.
    pub operations: u64,
    /// Where the user wrote it.
    pub source: Option<Source>,
    /// The region that computes it; `None` for inputs and for what every reader computes for itself.
    pub region: Option<usize>,
    /// Whether an output or an update needs it.
    pub live: bool,
}

/// A value that a region reads or stores.
pub struct Value {
    /// Its name in the text of the graph.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// Its bytes.
    pub bytes: u64,
    /// Position of its node.
    pub node: usize,
}

/// A region: nodes that are one kernel, with the kernels that finish its sums over rows.
pub struct Region {
    /// The name of its first kernel, by which schedules go.
    pub name: String,
    /// How it loops.
    pub loops: String,
    /// Positions of its nodes.
    pub nodes: Vec<usize>,
    /// Positions of the nodes that it computes for itself.
    pub again: Vec<usize>,
    /// What it reads from memory.
    pub reads: Vec<Value>,
    /// What it stores.
    pub stores: Vec<Value>,
    /// Its launches.
    pub launches: Vec<usize>,
    /// The lines of the user that it computes.
    pub sources: Vec<Source>,
}

/// What is computed, and in which code.
pub struct KernelNote {
    /// Its name.
    pub name: String,
    /// What was decided for it; see [`crate::lower::schedule`].
    pub schedule: String,
    /// Whether it was made by hand.
    pub by_hand: bool,
    /// How far it runs in vectors, and what does not.
    pub vectors: Vectors,
    /// How its iterations go to threads.
    pub parallel: String,
    /// Iterations of its parallel loop, 1 where there is none.
    pub iterations: u64,
    /// Bytes of its local arrays on the stack, for one thread.
    pub local_bytes: u64,
    /// Kept values that it overwrites.
    pub in_place: Vec<String>,
    /// Its loops as text.
    pub nest: String,
    /// Its launches.
    pub launches: Vec<usize>,
    /// Machine code, where it was compiled.
    pub code: Option<Code>,
}

/// Machine code of a kernel.
pub struct Code {
    /// The instruction set.
    pub isa: String,
    /// LLVM IR as emitted.
    pub ir: String,
    /// LLVM IR after its passes.
    pub optimised: String,
    /// Assembly.
    pub assembly: String,
    /// Wall time of making it.
    pub seconds: f64,
}

/// How far a kernel runs in vectors.
pub struct Vectors {
    /// The most lanes of a loop; 1 where there is no vector loop.
    pub lanes: u32,
    /// The share of operations and memory accesses that are in vector loops, 0 to 1.
    pub share: f64,
    /// What is not, with its share, the largest first.
    pub rest: Vec<Scalar>,
}

/// Work outside vector loops.
pub struct Scalar {
    /// Where it stands and why it stays scalar.
    pub why: String,
    /// Its share of the kernel's operations and memory accesses, 0 to 1.
    pub share: f64,
}

/// A launch, at the greatest sizes.
pub struct Launch {
    /// Position of its kernel.
    pub kernel: usize,
    /// Its region; `None` for a copy.
    pub region: Option<usize>,
    /// How often it runs, at most: in loops more than once.
    pub times: u64,
    /// Bytes when every buffer goes through memory once: the least there can be.
    pub bytes: u64,
    /// Arithmetic operations, each counted as one.
    pub operations: u64,
    /// Its buffers.
    pub buffers: Vec<Access>,
}

/// A buffer of a launch.
pub struct Access {
    /// Position in the plan.
    pub buffer: usize,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it is read.
    pub reads: bool,
    /// Whether it is written.
    pub writes: bool,
    /// Bytes read at positions that data decide, every one counted: what it costs where no cache helps.
    pub scattered: u64,
}

/// Two regions that are not one.
pub struct Refused {
    /// Position of the node that asked.
    pub node: usize,
    /// Its region.
    pub region: usize,
    /// The other region.
    pub other: usize,
    /// Why not.
    pub why: String,
    /// Whether it reads what the other stores; otherwise both read the same.
    pub stored: bool,
    /// The values that both have.
    pub values: Vec<Value>,
    /// What fusing them would save in a run: values read once more, and stored where nobody else needs them.
    pub bytes: u64,
}

/// A value that every reader computes for itself.
pub struct Again {
    /// Position of its node.
    pub node: usize,
    /// Why that is cheaper.
    pub why: String,
    /// The regions that compute it.
    pub regions: Vec<usize>,
    /// What it saves: in a run, writing it once and reading it in each of them; of what is written a second time, the
    /// memory that the first would hold until then.
    pub bytes: u64,
}

/// What becomes of a value that is kept.
pub struct Update {
    /// Its name.
    pub name: String,
    /// Whether it is overwritten where it lies.
    pub in_place: bool,
    /// Why not.
    pub why: String,
    /// What copying it costs in a run.
    pub bytes: u64,
}

/// Memory over a run.
pub struct Timeline {
    /// Bytes of the arena.
    pub arena: u64,
    /// The most bytes that live in it at a time: what it could be at best.
    pub most_alive: u64,
    /// Bytes alive in it during each launch.
    pub alive: Vec<u64>,
    /// Every buffer.
    pub buffers: Vec<Lived>,
    /// Bytes by kind: parameters, state, data, outputs.
    pub kinds: Vec<(String, u64)>,
}

/// A buffer and its life.
pub struct Lived {
    /// Its name.
    pub name: String,
    /// What it is: an input's kind, `output`, `pattern`, `temporary`.
    pub kind: String,
    /// Its type and sizes.
    pub ty: String,
    /// Bytes.
    pub bytes: u64,
    /// Where it lies in the arena.
    pub offset: Option<u64>,
    /// The first launch that uses it.
    pub from: usize,
    /// The last one.
    pub to: usize,
    /// Position of the node whose value it holds.
    pub node: Option<usize>,
}
}

impl From<&Span> for Source {
    fn from(s: &Span) -> Source {
        Source { file: s.file.to_string(), line: s.line, column: s.column, text: None }
    }
}
