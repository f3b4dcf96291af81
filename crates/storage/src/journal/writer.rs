//! The writer: one thread that makes every change of every group durable, in one order.
//!
//! It takes all that is queued, encodes it as one write, syncs once, says where the entries are, and
//! runs the completions. While work is queued it loops; it hands over to nobody. It never tries again
//! what failed: after the first error it only passes the error on.

use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};

use super::block::BlockBuilder;
use super::cache::CacheBudget;
use super::chain::Chain;
use super::format::{FileSequence, FrameHeader, FrameKind, FrameRecord};
use super::group::{Group, Latest, Place};
use super::mutation::{Change, Done, Mutation, Released};
use super::queue::{QueueReceiver, Received};
use super::shared::Shared;
use crate::entry::EntryKind;
use crate::error::{IoFailure, StorageError};
use crate::life::Life;

/// A write takes no more mutations once it has so many bytes.
const WRITE_BYTES_MAX: u64 = 4 << 20;
/// A write takes no more mutations than this.
const WRITE_MUTATIONS_MAX: usize = 4_096;
/// How long the journal is idle before it notes durably that its last write is durable.
const WATERMARK_DELAY: Duration = Duration::from_millis(50);

/// Drives the journal: [`Writer::run`] on a thread of its own, or step by step in a simulation.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) shared: Arc<Shared>,
    queue: QueueReceiver,
    pub(super) chain: Chain,
    pub(super) block: BlockBuilder,
    batch: Vec<Mutation>,
    cache: CacheBudget,
    /// Requests to copy forward that wait until what is in flight is durable.
    postponed: Vec<CopyRequest>,
    /// The last write is not yet covered by a watermark.
    owes_watermark: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Running,
    Failed(StorageError),
    Closed,
}

