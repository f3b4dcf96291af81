//! What fetchers hand to their consumer.

use std::collections::VecDeque;

use flotilla_types::{Offset, RecordBatch};
use tokio::sync::OwnedSemaphorePermit;

use crate::{ClientError, PartitionName};

/// Increases with each assignment and seek: what an older one has fetched is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Assignment(pub(super) u64);

pub(super) struct Fetched {
    pub(super) source: PartitionName,
    pub(super) assignment: Assignment,
    pub(super) event: Event,
}

pub(super) enum Event {
    /// The start stands for this offset.
    Located(Offset),
    Batches(Batches),
    /// Trouble that lasts. The fetcher goes on.
    Trouble(ClientError),
    /// The fetcher has ended: at its bound, or with an error that does not pass.
    End(Option<ClientError>),
}

/// Some batches of one answer, with sound checksums.
pub(super) struct Batches {
    pub(super) batches: VecDeque<RecordBatch>,
    /// Records below are not asked for.
    pub(super) start: Offset,
    /// Records from here on are not asked for.
    pub(super) end: Option<Offset>,
    /// The part of the prefetch budget that they occupy.
    pub(super) _room: OwnedSemaphorePermit,
}
