//! The record of a run: operations with the times between which they took place, and what they were
//! answered.
//!
//! ```text
//!   Operation ── process, client, invoked_at
//!       └── Action ── Call ── request
//!                       └── Outcome ── ok (when, answer) | failed (when, why) | unknown (when) | open
//! ```
//!
//! The types are their own form on disk: a history has no other purpose than to be kept and judged.

mod action;
mod build;
mod edn;
mod groups;
mod jobs;
mod json_lines;
mod number;
mod operation;
mod outcome;
mod record_value;
mod records;
mod topic_partition;
mod topics;

pub use action::Action;
pub use build::{Draft, Request};
pub use groups::{CommittedOffsetRead, GroupAssigned, GroupRevoked, OffsetCommit, ProcessedRange};
pub use jobs::{JobAcquire, JobAcquired, JobGuard, JobRelease};
pub use json_lines::{HistoryLineFault, HistoryReadError};
pub use number::{
    FencingToken, Generation, Nanos, NodeNumber, Offset, ProcessNumber, ProducerEpoch, ProducerId,
    RecordHash, Sequence,
};
pub use operation::{ClientKind, Operation, OperationFault, OperationIndex};
pub use outcome::{Call, Outcome};
pub use record_value::RecordValue;
pub use records::{
    Assign, AssignedBy, Fetch, Fetched, FinalRead, Place, Produce, Produced, ProducerStamp, Seek,
    SeenRecord, SentRecord, StoredLog, Subscribe, TailRead,
};
pub use topic_partition::TopicPartition;
pub use topics::{CreateTopic, DeleteTopic, ListTopics};

/// What happened in a run. The order of the operations means nothing: their times do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    operations: Vec<Operation>,
}

impl History {
    pub const fn new() -> Self {
        Self {
            operations: Vec::new(),
        }
    }

    pub fn push(&mut self, operation: Operation) -> OperationIndex {
        self.operations.push(operation);
        OperationIndex::new(self.operations.len() - 1)
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations, to be changed: this is how tests of the judges make bad histories of good ones.
    pub fn operations_mut(&mut self) -> &mut Vec<Operation> {
        &mut self.operations
    }

    pub fn get(&self, index: OperationIndex) -> Option<&Operation> {
        self.operations.get(index.get())
    }
}

impl FromIterator<Operation> for History {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        Self {
            operations: operations.into_iter().collect(),
        }
    }
}

impl Extend<Operation> for History {
    fn extend<I: IntoIterator<Item = Operation>>(&mut self, operations: I) {
        self.operations.extend(operations);
    }
}
