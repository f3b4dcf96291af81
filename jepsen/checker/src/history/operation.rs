//! One thing that a process did.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Action, Nanos, ProcessNumber};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    pub process: ProcessNumber,
    pub client: ClientKind,
    pub invoked_at: Nanos,
    pub action: Action,
}

/// Through which door a process comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// The public client library, over gRPC.
    Native,
    Http,
    /// The protocol of lines.
    Text,
    /// The run itself, which injects faults and reads replicas.
    Harness,
}

/// The place of an operation in its history, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OperationIndex(usize);

/// Why an operation cannot have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationFault {
    #[error("it was completed at {completed_at}, before it was invoked at {invoked_at}")]
    CompletedBeforeInvoked {
        invoked_at: Nanos,
        completed_at: Nanos,
    },
    #[error("{records} records were sent and {places} places answered")]
    PlacesDoNotFit { records: usize, places: usize },
    #[error("a range ends before it starts")]
    RangeReversed,
}

impl Operation {
    /// What makes this operation impossible whatever the broker does, so that the run itself is broken.
    pub fn check(&self) -> Result<(), OperationFault> {
        let completed_at = self
            .action
            .outcome()
            .and_then(|outcome| outcome.completed_at());
        if let Some(completed_at) = completed_at
            && completed_at < self.invoked_at
        {
            return Err(OperationFault::CompletedBeforeInvoked {
                invoked_at: self.invoked_at,
                completed_at,
            });
        }
        match &self.action {
            Action::Produce(call) => {
                let records = call.request.records.len();
                let places = call.outcome.ok().map(|(_, answer)| answer.places.len());
                match places {
                    Some(places) if places != records => {
                        Err(OperationFault::PlacesDoNotFit { records, places })
                    }
                    _ => Ok(()),
                }
            }
            Action::ProcessedRange(range) if range.end < range.start => {
                Err(OperationFault::RangeReversed)
            }
            _ => Ok(()),
        }
    }
}

impl OperationIndex {
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    pub const fn get(self) -> usize {
        self.0
    }
}

impl fmt::Display for OperationIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
