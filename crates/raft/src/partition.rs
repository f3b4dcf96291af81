//! A partition's replica on this node: the leader appends to it, everyone reads from it.
//!
//! The appender is a lock, not a task. Whoever holds it hands out base offsets and proposes in that
//! order, in one leadership. What was proposed and is not applied yet is kept beside the applied
//! state, so that producers are judged as apply will judge them.
//!
//! Invariant: in one leadership, batches enter the log in the order of their base offsets. If one
//! of them is refused, those behind it no longer fit, and apply makes them no-ops; the appender then
//! waits until all are answered and starts again from the applied state.

use std::sync::Arc;

use flotilla_state::partition::{
    Admission, IdAdmission, IdentifiedRecord, Outcome, PartitionCommand, PartitionState, Rejection,
    RetentionStep, Stamp, encode_append, encode_identified_append,
};
use flotilla_types::{
    FencingToken, JobName, LogIndex, Offset, ProducerEpoch, RaftGroupId, RecordBatch, Term,
    Timestamp, TopicConfig,
};
use tokio::sync::oneshot;

use crate::group::{Group, Leadership, ProposeError, ReplicaProgress};
use crate::ledger::{Ledger, Unanswered};
use crate::machine::{PartitionCell, Published};
use crate::positions::{self, Batches, Cursor, ReadError};
use crate::ticket::{Accepted, Appended, Submitted, Ticket, appended};
use crate::type_config::Reply;

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// A replica. Clones are handles on the same one.
#[derive(Clone)]
pub struct Partition {
    group: Group,
    cell: Arc<PartitionCell>,
    appender: Arc<Appender>,
}

struct Appender {
    order: tokio::sync::Mutex<Order>,
    ledger: Arc<Ledger>,
}

/// What the holder of the appender knows.
struct Order {
    /// The leadership in which batches are being proposed.
    term: Option<Term>,
    last_timestamp: Timestamp,
}

