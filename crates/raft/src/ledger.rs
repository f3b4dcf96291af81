//! What a leader has proposed and not yet heard of: the appender judges producers by the applied state
//! plus what stands here.

use std::sync::Arc;

use flotilla_state::partition::{PartitionState, PendingBatches};
use flotilla_types::RaftGroupId;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::group::ProposeError;
use crate::machine::PartitionCell;
use crate::partition::AppendError;
use crate::ticket::Appended;

/// What was proposed and is not answered yet.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Mutex<LedgerEntries>,
    emptied: Notify,
}

#[derive(Default)]
pub(crate) struct LedgerEntries {
    pub(crate) pending: PendingBatches,
    pub(crate) unanswered: usize,
    /// A proposal came out as anything but appended: those behind it do not fit.
    pub(crate) broken: bool,
}

/// A proposal that the ledger counts. It is settled exactly once: by its outcome, or, if openraft or
/// a caller drops it on the way, as a proposal whose outcome nobody knows.
pub(crate) struct Unanswered {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cell: Arc<PartitionCell>,
    pub(crate) group: RaftGroupId,
    pub(crate) answer: Option<oneshot::Sender<Result<Appended, AppendError>>>,
}

impl Unanswered {
    pub(crate) fn settle(mut self, outcome: Result<Appended, AppendError>) {
        self.answer_with(outcome);
    }

    fn answer_with(&mut self, outcome: Result<Appended, AppendError>) {
        if let Some(answer) = self.answer.take() {
            self.ledger.settle(outcome.is_ok(), &self.cell);
            // Who submitted may have given up; the batch is then stored without an answer.
            let _ = answer.send(outcome);
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let group = self.group;
        self.answer_with(Err(ProposeError::ResultUnknown { group }.into()));
    }
}

impl Ledger {
    fn settle(&self, fitted: bool, cell: &PartitionCell) {
        let applied_end = cell.with_state(PartitionState::next_offset);
        let mut entries = self.entries.lock();
        entries.unanswered -= 1;
        entries.broken |= !fitted;
        entries.pending.settle(applied_end);
        if entries.unanswered == 0 {
            self.emptied.notify_waiters();
        }
    }

    pub(crate) async fn wait_answered(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.entries.lock().unanswered == 0 {
                return;
            }
            emptied.await;
        }
    }
}
