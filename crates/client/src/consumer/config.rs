//! How a consumer behaves.

use std::time::Duration;

use flotilla_types::limits;

use crate::ClientError;

/// Settings of one [`Consumer`](crate::Consumer).
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Where to stop. Default: nowhere.
    pub until: Until,
    /// What to do when the position is no longer, or not yet, in the log. Default: fail.
    pub out_of_range: OutOfRange,
    /// Batches that are fetched ahead of `poll`, in bytes as they are stored; each partition may add
    /// one answer to that. Bytes, from 1, below 4 GiB; default 32 MiB.
    pub prefetch_bytes: usize,
    /// Batches in one answer of a node. Bytes, 1 to 8,388,608; default 1 MiB.
    pub fetch_bytes: usize,
    /// How long a partition may be out of reach before `poll` says so. The consumer goes on trying.
    /// Default 30 s.
    pub retry_timeout: Duration,
}

/// Where a consumer stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It waits for new records.
    Forever,
    /// At the high watermark of each partition as it was when the partition was first fetched.
    HighWatermark,
}

/// What to do about a position below the log start or above the high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// `poll` returns the error, and the partition stops.
    Fail,
    /// Go on from the log start.
    Earliest,
    /// Go on from the high watermark.
    Latest,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            until: Until::Forever,
            out_of_range: OutOfRange::Fail,
            prefetch_bytes: 32 << 20,
            fetch_bytes: limits::FETCH_BYTES_DEFAULT,
            retry_timeout: Duration::from_secs(30),
        }
    }
}

impl ConsumerConfig {
    pub(crate) fn validate(&self) -> Result<(), ClientError> {
        if !(1..=u32::MAX as usize).contains(&self.prefetch_bytes) {
            return Err(ClientError::invalid(
                "prefetch_bytes must be 1 to 4294967295",
            ));
        }
        if !(1..=limits::FETCH_BYTES_MAX).contains(&self.fetch_bytes) {
            return Err(ClientError::invalid("fetch_bytes must be 1 to 8388608"));
        }
        Ok(())
    }
}
