//! Watches the free space of the data directory, so that producers are refused while there is still
//! room for votes, for replication that is under way and for retention, which makes room again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The last look at the disk, and what follows from it.
#[derive(Debug)]
pub(crate) struct Space {
    reserve_bytes: u64,
    free_bytes: AtomicU64,
    accepts_writes: AtomicBool,
}

impl Space {
    pub(crate) const fn new(reserve_bytes: u64, free_bytes: u64) -> Self {
        Self {
            reserve_bytes,
            free_bytes: AtomicU64::new(free_bytes),
            accepts_writes: AtomicBool::new(free_bytes >= reserve_bytes),
        }
    }

    pub(crate) fn accepts_writes(&self) -> bool {
        self.accepts_writes.load(Ordering::Relaxed)
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// Takes note of a new look. Writes come back only a quarter above the reserve, so that a disk
    /// at its limit does not flip with each segment.
    pub(crate) fn observe(&self, free_bytes: u64) {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        let comfortable = self.reserve_bytes.saturating_add(self.reserve_bytes / 4);
        let accepts = if self.accepts_writes() {
            free_bytes >= self.reserve_bytes
        } else {
            free_bytes >= comfortable
        };
        if self.accepts_writes.swap(accepts, Ordering::Relaxed) != accepts {
            let reserve_bytes = self.reserve_bytes;
            if accepts {
                tracing::info!(free_bytes, reserve_bytes, "the disk has room again");
            } else {
                tracing::error!(
                    free_bytes,
                    reserve_bytes,
                    "the disk is almost full, writes are refused"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_stop_at_the_reserve_and_come_back_a_quarter_above_it() {
        let space = Space::new(100, 1_000);
        for (free, accepts) in [
            (100, true),
            (99, false),
            (124, false),
            (125, true),
            (101, true),
        ] {
            space.observe(free);
            assert_eq!(space.accepts_writes(), accepts, "{free} bytes free");
        }
    }

    #[test]
    fn a_full_disk_is_refused_from_the_start() {
        assert!(!Space::new(100, 99).accepts_writes());
    }
}
