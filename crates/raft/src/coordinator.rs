//! A replica of a coordinator: consumer groups, their members and their committed offsets.

use std::sync::Arc;
use std::time::Duration;

use flotilla_state::groups::{CoordinatorState, GroupCommand, GroupOutcome};
use flotilla_types::{NodeId, RaftGroupId};
use openraft::raft::ReadPolicy;
use tokio::sync::watch;

use crate::group::{Group, Leadership, ProposeError, ReplicaProgress};
use crate::machine::CoordinatorCell;
use crate::type_config::Reply;

/// A replica of a coordinator. Clones are handles on the same one.
#[derive(Clone)]
pub struct Coordinator {
    group: Group,
    cell: Arc<CoordinatorCell>,
}

impl Coordinator {
    pub(crate) fn new(group: Group, cell: Arc<CoordinatorCell>) -> Self {
        Self { group, cell }
    }

    pub fn raft_group(&self) -> RaftGroupId {
        self.group.id
    }

    pub fn leadership(&self) -> Leadership {
        self.group.leadership()
    }

    pub fn is_leader(&self) -> bool {
        self.group.leading_term().is_some()
    }

    /// Waits for a leadership that `accept` agrees with; `None` if the group stops.
    pub async fn wait_leadership(
        &self,
        accept: impl Fn(&Leadership) -> bool,
    ) -> Option<Leadership> {
        self.group.wait_leadership(accept).await
    }

    /// Waits until this node, if it leads, has applied everything that earlier leaders committed.
    pub async fn wait_settled(&self) -> Result<(), ProposeError> {
        self.group
            .wait_settled(self.cell.watch_applied_term())
            .await
    }

    /// Waits until a majority confirms that this node leads, and it has applied what was committed
    /// before. Whoever only reads has to ask for it: a leader that is cut off does not notice at once
    /// that there is another one.
    pub async fn wait_confirmed(&self) -> Result<(), ProposeError> {
        self.group.require_leading()?;
        let confirmed = self.group.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        let confirmed = confirmed.await.map(drop);
        confirmed.map_err(|_| ProposeError::Unsettled {
            group: self.group.id,
        })
    }

    /// Proposes a command on the leader and waits until it is applied here.
    pub async fn propose(&self, command: &GroupCommand) -> Result<GroupOutcome, ProposeError> {
        match self.group.propose_and_wait(command.encode().into()).await? {
            Reply::Coordinator(outcome) => Ok(*outcome),
            Reply::Partition(_) | Reply::Metadata(_) | Reply::None => {
                unreachable!("invariant: a coordinator's command is answered by the coordinator")
            }
        }
    }

    /// Looks at the state as this node has applied it. Nothing is applied meanwhile, so it has to be
    /// short.
    pub fn look<T>(&self, at: impl FnOnce(&CoordinatorState) -> T) -> T {
        self.cell.look(at)
    }

    /// Changes whenever commands have been applied.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.cell.watch_applied_index()
    }

    /// How far the followers are, if this node leads.
    pub fn progress(&self) -> Vec<ReplicaProgress> {
        self.group.progress()
    }

    /// Hands leadership to another replica; false if it did not get there in time.
    pub async fn transfer_leader(&self, to: NodeId, limit: Duration) -> bool {
        self.group.transfer_leader(to, limit).await
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(crate) fn cell(&self) -> &CoordinatorCell {
        &self.cell
    }
}
