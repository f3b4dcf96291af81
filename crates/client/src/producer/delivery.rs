//! The promise that a record's fate becomes known.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use flotilla_types::{Offset, PartitionIndex};
use futures::FutureExt;
use futures::future::Shared;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::ClientError;

/// Where a whole batch went, or why it went nowhere.
type BatchOutcome = Result<Offset, ClientError>;
type SharedOutcome = Shared<oneshot::Receiver<BatchOutcome>>;

/// Resolves when the record is on disk on a majority of its replicas, or when it has failed for
/// good. It may be dropped: the record is sent all the same.
#[must_use = "a delivery says whether the record was stored; drop it on purpose or use flush()"]
pub struct Delivery {
    partition: PartitionIndex,
    /// In its batch.
    position: u32,
    outcome: SharedOutcome,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub partition: PartitionIndex,
    pub offset: Offset,
}

impl Future for Delivery {
    type Output = Result<Delivered, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match self.outcome.poll_unpin(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(outcome)) => outcome,
            Poll::Ready(Err(_)) => Err(ClientError::Closed {
                what: "producer",
                definite: false,
            }),
        };
        Poll::Ready(outcome.map(|base_offset| Delivered {
            partition: self.partition,
            offset: base_offset.advance(self.position.into()),
        }))
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("partition", &self.partition)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The other end: one for all records of a batch. Dropped unsettled, it says that the producer was
/// closed.
pub(super) struct Promise {
    sender: oneshot::Sender<BatchOutcome>,
    outcome: SharedOutcome,
}

impl Promise {
    pub(super) fn new() -> Self {
        let (sender, receiver) = oneshot::channel();
        Self {
            sender,
            outcome: receiver.shared(),
        }
    }

    /// What the sender of the record at `position` gets.
    pub(super) fn delivery(&self, partition: PartitionIndex, position: u32) -> Delivery {
        Delivery {
            partition,
            position,
            outcome: self.outcome.clone(),
        }
    }

    pub(super) fn settle(self, outcome: BatchOutcome) {
        drop(self.outcome);
        // It fails when nobody wants to know.
        let _ = self.sender.send(outcome);
    }
}

/// The first failure since somebody asked.
#[derive(Debug, Default)]
pub(super) struct FirstFailure(Mutex<Option<ClientError>>);

impl FirstFailure {
    pub(super) fn note(&self, error: &ClientError) {
        self.0.lock().get_or_insert_with(|| error.clone());
    }

    pub(super) fn take(&self) -> Option<ClientError> {
        self.0.lock().take()
    }
}
