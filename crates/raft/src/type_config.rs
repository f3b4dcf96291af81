//! openraft, told which types to use. No other crate names any of these.

use std::fmt;
use std::io::Cursor;

use bytes::Bytes;
use flotilla_state::{groups, metadata, partition};
use openraft::impls::{BoxedErrorSource, InlineBatch};
use openraft::raft::responder::Responder;
use openraft::{EntryPayload, RaftTypeConfig};
use openraft_rt_tokio::TokioRuntime;

/// Our instance of openraft: terms of the *standard* kind, in which a term has one leader, so that
/// the term can serve as the leader epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

pub(crate) type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
pub(crate) type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type RaftLogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Payload = EntryPayload<Command, u64, ()>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type Membership = openraft::Membership<u64, ()>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, ()>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, ()>;
pub(crate) type SnapshotData = Cursor<Bytes>;
pub(crate) type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, (), SnapshotData>;
pub(crate) type Raft = openraft::Raft<TypeConfig, crate::machine::StateMachine>;

impl RaftTypeConfig for TypeConfig {
    type D = Command;
    type R = Reply;
    type NodeId = u64;
    type Node = ();
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = TokioRuntime;
    type Responder<T>
        = Callback<T>
    where
        T: Send + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// An encoded command of a state machine, as the log stores it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Command(pub(crate) Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a state machine answers to an applied entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// Blank and membership entries have no outcome.
    None,
    Partition(partition::Outcome),
    Metadata(Box<metadata::MetadataOutcome>),
    Coordinator(Box<groups::CoordinatorOutcome>),
}

/// Runs once, on the task that knows the outcome: so the appender's book-keeping never depends on
/// whether a caller is still waiting.
pub(crate) struct Callback<T>(pub(crate) Box<dyn FnOnce(T) + Send>);

impl<T: Send + 'static> Responder<TypeConfig, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}
