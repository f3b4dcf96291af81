//! What the journal knows of one Raft group, in memory.
//!
//! ```text
//!   floor          first                 tail                   last
//! ----|------------|----------------------|----------------------|
//!  purged or       entries on disk:       payloads in memory too;
//!  in segments     24 bytes each          the newest are not on disk yet
//! ```
//!
//! The index changes when a mutation is *submitted*, under the group's lock, and the mutation enters
//! the writer's queue under the same lock, so that both have one order. Places in files are filled in
//! by the writer once they are durable.

use std::collections::VecDeque;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};
use parking_lot::Mutex;

use super::format::FileSequence;
use crate::entry::{EntryKind, LogEntry};
use crate::life::Life;

/// A group and its lock.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: RaftGroupId,
    pub(crate) index: Mutex<GroupIndex>,
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: FileSequence,
    pub(crate) position: u32,
}

/// One entry of the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) term: Term,
    /// `None` until it is durable.
    pub(crate) place: Option<Place>,
    pub(crate) payload_bytes: u32,
    pub(crate) kind: EntryKind,
}

/// A value of which the last one counts, and the file that holds it durably.
#[derive(Clone, Debug)]
pub(crate) struct Latest<T> {
    pub(crate) value: T,
    /// `None` until it is durable.
    pub(crate) file: Option<FileSequence>,
}

#[derive(Debug, Default)]
pub(crate) struct GroupIndex {
    slots: VecDeque<Slot>,
    /// Index of the first slot; meaningless without slots.
    first: u64,
    /// Payloads of the last entries, down to the oldest that is cached.
    tail: VecDeque<Bytes>,
    payload_bytes: u64,
    pub(crate) vote: Option<Latest<Bytes>>,
    pub(crate) purged: Option<Latest<LogId>>,
    /// The last entry that was given up to a segment.
    pub(crate) sealed: Option<LogId>,
    /// What the newest durable frame says of it.
    pub(crate) sealed_on_disk: Option<Latest<LogId>>,
    pub(crate) removal: Option<Latest<()>>,
    /// The life that the last reset began.
    pub(crate) reset: Option<Latest<Life>>,
    /// Mutations on their way to the disk that drop or replace something. While there are any, the
    /// memory shows less than what a crash must leave.
    pub(crate) drops_in_flight: u32,
}

impl Group {
    pub(crate) fn new(id: RaftGroupId, index: GroupIndex) -> Self {
        Self {
            id,
            index: Mutex::new(index),
        }
    }
}

impl<T> Latest<T> {
    /// The value is durable in a file. A newer one may be on its way; it will say so itself.
    pub(crate) fn set_file(latest: &mut Option<Self>, file: FileSequence) {
        if let Some(latest) = latest {
            latest.file = Some(file);
        }
    }
}

impl GroupIndex {
    /// A group as a start found it: its entries from `first` on, all on disk.
    pub(crate) fn recovered(first: u64, slots: VecDeque<Slot>) -> Self {
        Self {
            payload_bytes: slots.iter().map(|slot| u64::from(slot.payload_bytes)).sum(),
            first,
            slots,
            ..Self::default()
        }
    }

    pub(crate) const fn is_removed(&self) -> bool {
        self.removal.is_some()
    }

    pub(crate) fn life(&self) -> Life {
        self.reset
            .as_ref()
            .map_or_else(Life::default, |reset| reset.value)
    }

    pub(crate) fn range(&self) -> Option<(LogId, LogId)> {
        let first = self.slots.front()?;
        let last = self.slots.back()?;
        Some((
            LogId::new(first.term, LogIndex::new(self.first)),
            LogId::new(last.term, LogIndex::new(self.end() - 1)),
        ))
    }

    /// The last entry that is not in the journal any more.
    pub(crate) fn floor(&self) -> Option<LogId> {
        let purged = self.purged.as_ref().map(|purged| purged.value);
        purged
            .into_iter()
            .chain(self.sealed)
            .max_by_key(|id| id.index)
    }

    /// The index that the next entry gets; `None` if any will do.
    pub(crate) fn next_index(&self) -> Option<LogIndex> {
        match self.slots.len() {
            0 => self.floor().map(|floor| floor.index.next()),
            _ => Some(LogIndex::new(self.end())),
        }
    }

    pub(crate) fn slot(&self, index: LogIndex) -> Option<&Slot> {
        let offset = index.get().checked_sub(self.first)?;
        self.slots.get(usize::try_from(offset).ok()?)
    }

    fn slot_mut(&mut self, index: LogIndex) -> Option<&mut Slot> {
        let offset = index.get().checked_sub(self.first)?;
        self.slots.get_mut(usize::try_from(offset).ok()?)
    }

