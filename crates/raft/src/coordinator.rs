//! A replica of a coordinator: consumer groups, with their members and committed offsets, and jobs.

use std::sync::Arc;
use std::time::Duration;

use flotilla_state::groups::{CoordinatorCommand, CoordinatorOutcome, CoordinatorState};
use flotilla_types::limits::GROUP_COMMAND_BYTES_MAX;
use flotilla_types::{NodeId, RaftGroupId};
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
        self.group.confirm_leading().await
    }

    /// Proposes a command on the leader and waits until it is applied here.
    pub async fn propose(
        &self,
        command: &CoordinatorCommand,
    ) -> Result<CoordinatorOutcome, ProposeError> {
        let command = command.encode();
        let bytes = command.len();
        if bytes > GROUP_COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes });
        }
        match self.group.propose_and_wait(command.into()).await? {
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

    pub fn progress(&self) -> Vec<ReplicaProgress> {
        self.group.progress()
    }

    /// Hands leadership to another replica; false if it did not get there in time.
    pub async fn transfer_leader(&self, to: NodeId, limit: Duration) -> bool {
        self.group.transfer_leader(to, limit).await
    }

    /// Changes whenever commands have been applied.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.cell.watch_applied_index()
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(crate) fn cell(&self) -> &CoordinatorCell {
        &self.cell
    }
}
