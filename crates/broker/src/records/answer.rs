//! How a produce request ended.

use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Appended;
use flotilla_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex};

/// Where a batch is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) base_offset: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    /// By an earlier request.
    pub(crate) duplicate: bool,
    /// Where each record is. Empty unless one of them had a message id.
    pub(crate) records: Vec<RecordPlace>,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    pub(crate) offset: Offset,
    /// It was there before.
    pub(crate) duplicate: bool,
}

impl From<Appended> for Stored {
    fn from(appended: Appended) -> Self {
        Self {
            base_offset: appended.base_offset,
            end_offset: appended.end_offset,
            leader_epoch: appended.term.to_leader_epoch(),
            duplicate: appended.duplicate,
            records: Vec::new(),
        }
    }
}

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored(Stored),
    /// Surely not stored, and another attempt may find a leader that takes it.
    Elsewhere(ApiError),
    Failed(ApiError),
}

impl Outcome {
    /// Whether the log may hold the batch. Then nothing that was sent before it may be tried again:
    /// it would come behind.
    pub(crate) fn may_be_stored(&self) -> bool {
        match self {
            Self::Stored(_) => true,
            Self::Elsewhere(_) => false,
            Self::Failed(error) => !error.code.is_definite(),
        }
    }

    /// What another node answered.
    pub(crate) fn read(response: v1::ProduceResponse) -> Self {
        let Some(error) = response.error else {
            return Self::Stored(Stored {
                base_offset: Offset::new(response.base_offset),
                end_offset: Offset::new(response.end_offset),
                leader_epoch: LeaderEpoch::new(response.leader_epoch),
                duplicate: response.duplicate,
                records: response
                    .records
                    .into_iter()
                    .map(RecordPlace::read)
                    .collect(),
            });
        };
        let error = ApiError::from(error);
        match error.code {
            ErrorCode::NotLeader | ErrorCode::LeaderNotAvailable | ErrorCode::ShuttingDown => {
                Self::Elsewhere(error)
            }
            _ => Self::Failed(error),
        }
    }

    pub(crate) fn into_result(self) -> Result<Stored, ApiError> {
        match self {
            Self::Stored(stored) => Ok(stored),
            Self::Elsewhere(error) | Self::Failed(error) => Err(error),
        }
    }
}

/// What the client is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) correlation_id: u64,
    /// Unless none was chosen.
    pub(crate) partition: Option<PartitionIndex>,
    pub(crate) result: Result<Stored, ApiError>,
}

impl Answer {
    /// As a stream sends it.
    pub(crate) fn into_message(self) -> v1::ProduceResponse {
        let partition = self.partition.map_or(0, PartitionIndex::get);
        match self.result {
            Ok(stored) => stored_message(self.correlation_id, partition, stored),
            Err(error) => v1::ProduceResponse {
                correlation_id: self.correlation_id,
                partition,
                error: Some(error.into()),
                ..v1::ProduceResponse::default()
            },
        }
    }

    /// As a call of its own ends.
    pub(crate) fn into_response(self) -> Result<v1::ProduceResponse, ApiError> {
        let partition = self.partition.map_or(0, PartitionIndex::get);
        let stored = self.result?;
        Ok(stored_message(self.correlation_id, partition, stored))
    }
}

impl RecordPlace {
    fn read(message: v1::RecordPlace) -> Self {
        Self {
            offset: Offset::new(message.offset),
            duplicate: message.duplicate,
        }
    }

    fn into_message(self) -> v1::RecordPlace {
        v1::RecordPlace {
            offset: self.offset.get(),
            duplicate: self.duplicate,
        }
    }
}

fn stored_message(correlation_id: u64, partition: u32, stored: Stored) -> v1::ProduceResponse {
    let records = stored.records.into_iter();
    v1::ProduceResponse {
        correlation_id,
        partition,
        base_offset: stored.base_offset.get(),
        end_offset: stored.end_offset.get(),
        leader_epoch: stored.leader_epoch.get(),
        duplicate: stored.duplicate,
        error: None,
        records: records.map(RecordPlace::into_message).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let place = |offset, duplicate| RecordPlace {
            offset: Offset::new(offset),
            duplicate,
        };
        Stored {
            base_offset: Offset::new(5),
            end_offset: Offset::new(6),
            leader_epoch: LeaderEpoch::new(2),
            duplicate: true,
            records: vec![place(3, true), place(5, false)],
        }
    }

    fn answer(result: Result<Stored, ApiError>) -> Answer {
        Answer {
            correlation_id: 9,
            partition: Some(PartitionIndex::new(3)),
            result,
        }
    }

    #[test]
    fn another_node_reads_what_this_one_answers() {
        let message = answer(Ok(stored())).into_message();
        assert_eq!((message.correlation_id, message.partition), (9, 3));
        assert_eq!(Outcome::read(message), Outcome::Stored(stored()));
        for code in ErrorCode::ALL {
            let error = ApiError::new(*code, "no");
            let outcome = Outcome::read(answer(Err(error.clone())).into_message());
            assert_eq!(outcome.into_result(), Err(error));
        }
    }

    #[test]
    fn only_definite_failures_are_tried_elsewhere() {
        for code in ErrorCode::ALL {
            let error = ApiError::new(*code, "no");
            let outcome = Outcome::read(answer(Err(error)).into_message());
            if matches!(outcome, Outcome::Elsewhere(_)) {
                assert!(code.is_definite() && code.is_retryable());
            }
            assert_eq!(outcome.may_be_stored(), !code.is_definite());
        }
        assert!(Outcome::Stored(stored()).may_be_stored());
    }
}
