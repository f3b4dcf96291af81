//! What a run lacked.

use serde::Serialize;

use crate::history::TopicPartition;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Unmet {
    #[error("the fault {0:?} was never injected")]
    Fault(String),
    #[error("no record was acknowledged")]
    AcknowledgedRecord,
    #[error("no change ended with an unknown outcome")]
    UnknownOutcome,
    #[error("no consumer was given a record")]
    Read,
    #[error("records were acknowledged in {0}, and nobody ever read there")]
    NeverRead(TopicPartition),
    #[error("{partition} was read whole from {replicas} replicas, not from {demanded}")]
    FinalReads {
        partition: TopicPartition,
        replicas: usize,
        demanded: usize,
    },
    #[error("the faults were never taken back")]
    NotHealed,
    #[error("nobody sent to {0} in time after the faults were taken back")]
    NoProduceAfterHealing(TopicPartition),
    #[error("nobody read from {0} in time after the faults were taken back")]
    NoReadAfterHealing(TopicPartition),
    #[error("operation {operation} cannot have been: {fault}")]
    BrokenOperation { operation: usize, fault: String },
}
