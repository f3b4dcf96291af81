//! Tables in memory, for simulations. They forget at a crash what RocksDB may forget, and no less.
//!
//! Rows go through a pretended write-ahead log: a crash keeps all synced changes and any prefix of
//! the others. Leftovers bypass it and last only from a flush on. A segment is there or not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::Arc;

use flotilla_types::{LogIndex, RaftGroupId};
use parking_lot::Mutex;

use crate::config::StorageConfig;
use crate::disk::Fault;
use crate::tables::keys::EntryKey;
use crate::tables::{
    Change, Durability, EntryFamily, EntryScan, EntryVisitor, KeyValue, OpenTables,
    OpenTablesError, RowFamily, SegmentFile, SegmentWriter, Tables, TablesError,
};

/// The tables of one simulated machine. Clones share them; they outlive the store that uses them.
#[derive(Clone, Default)]
pub struct MemoryTables {
    state: Arc<Mutex<State>>,
    interruption: Arc<Mutex<Option<Interruption>>>,
}

/// Where a test can come in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A scan has found what it is going to show.
    Scan,
    /// A segment is written, but not there yet.
    Ingest,
    /// Leftovers are written, but not durable yet.
    Flush,
}

type Interruption = (Moment, Box<dyn FnOnce() + Send>);

#[derive(Clone, Default)]
struct State {
    is_open: bool,
    segments: BTreeMap<EntryKey, Segment>,
    /// What a reader sees, and what a crash without any unsynced change leaves.
    visible: Rows,
    durable: Rows,
    /// Logged changes that no sync has covered, each applied to `visible` already.
    unsynced: Vec<Vec<Change>>,
    operations: u64,
    faults: Vec<Fault>,
    is_stopped: bool,
    is_full: bool,
}

#[derive(Clone)]
struct Segment {
    last: LogIndex,
    bytes: u64,
    values: BTreeMap<EntryKey, Vec<u8>>,
}

#[derive(Clone, Default)]
struct Rows {
    rows: BTreeMap<(RowFamily, Vec<u8>), Vec<u8>>,
    leftovers: BTreeMap<EntryKey, Vec<u8>>,
}

impl MemoryTables {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault to come, counted over the changes that are made here.
    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// How many changes were counted, the next one's number.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Lets every change fail for want of space, until there is some again.
    pub fn set_full(&self, is_full: bool) {
        self.state.lock().is_full = is_full;
    }

    /// Loses the segment that begins at an entry, as no machine should. False: there is none.
    pub fn lose_segment(&self, group: RaftGroupId, first: LogIndex) -> bool {
        let lost = self
            .state
            .lock()
            .segments
            .remove(&EntryKey::new(group, first));
        lost.is_some()
    }