/// A request to release files.
#[derive(Debug)]
pub(super) struct CopyRequest {
    pub(super) copy_bytes_max: u64,
    pub(super) released: Released,
    pub(super) done: Done,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: QueueReceiver, chain: Chain) -> Self {
        Self {
            cache: CacheBudget::new(shared.config.cache_bytes),
            shared,
            queue,
            chain,
            block: BlockBuilder::default(),
            batch: Vec::new(),
            postponed: Vec::new(),
            owes_watermark: false,
            state: State::Running,
        }
    }

    /// Drains the queue until the journal is shut down or nobody holds it any more. Writes the
    /// watermark whenever the queue has been empty for a moment.
    pub(crate) fn run(mut self) {
        while !matches!(self.state, State::Closed) {
            let limit = self.owes_watermark.then_some(WATERMARK_DELAY);
            match self.queue.receive(limit) {
                Received::Mutation(first) => self.process(first),
                Received::Nothing => self.write_watermark(),
                Received::End => {
                    self.write_watermark();
                    return;
                }
            }
        }
    }

    /// Makes durable what is queued now, with one write and one sync. Returns whether anything was.
    pub(crate) fn run_once(&mut self) -> bool {
        match self.queue.take() {
            Some(first) => {
                self.process(first);
                true
            }
            None => false,
        }
    }

    /// Notes durably that everything written so far is durable, so that damage to it can be told from
    /// a write that was cut short. An idle journal does this soon after its last write.
    pub(crate) fn write_watermark(&mut self) {
        self.heed_failure();
        if !self.owes_watermark || !matches!(self.state, State::Running) {
            return;
        }
        self.shared.start_waiting();
        self.owes_watermark = false;
        self.block.clear();
        if let Err(failure) = self.chain.write(&mut self.block) {
            self.fail(failure.into());
        }
        self.shared.stop_waiting(!self.queue.is_empty());
    }

    /// Says durably that all that a start found is durable, over what a crash cut short.
    pub(super) fn seal_recovery(&mut self) -> Result<(), IoFailure> {
        self.chain.write(&mut self.block)?;
        Ok(())
    }

    fn process(&mut self, first: Mutation) {
        self.shared.start_waiting();
        let last = self.collect(first);
        self.heed_failure();
        if matches!(self.state, State::Running) {
            let written = self.write_batch();
            if let Err(error) = written {
                self.fail(error);
            }
        }
        self.complete_batch();
        self.retry_postponed();
        if let Some(last) = last {
            self.process_alone(last);
        }
        self.shared.stop_waiting(!self.queue.is_empty());
    }

    /// Takes what is queued, as much as fits one write. A mutation that is not part of any write ends
    /// it and is returned.
    fn collect(&mut self, first: Mutation) -> Option<Mutation> {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(mutation) = next {
            if matches!(
                mutation.change,
                Change::CopyForward { .. } | Change::ShutDown
            ) {
                return Some(mutation);
            }
            bytes += mutation.change.bytes();
            self.batch.push(mutation);
            let is_full = bytes >= WRITE_BYTES_MAX || self.batch.len() >= WRITE_MUTATIONS_MAX;
            next = if is_full { None } else { self.queue.take() };
        }
        None
    }

    fn write_batch(&mut self) -> Result<(), StorageError> {
        for mutation in &self.batch {
            push_frames(&mut self.block, &mutation.change);
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let (file, frames) = self.chain.write(&mut self.block)?;
        self.owes_watermark = true;
        let mut frames = frames.iter();
        for mutation in &self.batch {
            publish(&mutation.change, file, &mut frames, &mut self.cache);
        }
        self.cache.enforce();
        Ok(())
    }

    fn complete_batch(&mut self) {
        for mutation in self.batch.drain(..) {
            let outcome = match (&self.state, mutation.change) {
                (State::Failed(error), _) => Err(error.clone()),
                (State::Closed, _) => Err(StorageError::Closed),
                (State::Running, Change::Refused(error)) => Err(error),
                (State::Running, _) => Ok(()),
            };
            mutation.done.complete(outcome);
        }
    }

    fn process_alone(&mut self, mutation: Mutation) {
        let done = mutation.done;
        match (&self.state, mutation.change) {
            (State::Failed(error), _) => done.complete(Err(error.clone())),
            (State::Closed, _) => done.complete(Err(StorageError::Closed)),
            (State::Running, Change::ShutDown) => self.shut_down(done),
            (
                State::Running,
                Change::CopyForward {
                    copy_bytes_max,
                    released,
                },
            ) => self.serve(CopyRequest {
                copy_bytes_max,
                released,
                done,
            }),
            (State::Running, _) => done.complete(Ok(())),
        }
    }

    fn shut_down(&mut self, done: Done) {
        self.write_watermark();
        let outcome = match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Running | State::Closed => Ok(()),
        };
        self.state = State::Closed;
        self.postponed.clear();
        done.complete(outcome);
    }

    fn serve(&mut self, request: CopyRequest) {
        match self.copy_forward(&request) {
            Ok(super::release::Progress::Finished) => request.done.complete(Ok(())),
            Ok(super::release::Progress::Waits) => self.postponed.push(request),
            Err(error) => {
                self.fail(error.clone());
                request.done.complete(Err(error));
            }
        }
    }

    fn retry_postponed(&mut self) {
        for request in std::mem::take(&mut self.postponed) {
            match &self.state {
                State::Failed(error) => request.done.complete(Err(error.clone())),
                State::Running | State::Closed => self.serve(request),
            }
        }
    }

    pub(super) fn owe_watermark(&mut self) {
        self.owes_watermark = true;
    }

    /// Acknowledges nothing more once a failure was noticed elsewhere: a reader that found damage.
    fn heed_failure(&mut self) {
        if matches!(self.state, State::Running)
            && let Some(error) = self.shared.failure.error()
        {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: StorageError) {
        self.block.clear();
        self.owes_watermark = false;
        self.shared.failure.report(&error);
        self.state = State::Failed(error);
    }
}

