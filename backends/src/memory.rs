//! Memory that a session owns: aligned, zero at first, taken from the system without being touched.

use latentc_ir::array::{ALIGN, Element};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Blocks of this size and more are mapped for themselves and advised to use huge pages.
const MAPPED: usize = 1 << 20;
const HUGE_PAGE: usize = 2 << 20;

/// The system gave no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory {
    /// How many bytes were asked for.
    pub bytes: usize,
}

/// A block of bytes, aligned to a cache line, to a huge page where it is large.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    capacity: usize,
    /// What to give back: start and length of the mapping around it.
    mapping: Option<(NonNull<u8>, usize)>,
}

// SAFETY: a block is plain memory with one owner.
unsafe impl Send for Block {}
// SAFETY: shared access only reads.
unsafe impl Sync for Block {}

impl Block {
    /// A block without memory.
    pub fn empty() -> Block {
        let start = NonNull::<Line>::dangling().cast();
        Block { start, capacity: 0, mapping: None }
    }

    /// A block of zeros.
    pub fn zeros(bytes: usize) -> Result<Block, NoMemory> {
        if bytes == 0 {
            return Ok(Block::empty());
        }
        if bytes >= MAPPED {
            return map(bytes);
        }
        let layout = layout(bytes).ok_or(NoMemory { bytes })?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(NoMemory { bytes })?;
        Ok(Block { start, capacity: bytes, mapping: None })
    }

    /// Makes room for this many bytes; what was in it is lost where it grows.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), NoMemory> {
        if bytes > self.capacity {
            *self = Block::zeros(bytes)?;
        }
        Ok(())
    }

    /// Bytes it holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where it begins.
    pub fn pointer(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The first `len` elements.
    ///
    /// # Panics
    /// Where the block is smaller: a fault of this crate.
    pub fn slice<T: Element>(&self, len: usize) -> &[T] {
        assert!(len * size_of::<T>() <= self.capacity);
        // SAFETY: initialised at allocation, aligned for any element, long enough; any bits are a `T`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), len) }
    }

    /// The first `len` elements, to be written.
    ///
    /// # Panics
    /// Where the block is smaller: a fault of this crate.
    pub fn slice_mut<T: Element>(&mut self, len: usize) -> &mut [T] {
        assert!(len * size_of::<T>() <= self.capacity);
        // SAFETY: as in `slice`, and borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), len) }
    }
}

#[repr(align(64))]
struct Line;

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, ALIGN).ok()
}

#[cfg(unix)]
fn map(bytes: usize) -> Result<Block, NoMemory> {
    let length = bytes.checked_add(HUGE_PAGE).ok_or(NoMemory { bytes })?;
    // SAFETY: a fresh anonymous mapping at a place of the system's choice.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(NoMemory { bytes });
    }
    let mapping = NonNull::new(at.cast::<u8>()).ok_or(NoMemory { bytes })?;
    let skip = mapping.align_offset(HUGE_PAGE);
    // SAFETY: `skip` is below the huge page that was added to the length.
    let start = unsafe { mapping.add(skip) };
    #[cfg(target_os = "linux")]
    // SAFETY: advice on our own mapping; a refusal changes nothing.
    unsafe {
        libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
    }
    Ok(Block { start, capacity: bytes, mapping: Some((mapping, length)) })
}

#[cfg(not(unix))]
fn map(bytes: usize) -> Result<Block, NoMemory> {
    let layout = layout(bytes).ok_or(NoMemory { bytes })?;
    // SAFETY: the size is not zero.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(NoMemory { bytes })?;
    Ok(Block { start, capacity: bytes, mapping: None })
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.capacity == 0 {
            return;
        }
        match self.mapping {
            #[cfg(unix)]
            // SAFETY: the mapping is ours and nothing refers to it any more.
            Some((at, length)) => unsafe {
                libc::munmap(at.as_ptr().cast(), length);
            },
            _ => {
                if let Some(layout) = layout(self.capacity) {
                    // SAFETY: allocated with this layout.
                    unsafe { dealloc(self.start.as_ptr(), layout) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_blocks_are_aligned_zero_and_writable() {
        for bytes in [0, 1, 64, 1000, MAPPED - 1, MAPPED, 3 * HUGE_PAGE + 5] {
            let mut b = Block::zeros(bytes).unwrap();
            assert_eq!(b.pointer() as usize % ALIGN, 0);
            if bytes >= MAPPED {
                assert_eq!(b.pointer() as usize % HUGE_PAGE, 0);
            }
            assert!(b.slice::<u8>(bytes).iter().all(|x| *x == 0));
            b.slice_mut::<u8>(bytes).fill(7);
            assert!(b.slice::<u8>(bytes).iter().all(|x| *x == 7));
        }
    }

    #[test]
    fn a_block_grows_only_when_it_must() {
        let mut b = Block::zeros(100).unwrap();
        let at = b.pointer();
        b.reserve(50).unwrap();
        assert_eq!(b.pointer(), at);
        b.reserve(MAPPED).unwrap();
        assert_eq!(b.capacity(), MAPPED);
        assert_eq!(b.reserve(usize::MAX), Err(NoMemory { bytes: usize::MAX }));
        assert_eq!(b.capacity(), MAPPED);
    }
}