    /// The payload, if it is in memory.
    pub(crate) fn cached(&self, index: LogIndex) -> Option<&Bytes> {
        let offset = index.get().checked_sub(self.tail_start())?;
        self.tail.get(usize::try_from(offset).ok()?)
    }

    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if let Some(slot) = self.slot(index) {
            return Some(slot.term);
        }
        let purged = self.purged.as_ref().map(|purged| purged.value);
        let mut known = purged.into_iter().chain(self.sealed);
        known.find(|id| id.index == index).map(|id| id.term)
    }

    pub(crate) const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Payload bytes of the entries below `end`; it looks at those from there on.
    pub(crate) fn payload_bytes_before(&self, end: LogIndex) -> u64 {
        let kept = end.get().saturating_sub(self.first);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        let later = self
            .slots
            .iter()
            .skip(kept)
            .map(|slot| u64::from(slot.payload_bytes));
        self.payload_bytes - later.sum::<u64>()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.slots.capacity() * size_of::<Slot>()) as u64
    }

    /// Adds entries that continue the log, or replace its end. Tells whether they replaced any.
    pub(crate) fn append(&mut self, entries: &[LogEntry]) -> bool {
        let Some(start) = entries.first().map(|entry| entry.id.index) else {
            return false;
        };
        let replaces = self.truncate_from(start);
        if self.slots.is_empty() {
            self.first = start.get();
        }
        for entry in entries {
            self.payload_bytes += entry.payload.len() as u64;
            self.slots.push_back(Slot {
                term: entry.id.term,
                place: None,
                payload_bytes: entry.payload.len() as u32,
                kind: entry.kind,
            });
            self.tail.push_back(entry.payload.clone());
        }
        replaces
    }

    /// Forgets the entries from an index on. Tells whether there were any.
    pub(crate) fn truncate_from(&mut self, first_removed: LogIndex) -> bool {
        let kept = first_removed.get().saturating_sub(self.first);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if kept >= self.slots.len() {
            return false;
        }
        for slot in self.slots.drain(kept..) {
            self.payload_bytes -= u64::from(slot.payload_bytes);
            self.tail.pop_back();
        }
        true
    }

    /// Forgets the entries up to an index.
    pub(crate) fn drop_to(&mut self, last_dropped: LogIndex) {
        if self.slots.is_empty() {
            return;
        }
        let dropped = last_dropped
            .get()
            .saturating_add(1)
            .saturating_sub(self.first);
        let dropped = usize::try_from(dropped)
            .unwrap_or(usize::MAX)
            .min(self.slots.len());
        for slot in self.slots.drain(..dropped) {
            self.payload_bytes -= u64::from(slot.payload_bytes);
        }
        self.first += dropped as u64;
        let cached = self.tail.len().min(self.slots.len());
        self.tail.drain(..self.tail.len() - cached);
        if self.slots.capacity() > 4 * self.slots.len() + 64 {
            self.slots.shrink_to(2 * self.slots.len());
        }
        if self.tail.capacity() > 4 * self.tail.len() + 64 {
            self.tail.shrink_to(2 * self.tail.len());
        }
    }

    /// Gives up what a segment holds durably: entries up to the index, as far as there are any.
    pub(crate) fn seal_to(&mut self, last_sealed: LogIndex) {
        let Some((_, last)) = self.range() else {
            return;
        };
        let last_sealed = last_sealed.min(last.index);
        let Some(slot) = self.slot(last_sealed) else {
            return;
        };
        self.sealed = Some(LogId::new(slot.term, last_sealed));
        self.drop_to(last_sealed);
    }

    /// Forgets everything but that the group was removed.
    pub(crate) fn remove(&mut self) {
        *self = Self {
            removal: Some(Latest {
                value: (),
                file: None,
            }),
            drops_in_flight: self.drops_in_flight,
            ..Self::default()
        };
    }

    /// Forgets everything but the vote: another life of the log begins.
    pub(crate) fn reset(&mut self, life: Life) {
        *self = Self {
            vote: self.vote.take(),
            reset: Some(Latest {
                value: life,
                file: None,
            }),
            drops_in_flight: self.drops_in_flight,
            ..Self::default()
        };
    }

    /// The entry is durable at `place`, unless it is no longer wanted.
    pub(crate) fn set_place(&mut self, id: LogId, place: Place) {
        if let Some(slot) = self.slot_mut(id.index)
            && slot.term == id.term
        {
            slot.place = Some(place);
        }
    }

    /// The entry is now also at `new`; forget its `old` place.
    pub(crate) fn move_place(&mut self, id: LogId, old: Place, new: Place) {
        if let Some(slot) = self.slot_mut(id.index)
            && slot.term == id.term
            && slot.place == Some(old)
        {
            slot.place = Some(new);
        }
    }

    /// Frees the memory of cached payloads up to an entry, if it is still the one that was written.
    pub(crate) fn evict_to(&mut self, last: LogId) {
        if self
            .slot(last.index)
            .is_none_or(|slot| slot.term != last.term)
        {
            return;
        }
        while !self.tail.is_empty() && self.tail_start() <= last.index.get() {
            let oldest = LogIndex::new(self.tail_start());
            if self.slot(oldest).is_none_or(|slot| slot.place.is_none()) {
                return;
            }
            self.tail.pop_front();
        }
    }

    /// The index after the last entry; meaningless without entries.
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn tail_start(&self) -> u64 {
        self.end() - self.tail.len() as u64
    }
}