/// Adds what a change writes to the block.
fn push_frames(block: &mut BlockBuilder, change: &Change) {
    match change {
        Change::Append { group, entries, .. } => {
            for entry in entries {
                let header = FrameHeader {
                    kind: FrameKind::Append,
                    entry_kind: entry.kind,
                    group: group.id,
                    id: entry.id,
                    payload_bytes: entry.payload.len() as u32,
                };
                block.push(header, entry.payload.clone());
            }
        }
        Change::Vote { group, vote } => {
            let header = FrameHeader {
                payload_bytes: vote.len() as u32,
                ..plain_frame(FrameKind::Vote, group.id, NO_ENTRY)
            };
            block.push(header, vote.clone());
        }
        Change::Truncate {
            group,
            first_removed,
        } => {
            let from = LogId::new(Term::new(0), *first_removed);
            let header = plain_frame(FrameKind::Truncate, group.id, from);
            block.push(header, bytes::Bytes::new());
        }
        Change::Purge { group, last_purged } => {
            let header = plain_frame(FrameKind::Purge, group.id, *last_purged);
            block.push(header, bytes::Bytes::new());
        }
        Change::Remove { group } => {
            let header = plain_frame(FrameKind::Remove, group.id, NO_ENTRY);
            block.push(header, bytes::Bytes::new());
        }
        Change::Reset { group, life } => {
            let header = plain_frame(FrameKind::Reset, group.id, life_id(*life));
            block.push(header, bytes::Bytes::new());
        }
        Change::Barrier | Change::Refused(_) | Change::CopyForward { .. } | Change::ShutDown => {}
    }
}

/// What stands where a frame concerns no entry. It is written and never looked at.
pub(super) const NO_ENTRY: LogId = LogId::new(Term::new(0), LogIndex::new(0));

/// How a life is written where other frames name an entry.
pub(super) const fn life_id(life: Life) -> LogId {
    LogId::new(Term::new(0), LogIndex::new(life.get()))
}

/// The header of a frame without payload.
pub(super) const fn plain_frame(kind: FrameKind, group: RaftGroupId, id: LogId) -> FrameHeader {
    FrameHeader {
        kind,
        entry_kind: EntryKind::Blank,
        group,
        id,
        payload_bytes: 0,
    }
}

/// Tells the group that a change is durable, and where.
fn publish<'a>(
    change: &Change,
    file: FileSequence,
    frames: &mut impl Iterator<Item = &'a FrameRecord>,
    cache: &mut CacheBudget,
) {
    match change {
        Change::Append {
            group,
            life,
            entries,
            replaces,
        } => {
            let mut index = group.index.lock();
            index.drops_in_flight -= u32::from(*replaces);
            let is_wanted = index.life() == *life;
            for (entry, frame) in entries.iter().zip(frames) {
                if is_wanted {
                    let position = frame.position;
                    index.set_place(entry.id, Place { file, position });
                }
            }
            drop(index);
            if let Some(last) = entries.last() {
                let bytes = entries.iter().map(|entry| entry.payload.len()).sum();
                cache.add(group, last.id, (entries.len(), bytes));
            }
        }
        Change::Vote { group, .. } => publish_drop(group, frames, |index| {
            Latest::set_file(&mut index.vote, file);
        }),
        Change::Purge { group, .. } => publish_drop(group, frames, |index| {
            Latest::set_file(&mut index.purged, file);
        }),
        Change::Remove { group } => publish_drop(group, frames, |index| {
            Latest::set_file(&mut index.removal, file);
        }),
        Change::Reset { group, .. } => publish_drop(group, frames, |index| {
            Latest::set_file(&mut index.reset, file);
        }),
        Change::Truncate { group, .. } => publish_drop(group, frames, |_| {}),
        Change::Barrier | Change::Refused(_) | Change::CopyForward { .. } | Change::ShutDown => {}
    }
}

fn publish_drop<'a>(
    group: &Group,
    frames: &mut impl Iterator<Item = &'a FrameRecord>,
    note: impl FnOnce(&mut super::group::GroupIndex),
) {
    frames.next();
    let mut index = group.index.lock();
    index.drops_in_flight -= 1;
    note(&mut index);
}