    /// Whether an injected fault has stopped the machine.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().is_stopped
    }

    /// The machine dies and comes back: all that was synced is there, and the first `unsynced_kept`
    /// of the changes that were not.
    pub fn crash(&self, unsynced_kept: usize) {
        let mut state = self.state.lock();
        let state = &mut *state;
        for changes in state.unsynced.drain(..).take(unsynced_kept) {
            state.durable.apply(&changes);
        }
        state.unsynced.clear();
        state.visible = state.durable.clone();
        state.is_open = false;
        state.is_stopped = false;
        state.faults.clear();
    }

    /// How many changes no sync has covered yet.
    pub fn unsynced_count(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// The same contents, going their own way from here.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            state: Arc::new(Mutex::new(self.state.lock().clone())),
            interruption: Arc::default(),
        }
    }

    /// Lets something happen at the next moment of a kind, in the midst of what is done there.
    #[cfg(test)]
    pub(crate) fn interrupt(&self, moment: Moment, act: impl FnOnce() + Send + 'static) {
        *self.interruption.lock() = Some((moment, Box::new(act)));
    }

    /// Whether what [`Self::interrupt`] was told is still to happen.
    #[cfg(test)]
    pub(crate) fn awaits_interruption(&self) -> bool {
        self.interruption.lock().is_some()
    }

    fn reach(&self, moment: Moment) {
        let interruption = self.interruption.lock().take_if(|(at, _)| *at == moment);
        if let Some((_, act)) = interruption {
            act();
        }
    }

    /// Turns one bit of a sealed entry, wherever it is stored. False: it is not.
    pub fn flip_bit(&self, group: RaftGroupId, index: LogIndex, bit: usize) -> bool {
        let mut state = self.state.lock();
        let key = EntryKey::new(group, index);
        let State {
            segments,
            visible,
            durable,
            ..
        } = &mut *state;
        let values = segments.values_mut().map(|segment| &mut segment.values);
        let leftovers = [&mut visible.leftovers, &mut durable.leftovers];
        let mut found = false;
        for value in values
            .chain(leftovers)
            .filter_map(|values| values.get_mut(&key))
        {
            let position = bit / 8 % value.len();
            value[position] ^= 1 << (bit % 8);
            found = true;
        }
        found
    }

    /// First and last index of each of the group's segments.
    pub fn segment_ranges(&self, group: RaftGroupId) -> Vec<(LogIndex, LogIndex)> {
        let state = self.state.lock();
        let segments = state
            .segments
            .iter()
            .filter(|(first, _)| first.group == group);
        segments
            .map(|(first, segment)| (first.index, segment.last))
            .collect()
    }

    /// Indexes of the group's leftovers, listed or not.
    pub fn leftover_indexes(&self, group: RaftGroupId) -> BTreeSet<LogIndex> {
        let state = self.state.lock();
        let keys = state.visible.leftovers.keys();
        keys.filter(|key| key.group == group)
            .map(|key| key.index)
            .collect()
    }

    /// Counts a change, makes it unless a fault says otherwise, and tells the outcome.
    fn operate<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, TablesError> {
        let mut state = self.state.lock();
        if state.is_stopped {
            return Err(stopped());
        }
        if state.is_full {
            return Err(TablesError::NoSpace(Arc::new(io::Error::from(
                io::ErrorKind::StorageFull,
            ))));
        }
        let number = state.operations;
        state.operations += 1;
        for fault in state.faults.clone() {
            match fault {
                Fault::StopBefore(at) if at == number => {
                    state.is_stopped = true;
                    return Err(stopped());
                }
                Fault::StopAfter(at) if at == number => {
                    change(&mut state);
                    state.is_stopped = true;
                    return Err(stopped());
                }
                Fault::Fail(at, kind) if at == number => {
                    let cause = Arc::new(io::Error::from(kind));
                    return Err(match kind {
                        io::ErrorKind::StorageFull => TablesError::NoSpace(cause),
                        _ => TablesError::Failed(cause),
                    });
                }
                _ => {}
            }
        }
        Ok(change(&mut state))
    }

    fn look<T>(&self, at: impl FnOnce(&State) -> T) -> Result<T, TablesError> {
        let state = self.state.lock();
        if state.is_stopped {
            Err(stopped())
        } else {
            Ok(at(&state))
        }
    }
}

fn stopped() -> TablesError {
    TablesError::Failed(Arc::new(io::Error::other("the machine has stopped")))
}

impl Rows {
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(family, key, value) => {
                    self.rows.insert((*family, key.clone()), value.clone());
                }
                Change::Delete(family, key) => {
                    self.rows.remove(&(*family, key.clone()));
                }
                Change::DeleteRange(family, range) => {
                    self.rows
                        .retain(|(of, key), _| of != family || !range.contains(key));
                }
                Change::DropLeftovers(group, range) => {
                    let dropped =
                        |key: &EntryKey| key.group == *group && range.contains(&key.index);
                    self.leftovers.retain(|key, _| !dropped(key));
                }
            }
        }
    }
}

impl State {
    /// Flushed deletions are durable; replaying them later must not touch what came after.
    fn flush_leftovers(&mut self) {
        self.durable.leftovers = self.visible.leftovers.clone();
        for changes in &mut self.unsynced {
            changes.retain(|change| !matches!(change, Change::DropLeftovers(..)));
        }
    }
}

impl OpenTables for MemoryTables {
    fn open(
        &self,
        _dir: &Path,
        _config: &StorageConfig,
    ) -> Result<Arc<dyn Tables>, OpenTablesError> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_open, true) {
            return Err(OpenTablesError::InUse);
        }
        Ok(Arc::new(self.clone()))
    }
}

impl Tables for MemoryTables {
    fn segments(&self) -> Result<Vec<SegmentFile>, TablesError> {
        self.look(|state| {
            let segments = state.segments.iter();
            segments
                .map(|(first, segment)| SegmentFile {
                    first: *first,
                    last: segment.last,
                    bytes: segment.bytes,
                })
                .collect()
        })
    }

