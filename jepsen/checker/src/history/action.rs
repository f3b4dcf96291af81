//! Everything that can stand in a history.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Assign, Call, CommittedOffsetRead, CreateTopic, DeleteTopic, Fetch, Fetched, FinalRead,
    GroupAssigned, GroupRevoked, JobAcquire, JobAcquired, JobRelease, ListTopics, Offset,
    OffsetCommit, Outcome, ProcessedRange, Produce, Produced, Seek, StoredLog, Subscribe, TailRead,
};

/// What was done. Calls take time and have an outcome; events just happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Produce(Call<Produce, Produced>),
    Assign(Call<Assign, ()>),
    Subscribe(Call<Subscribe, ()>),
    Seek(Call<Seek, ()>),
    Fetch(Call<Fetch, Fetched>),
    TailRead(Call<TailRead, Offset>),
    FinalRead(Call<FinalRead, StoredLog>),
    OffsetCommit(Call<OffsetCommit, ()>),
    CommittedOffsetRead(Call<CommittedOffsetRead, Option<Offset>>),
    JobAcquire(Call<JobAcquire, JobAcquired>),
    JobRelease(Call<JobRelease, ()>),
    CreateTopic(Call<CreateTopic, ()>),
    DeleteTopic(Call<DeleteTopic, ()>),
    ListTopics(Call<ListTopics, BTreeSet<String>>),
    /// Event: a member was granted partitions.
    GroupAssigned(GroupAssigned),
    /// Event: a member lost partitions.
    GroupRevoked(GroupRevoked),
    /// Event: a member is done with records.
    ProcessedRange(ProcessedRange),
    /// Event: the client was thrown away, with its positions, and a fresh one takes its place.
    Crash,
    /// Event: a fault was injected. The name is the harness's own, such as `leader-killed`.
    Fault {
        name: String,
    },
    /// Event: all faults were taken back.
    Healed,
}

impl Action {
    /// How the call ended, without its answer; `None` for an event.
    pub fn outcome(&self) -> Option<Outcome<()>> {
        let outcome = match self {
            Self::Produce(call) => call.outcome.kind(),
            Self::Fetch(call) => call.outcome.kind(),
            Self::TailRead(call) => call.outcome.kind(),
            Self::FinalRead(call) => call.outcome.kind(),
            Self::CommittedOffsetRead(call) => call.outcome.kind(),
            Self::JobAcquire(call) => call.outcome.kind(),
            Self::ListTopics(call) => call.outcome.kind(),
            Self::Assign(call) => call.outcome.clone(),
            Self::Subscribe(call) => call.outcome.clone(),
            Self::Seek(call) => call.outcome.clone(),
            Self::OffsetCommit(call) => call.outcome.clone(),
            Self::JobRelease(call) => call.outcome.clone(),
            Self::CreateTopic(call) => call.outcome.clone(),
            Self::DeleteTopic(call) => call.outcome.clone(),
            Self::GroupAssigned(_)
            | Self::GroupRevoked(_)
            | Self::ProcessedRange(_)
            | Self::Crash
            | Self::Fault { .. }
            | Self::Healed => return None,
        };
        Some(outcome)
    }
}