impl Partition {
    pub(crate) fn new(group: Group, cell: Arc<PartitionCell>) -> Self {
        let appender = Appender {
            order: tokio::sync::Mutex::new(Order {
                term: None,
                last_timestamp: Timestamp::from_millis(0),
            }),
            ledger: Arc::default(),
        };
        Self {
            group,
            cell,
            appender: Arc::new(appender),
        }
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

    /// Waits until the replica is closed on this node.
    pub async fn wait_stopped(&self) {
        self.group.wait_leadership(|_| false).await;
    }

    /// Where the records start that are kept: those that are not trimmed, and that were appended at
    /// `oldest` or later if there is such a bound.
    pub async fn log_start(&self, oldest: Option<Timestamp>) -> Result<Offset, ReadError> {
        positions::log_start(&self.group.log, &self.cell, oldest).await
    }

    /// Below it every replica has dropped the records, or is about to.
    pub(crate) fn trimmed_to(&self) -> Offset {
        self.cell.published().log_start
    }

    pub fn high_watermark(&self) -> Offset {
        self.cell.published().high_watermark
    }

    /// Waits until there is something at `offset`, or the log start has passed it.
    pub async fn wait_readable(&self, offset: Offset) {
        let mut published = self.cell.watch();
        // An error means that the group stopped; then there is nothing to wait for.
        let _ = published
            .wait_for(|now| now.high_watermark > offset || now.log_start > offset)
            .await;
    }

    /// Bytes of record batches that retention counts.
    pub fn retained_bytes(&self) -> u64 {
        self.cell.with_state(PartitionState::retained_bytes)
    }

    pub fn progress(&self) -> Vec<ReplicaProgress> {
        self.group.progress()
    }

    /// Reads batches from `offset` on, at least one if there is one, and nothing below `log_start`, where
    /// [`log_start`](Self::log_start) has just said that what is kept begins. The cursor of the last read
    /// spares a look-up.
    pub async fn read(
        &self,
        offset: Offset,
        cursor: Option<Cursor>,
        bytes_max: usize,
        log_start: Offset,
    ) -> Result<Batches, ReadError> {
        if offset < log_start {
            return Err(ReadError::OutOfRange {
                offset,
                log_start,
                high_watermark: self.high_watermark(),
            });
        }
        positions::read(&self.group.log, &self.cell, (offset, cursor), bytes_max).await
    }

    /// The first offset whose record has this timestamp or a later one; the log end if there is none.
    pub async fn offset_at(&self, timestamp: Timestamp) -> Result<Offset, ReadError> {
        positions::offset_at(&self.group.log, &self.cell, timestamp).await
    }

    /// Gives the batch its offsets and proposes it. Batches of one producer must be submitted one
    /// after the other; their outcomes may be awaited together.
    pub async fn submit(&self, batch: &RecordBatch, now: Timestamp) -> Result<Ticket, AppendError> {
        let producer = batch.producer();
        let record_count = batch.record_count();
        loop {
            let mut order = self.appender.order.lock().await;
            let term = self.lead(&mut order).await?;
            order.last_timestamp = order.last_timestamp.max(now);
            let high_watermark = self.high_watermark();
            let admission = {
                let ledger = self.appender.ledger.entries.lock();
                self.cell
                    .with_state(|state| state.check(producer, record_count, &ledger.pending))
            };
            match admission {
                Admission::Append { base_offset } => {
                    return Ok(self.propose_batch(batch, base_offset, &order, None).await);
                }
                Admission::Duplicate {
                    base_offset,
                    end_offset,
                } => {
                    return Ok(Ticket(Accepted::Settled(Appended {
                        base_offset,
                        end_offset,
                        duplicate: true,
                        term,
                    })));
                }
                Admission::Pending { end_offset, .. } => {
                    return Ok(Ticket(Accepted::Following {
                        partition: self.clone(),
                        producer,
                        record_count,
                        end_offset,
                        term,
                    }));
                }
                Admission::InFlightFull => {
                    drop(order);
                    self.wait_past(high_watermark, term).await;
                }
                Admission::Rejected(rejection) => return Err(rejection.into()),
            }
        }
    }

    /// As `submit`, for records without a producer of which some have message ids, which count for
    /// `window_ms`.
    pub async fn submit_identified(
        &self,
        batch: &RecordBatch,
        (window_ms, records): (u32, &[IdentifiedRecord]),
        now: Timestamp,
    ) -> Result<Submitted, AppendError> {
        loop {
            let mut order = self.appender.order.lock().await;
            let term = self.lead(&mut order).await?;
            order.last_timestamp = order.last_timestamp.max(now);
            let oldest = order.last_timestamp.minus_millis(window_ms.into());
            let high_watermark = self.high_watermark();
            let (admission, base_offset) = {
                let ledger = self.appender.ledger.entries.lock();
                let pending = &ledger.pending;
                self.cell.with_state(|state| {
                    let admission = state.check_ids(records, oldest, pending);
                    (admission, pending.next_offset(state))
                })
            };
            match admission {
                IdAdmission::New => {
                    let ids = Some((window_ms, records));
                    let ticket = self.propose_batch(batch, base_offset, &order, ids).await;
                    return Ok(Submitted::Accepted(ticket));
                }
                IdAdmission::Known(known) => return Ok(Submitted::Known(known)),
                IdAdmission::Pending => {
                    drop(order);
                    self.wait_past(high_watermark, term).await;
                }
                IdAdmission::Full => return Err(Rejection::MessageIdsFull.into()),
            }
        }
    }

    /// Makes sure that this node leads and that the applied state is complete for its term.
    async fn lead(&self, order: &mut Order) -> Result<Term, AppendError> {
        let term = self.group.require_leading()?;
        let broken = self.appender.ledger.entries.lock().broken;
        if order.term == Some(term) && !broken {
            return Ok(term);
        }
        order.term = None;
        self.appender.ledger.wait_answered().await;
        self.wait_applied_in(term).await?;
        let mut ledger = self.appender.ledger.entries.lock();
        ledger.pending.clear();
        ledger.broken = false;
        order.term = Some(term);
        order.last_timestamp = self.cell.with_state(PartitionState::now);
        Ok(term)
    }

    /// Makes sure that this node leads and has applied all that earlier leaders acknowledged: only
    /// then does its high watermark count everything that was ever acknowledged.
    pub async fn wait_settled(&self) -> Result<(), AppendError> {
        let term = self.group.require_leading()?;
        self.wait_applied_in(term).await
    }

    /// Waits until an entry of `term`, the blank one with which it began, is applied: then so is
    /// everything that earlier leaders committed.
    async fn wait_applied_in(&self, term: Term) -> Result<(), AppendError> {
        let mut published = self.cell.watch();
        let unsettled = AppendError::Propose(ProposeError::Unsettled {
            group: self.group.id,
        });
        let applied = published.wait_for(|now| now.applied_term >= Some(term));
        let deposed = self.group.wait_leadership(|leadership| {
            leadership.epoch != term.to_leader_epoch() || leadership.leader != Some(self.group.node)
        });
        tokio::select! {
            result = applied => result.map(drop).map_err(|_| unsettled),
            _ = deposed => Err(unsettled),
        }
    }

    /// Waits until more is applied than that, or nothing that was proposed is open any more.
    pub(crate) async fn wait_past(&self, high_watermark: Offset, term: Term) {
        let mut published = self.cell.watch();
        let moved = published.wait_for(|now| now.high_watermark > high_watermark);
        let deposed = self
            .group
            .wait_leadership(|leadership| leadership.epoch != term.to_leader_epoch());
        tokio::select! {
            _ = moved => {}
            _ = deposed => {}
            () = self.appender.ledger.wait_answered() => {}
        }
    }

    /// `order` proves that the caller holds the appender and has a term to propose in.
    async fn propose_batch(
        &self,
        batch: &RecordBatch,
        base_offset: Offset,
        order: &Order,
        ids: Option<(u32, &[IdentifiedRecord])>,
    ) -> Ticket {
        let term = order
            .term
            .expect("invariant: `lead` set the term of the appender");
        let stamp = Stamp {
            timestamp: order.last_timestamp,
            base_offset,
            leader_epoch: term.to_leader_epoch(),
        };
        let command = match ids {
            None => encode_append(batch, stamp),
            Some(ids) => encode_identified_append(batch, stamp, ids),
        };
        {
            let mut ledger = self.appender.ledger.entries.lock();
            let pending = &mut ledger.pending;
            let record_count = batch.record_count();
            match ids {
                None => pending.push(base_offset, batch.producer(), record_count),
                Some((_, records)) => pending.push_identified(base_offset, record_count, records),
            }
            ledger.unanswered += 1;
        }
        let (answer, receiver) = oneshot::channel();
        let unanswered = Unanswered {
            ledger: self.appender.ledger.clone(),
            cell: self.cell.clone(),
            group: self.group.id,
            answer: Some(answer),
        };
        let on_outcome = move |outcome: Result<Reply, ProposeError>| {
            unanswered.settle(appended(outcome, term));
        };
        self.group.propose(command, term, on_outcome).await;
        Ticket(Accepted::Proposed(receiver, self.group.id))
    }

    /// Proposes what retention asks for, if anything, and returns whether it did.
    pub async fn retain(&self, now: Timestamp, config: &TopicConfig) -> Result<bool, AppendError> {
        let Some(step) = self
            .cell
            .with_state(|state| state.retention_step(now, config))
        else {
            return Ok(false);
        };
        if step == RetentionStep::CloseSegment {
            tracing::debug!(group = %self.group.id, "closing the segment of a quiet partition");
        }
        self.propose_command(&step.into_command(), now).await?;
        Ok(true)
    }

    /// Moves the log start to `before`, unless it is there or beyond already, and returns where it is.
    pub async fn delete_records(
        &self,
        before: Offset,
        now: Timestamp,
    ) -> Result<Offset, AppendError> {
        let command = PartitionCommand::TrimTo { log_start: before };
        match self.propose_command(&command, now).await? {
            Outcome::Trimmed { log_start } => Ok(log_start),
            _ => unreachable!("invariant: a trim is answered as a trim"),
        }
    }

    /// Makes an instance of the producer of a job's owner the only one that may append for the job.
    /// Returns its epoch, and the offset below which everything lies that others have appended.
    pub async fn fence(
        &self,
        job: JobName,
        token: FencingToken,
        instance: u64,
        now: Timestamp,
    ) -> Result<(Offset, ProducerEpoch), AppendError> {
        let command = PartitionCommand::Fence {
            job,
            token,
            instance,
        };
        match self.propose_command(&command, now).await? {
            Outcome::Fenced { end_offset, epoch } => Ok((end_offset, epoch)),
            _ => unreachable!("invariant: a fence is answered as a fence"),
        }
    }

    async fn propose_command(
        &self,
        command: &PartitionCommand,
        now: Timestamp,
    ) -> Result<Outcome, AppendError> {
        let timestamp = self.cell.with_state(PartitionState::now).max(now);
        let reply = self
            .group
            .propose_and_wait(command.encode(timestamp))
            .await?;
        match reply {
            Reply::Partition(Outcome::Rejected(rejection)) => Err(rejection.into()),
            Reply::Partition(outcome) => Ok(outcome),
            Reply::Metadata(_) | Reply::Coordinator(_) | Reply::None => {
                unreachable!("invariant: a partition's command is answered by the partition")
            }
        }
    }

    /// Hands leadership to another replica; false if it did not get there in time.
    pub async fn transfer_leader(
        &self,
        to: flotilla_types::NodeId,
        limit: std::time::Duration,
    ) -> bool {
        self.group.transfer_leader(to, limit).await
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(crate) fn cell(&self) -> &Arc<PartitionCell> {
        &self.cell
    }

    /// The entry up to which the log should be purged but is not yet.
    pub(crate) fn purge_due(&self) -> Option<LogIndex> {
        let Published { purge_point, .. } = self.cell.published();
        let purged = self.group.log.bounds().last_purged.map(|id| id.index);
        purge_point.filter(|point| Some(*point) > purged)
    }
}
