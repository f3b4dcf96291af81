//! What was handed to the appender of a partition, and what came of it.

use flotilla_state::partition::{Admission, KnownRecord, Outcome, PendingBatches};
use flotilla_types::batch::BatchProducer;
use flotilla_types::{Offset, RaftGroupId, Term};
use tokio::sync::oneshot;

use crate::group::ProposeError;
use crate::partition::{AppendError, Partition};
use crate::type_config::Reply;

/// Where an appended batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub end_offset: Offset,
    /// The batch was appended before, by an earlier attempt.
    pub duplicate: bool,
    pub term: Term,
}

/// What came of a batch whose records have message ids.
pub enum Submitted {
    Accepted(Ticket),
    /// These of its records are stored already. Nothing else happened: leave them out.
    Known(Vec<KnownRecord>),
}

/// An accepted batch whose outcome is still open.
#[must_use = "the batch is acknowledged only by `wait`"]
pub struct Ticket(pub(crate) Accepted);

pub(crate) enum Accepted {
    Settled(Appended),
    Proposed(
        oneshot::Receiver<Result<Appended, AppendError>>,
        RaftGroupId,
    ),
    /// An earlier attempt of the same batch is on its way.
    Following {
        partition: Partition,
        producer: Option<BatchProducer>,
        record_count: u32,
        end_offset: Offset,
        term: Term,
    },
}

/// What the answer to a proposed append says.
pub(crate) fn appended(
    outcome: Result<Reply, ProposeError>,
    term: Term,
) -> Result<Appended, AppendError> {
    match outcome? {
        Reply::Partition(Outcome::Appended {
            base_offset,
            end_offset,
        }) => Ok(Appended {
            base_offset,
            end_offset,
            duplicate: false,
            term,
        }),
        Reply::Partition(Outcome::Duplicate {
            base_offset,
            end_offset,
        }) => Ok(Appended {
            base_offset,
            end_offset,
            duplicate: true,
            term,
        }),
        Reply::Partition(Outcome::Rejected(rejection)) => Err(rejection.into()),
        Reply::Partition(
            Outcome::Trimmed { .. } | Outcome::SegmentClosed | Outcome::Fenced { .. },
        )
        | Reply::Metadata(_)
        | Reply::Coordinator(_)
        | Reply::None => unreachable!("invariant: an append is answered as an append"),
    }
}

impl Ticket {
    /// The outcome, once the batch is stored on a majority.
    pub async fn wait(self) -> Result<Appended, AppendError> {
        match self.0 {
            Accepted::Settled(appended) => Ok(appended),
            Accepted::Proposed(receiver, group) => {
                let stopped = AppendError::Propose(ProposeError::Stopped { group });
                receiver.await.unwrap_or(Err(stopped))
            }
            Accepted::Following {
                partition,
                producer,
                record_count,
                end_offset,
                term,
            } => {
                partition
                    .wait_past(end_offset_before(end_offset), term)
                    .await;
                let nothing_pending = PendingBatches::new();
                let admission = partition
                    .cell()
                    .with_state(|state| state.check(producer, record_count, &nothing_pending));
                match admission {
                    Admission::Duplicate {
                        base_offset,
                        end_offset,
                    } => Ok(Appended {
                        base_offset,
                        end_offset,
                        duplicate: true,
                        term,
                    }),
                    _ => Err(AppendError::Propose(ProposeError::ResultUnknown {
                        group: partition.raft_group(),
                    })),
                }
            }
        }
    }
}

/// The offset that the high watermark passes when it reaches `end_offset`.
fn end_offset_before(end_offset: Offset) -> Offset {
    Offset::new(end_offset.get().saturating_sub(1))
}
