//! What a process does with memory that it has just freed.

use std::hint::black_box;

/// Once glibc has seen a block of this size freed, it keeps the memory of others up to that size, and gives
/// back only what lies free at the end of an arena beyond twice as much. 32 MiB is the most that it learns.
/// The largest answer to a fetch is of this size.
const LARGEST_KEPT_BYTES: usize = 8 << 20;

/// Lets the process keep the memory of large buffers for the next ones, instead of giving it back to the
/// system each time: a page that comes anew costs as much as copying it many times. To be called once,
/// when a process starts that moves many bytes. What it freed and does not use stays with it: 16 MiB at the
/// end of each arena, and what lies below blocks that live on.
///
/// It is for glibc, which learns from the blocks that are freed (`mallopt(3)`, `M_MMAP_THRESHOLD`), and does
/// nothing elsewhere.
pub fn keep_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(LARGEST_KEPT_BYTES)));
}
