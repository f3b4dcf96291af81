//! Replicas that are to live elsewhere: dropped here once the others have agreed to do without them.
//!
//! Unlike a group that is removed, one that was dropped may come back to this node later, as a new
//! member. Its vote stays, because a replica votes once in a term.
//!
//! What is on its way is stored nowhere. A replica that was stopped and not emptied is complete: it is
//! dropped after a restart, or used again if it is to live here after all.

use std::time::Duration;

use flotilla_types::{NodeId, RaftGroupId};

use super::RaftNode;
use crate::peer::FrameKind;
use crate::standing::Standing;

/// How long a leader may take to answer: others wait for their turn meanwhile.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

impl RaftNode {
    /// Tries to drop this node's replica of a group that lives on `others`. False if it has to be tried
    /// again: the replica may still be needed, or nobody leads at the moment. Until then it may serve.
    ///
    /// Nobody may open the group meanwhile.
    pub async fn drop_replica(&self, id: RaftGroupId, others: &[NodeId]) -> bool {
        if self.storage.is_removed(id) || (!self.has_opened(id) && self.is_empty(id)) {
            return true;
        }
        // As long as it runs, the replica votes and acknowledges. Whoever needs it for that shall have
        // it.
        let runs = self.has_opened(id) && !self.is_parked(id);
        if runs && !self.may_leave(id, others).await {
            return false;
        }
        let _turn = self.emptying.lock().await;
        // A rebuild that is under way ends with this.
        self.parked.set(id, None);
        self.withdraw(id).await;
        if !self.may_leave(id, others).await {
            return false;
        }
        let emptied = async {
            self.empty(id).await?;
            self.note_stage(id, None).await
        };
        match emptied.await {
            Ok(()) => {
                tracing::info!(group = %id, "dropped a replica that lives elsewhere now");
                true
            }
            Err(error) => {
                tracing::warn!(group = %id, %error, "cannot drop a replica that lives elsewhere now");
                false
            }
        }
    }

    /// Whether the committed membership does without this node.
    async fn may_leave(&self, id: RaftGroupId, others: &[NodeId]) -> bool {
        let question = (FrameKind::Expel, ANSWER_LIMIT);
        self.ask_others(id, others, question).await == Some(Standing::Settled)
    }

    /// Whether there is no entry of a group. One with entries that cannot be read is not empty.
    pub(super) fn is_empty(&self, id: RaftGroupId) -> bool {
        self.storage.group(id).is_ok_and(|log| {
            let bounds = log.bounds();
            bounds.last.is_none() && bounds.last_purged.is_none()
        })
    }
}
