//! The metadata group's replica on this node.

use std::sync::Arc;
use std::time::Duration;

use flotilla_state::metadata::{MetadataCommand, MetadataOutcome, MetadataState};
use flotilla_types::NodeId;
use tokio::sync::watch;

use crate::group::{Group, Leadership, ProposeError};
use crate::machine::MetadataCell;
use crate::type_config::Reply;

/// A replica of the metadata. Clones are handles on the same one.
#[derive(Clone)]
pub struct Metadata {
    group: Group,
    cell: Arc<MetadataCell>,
}

impl Metadata {
    pub(crate) fn new(group: Group, cell: Arc<MetadataCell>) -> Self {
        Self { group, cell }
    }

    /// The metadata as this node has applied it, and every change of it.
    pub fn watch(&self) -> watch::Receiver<Arc<MetadataState>> {
        self.cell.watch()
    }

    pub fn leadership(&self) -> Leadership {
        self.group.leadership()
    }

    /// Waits for a leadership that `accept` agrees with; `None` if the group stops.
    pub async fn wait_leadership(
        &self,
        accept: impl Fn(&Leadership) -> bool,
    ) -> Option<Leadership> {
        self.group.wait_leadership(accept).await
    }

    /// Waits until this node, if it leads, has applied everything that earlier leaders committed.
    /// Before that its metadata may be as old as its last image.
    pub async fn wait_settled(&self) -> Result<(), ProposeError> {
        self.group
            .wait_settled(self.cell.watch_applied_term())
            .await
    }

    /// Proposes a command on the leader and waits until it is applied here.
    pub async fn propose(
        &self,
        command: &MetadataCommand,
    ) -> Result<MetadataOutcome, ProposeError> {
        match self.group.propose_and_wait(command.encode().into()).await? {
            Reply::Metadata(outcome) => Ok(*outcome),
            Reply::Partition(_) | Reply::Coordinator(_) | Reply::None => {
                unreachable!("invariant: a metadata command is answered by the metadata")
            }
        }
    }

    /// Hands leadership to another replica; false if it did not get there in time.
    pub async fn transfer_leader(&self, to: NodeId, limit: Duration) -> bool {
        self.group.transfer_leader(to, limit).await
    }

    pub fn voters(&self) -> Vec<NodeId> {
        self.group.voters()
    }

    /// Those who still vote when a change of who votes is over.
    pub fn lasting_voters(&self) -> Vec<NodeId> {
        let membership = self.group.effective_membership();
        let last = membership.get_joint_config().last();
        let voters = last.into_iter().flatten();
        voters.map(|id| NodeId::new(*id)).collect()
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(crate) fn cell(&self) -> &MetadataCell {
        &self.cell
    }
}