    fn begin_segment(&self, first: EntryKey) -> Result<Box<dyn SegmentWriter + '_>, TablesError> {
        let segment = Segment {
            last: first.index,
            bytes: 0,
            values: BTreeMap::new(),
        };
        Ok(Box::new(MemorySegment {
            tables: self,
            first,
            segment,
        }))
    }

    fn drop_segments(&self, group: RaftGroupId, last: LogIndex) -> Result<(), TablesError> {
        self.operate(|state| {
            let dropped =
                |first: &EntryKey, segment: &Segment| first.group == group && segment.last <= last;
            state
                .segments
                .retain(|first, segment| !dropped(first, segment));
        })
    }

    fn write_leftovers(&self, entries: &[(EntryKey, Vec<u8>)]) -> Result<(), TablesError> {
        self.operate(|state| state.visible.leftovers.extend(entries.iter().cloned()))
    }

    fn flush_leftovers(&self) -> Result<(), TablesError> {
        self.reach(Moment::Flush);
        self.operate(State::flush_leftovers)
    }

    fn compact_leftovers(&self) -> Result<(), TablesError> {
        self.operate(State::flush_leftovers)
    }

    fn scan(&self, scan: &EntryScan, visit: &mut EntryVisitor<'_>) -> Result<(), TablesError> {
        let (group, range) = (scan.group, &scan.range);
        let found = self.look(|state| {
            let wanted = EntryKey::new(group, range.start)..EntryKey::new(group, range.end);
            let select = |values: &BTreeMap<EntryKey, Vec<u8>>| {
                let found = values.range(wanted.clone());
                found
                    .map(|(key, value)| (*key, value.clone()))
                    .collect::<Vec<_>>()
            };
            match scan.family {
                EntryFamily::Leftovers => select(&state.visible.leftovers),
                EntryFamily::Segments => state
                    .segments
                    .values()
                    .flat_map(|segment| select(&segment.values))
                    .collect(),
            }
        })?;
        self.reach(Moment::Scan);
        for (key, value) in found {
            if visit(key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, changes: &[Change], durability: Durability) -> Result<(), TablesError> {
        self.operate(|state| {
            state.visible.apply(changes);
            if !changes.is_empty() {
                state.unsynced.push(changes.to_vec());
            }
            if durability == Durability::Synced {
                for changes in std::mem::take(&mut state.unsynced) {
                    state.durable.apply(&changes);
                }
            }
        })
    }

    fn row(&self, family: RowFamily, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        self.look(|state| state.visible.rows.get(&(family, key.to_vec())).cloned())
    }

    fn rows(
        &self,
        family: RowFamily,
        range: Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<Vec<KeyValue>, TablesError> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        self.look(|state| {
            let rows = state
                .visible
                .rows
                .range((family, range.start)..(family, range.end));
            rows.take(count_max)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect()
        })
    }

    fn last_row_at_or_before(
        &self,
        family: RowFamily,
        key: &[u8],
        floor: &[u8],
    ) -> Result<Option<KeyValue>, TablesError> {
        self.look(|state| {
            let floor = Bound::Included((family, floor.to_vec()));
            let key = Bound::Included((family, key.to_vec()));
            let found = state.visible.rows.range((floor, key)).next_back();
            found.map(|((_, key), value)| (key.clone(), value.clone()))
        })
    }

    fn close(&self) -> Result<(), TablesError> {
        self.state.lock().is_open = false;
        self.write(&[], Durability::Synced)
    }
}

struct MemorySegment<'a> {
    tables: &'a MemoryTables,
    first: EntryKey,
    segment: Segment,
}

impl SegmentWriter for MemorySegment<'_> {
    fn put(&mut self, key: EntryKey, value: &[u8]) -> Result<(), TablesError> {
        self.segment.last = key.index;
        self.segment.bytes += value.len() as u64;
        self.segment.values.insert(key, value.to_vec());
        Ok(())
    }

    fn ingest(self: Box<Self>) -> Result<SegmentFile, TablesError> {
        let Self {
            tables,
            first,
            segment,
        } = *self;
        let file = SegmentFile {
            first,
            last: segment.last,
            bytes: segment.bytes,
        };
        tables.reach(Moment::Ingest);
        tables.operate(|state| {
            let overlap = state.segments.iter().find(|(start, other)| {
                start.group == first.group && start.index <= file.last && first.index <= other.last
            });
            assert!(overlap.is_none(), "an entry is in at most one segment");
            state.segments.insert(first, segment);
        })?;
        Ok(file)
    }
}
