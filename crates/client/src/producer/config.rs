//! How a producer behaves.

use std::time::Duration;

use flotilla_types::{Compression, FencingToken, JobName, limits};

use crate::ClientError;

/// Settings of one [`Producer`](crate::Producer).
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// How long a batch that is not full waits for more records while an earlier batch of its
    /// partition is on its way. With nothing on its way it leaves at once. Default 5 ms.
    pub linger: Duration,
    /// Size from which on a batch is full and does not linger, before compression. While as many
    /// batches of its partition are on their way as may be, it goes on growing, up to twice that
    /// size. A record that fills one travels alone. Bytes, 1 to 8,388,608; default 131,072.
    pub batch_bytes: usize,
    /// Codec of the batches. Default none.
    pub compression: Compression,
    /// Nodes recognise repeated batches, so every failure that may pass is tried again, in order
    /// and without duplicates. Without it, only failures that surely wrote nothing are. Default true.
    pub idempotent: bool,
    /// Records that are not acknowledged yet hold at most this much memory; then `send` waits.
    /// Bytes, from 1, below 4 GiB; default 64 MiB.
    pub buffer_bytes: usize,
    /// Batches of one partition that are on their way at a time, 1 to 5. Without `idempotent` it
    /// is always 1, as order could not be kept otherwise. Default 5.
    pub batches_in_flight_max: usize,
    /// How long a node may take to answer one batch. Default 30 s, at most 120 s.
    pub request_timeout: Duration,
    /// How long a batch is tried, from its first record on. Default 120 s.
    pub delivery_timeout: Duration,
    /// On whose behalf the producer writes. At each partition it fences out the job's earlier owners
    /// before its first batch, and once a later one has done so, everything fails with
    /// `PRODUCER_FENCED`. Needs `idempotent`. Default none.
    pub owner: Option<ProducerOwner>,
}

/// The owner of a job, for whom a producer writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerOwner {
    pub job: JobName,
    pub token: FencingToken,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(5),
            batch_bytes: 128 << 10,
            compression: Compression::None,
            idempotent: true,
            buffer_bytes: 64 << 20,
            batches_in_flight_max: limits::PRODUCER_BATCHES_IN_FLIGHT_MAX,
            request_timeout: Duration::from_millis(limits::PRODUCE_TIMEOUT_MS_DEFAULT.into()),
            delivery_timeout: Duration::from_secs(120),
            owner: None,
        }
    }
}

impl ProducerConfig {
    pub(super) fn validate(&self) -> Result<(), ClientError> {
        let request_timeout_max = Duration::from_millis(limits::PRODUCE_TIMEOUT_MS_MAX.into());
        if !(1..=limits::RECORD_BYTES_MAX).contains(&self.batch_bytes) {
            return Err(ClientError::invalid("batch_bytes must be 1 to 8388608"));
        }
        if !(1..=u32::MAX as usize).contains(&self.buffer_bytes) {
            return Err(ClientError::invalid("buffer_bytes must be 1 to 4294967295"));
        }
        if !(1..=limits::PRODUCER_BATCHES_IN_FLIGHT_MAX).contains(&self.batches_in_flight_max) {
            return Err(ClientError::invalid("batches_in_flight_max must be 1 to 5"));
        }
        if self.request_timeout < Duration::from_millis(1)
            || self.request_timeout > request_timeout_max
        {
            return Err(ClientError::invalid(
                "request_timeout must be 1 ms to 120 s",
            ));
        }
        if self.owner.is_some() && !self.idempotent {
            return Err(ClientError::invalid(
                "a producer that writes for the owner of a job must be idempotent",
            ));
        }
        Ok(())
    }

    pub(super) fn window_size(&self) -> usize {
        if self.idempotent {
            self.batches_in_flight_max
        } else {
            1
        }
    }
}
