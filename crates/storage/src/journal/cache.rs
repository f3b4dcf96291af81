//! The budget of the tail cache: which written payloads leave memory next.
//!
//! Payloads that are not on disk yet are pinned: they enter this list only when they are written. The
//! oldest written leave first, over all groups of the node.

use std::collections::VecDeque;
use std::sync::Arc;

use flotilla_types::LogId;

use super::group::Group;

/// Memory that an entry takes beside its payload.
const ENTRY_OVERHEAD_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct CacheBudget {
    bytes_max: usize,
    bytes: usize,
    written: VecDeque<Run>,
}

/// The entries of one append.
#[derive(Debug)]
struct Run {
    group: Arc<Group>,
    last: LogId,
    bytes: usize,
}

impl CacheBudget {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            written: VecDeque::new(),
        }
    }

    /// Entries up to `last` are on disk; their payloads may leave memory when their turn comes.
    pub(crate) fn add(&mut self, group: &Arc<Group>, last: LogId, (count, bytes): (usize, usize)) {
        let bytes = bytes + count * ENTRY_OVERHEAD_BYTES;
        self.bytes += bytes;
        self.written.push_back(Run {
            group: Arc::clone(group),
            last,
            bytes,
        });
    }

    /// Frees the oldest payloads until the budget holds.
    pub(crate) fn enforce(&mut self) {
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.written.pop_front()
        {
            self.bytes -= oldest.bytes;
            oldest.group.index.lock().evict_to(oldest.last);
        }
    }
}
