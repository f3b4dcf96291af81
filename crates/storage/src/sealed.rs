//! What this node knows of the sealed part of one group's log, and of what may be sealed next.
//!
//! ```text
//!          purged      sealed (pieces)         journal
//!        ─────────┬──────┬────┬────────┬─────────────────────────►
//!                 │ seg  │ lo │  seg   │  …  applied  …  last
//!                                         ▲ boundaries: a piece never reaches across one
//! ```
//!
//! Memory only. The pieces are read from the tables at a start; what may be sealed is told again by
//! the caller, who knows it from its own state.

use std::collections::VecDeque;

use flotilla_types::{LogId, LogIndex, RaftGroupId};
use parking_lot::Mutex;

use crate::life::Life;
use crate::tables::EntryFamily;
use crate::usage::Usage;

/// Adjacent entries that lie in one place: a segment file or a leftover run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    pub(crate) bytes: u64,
    pub(crate) family: EntryFamily,
    /// It ends a checkpoint interval, so nothing is ever added to it.
    pub(crate) closed: bool,
}

/// One group's sealed log. Shared by its handles and by the sealer.
#[derive(Debug)]
pub(crate) struct SealedLog {
    pub(crate) group: RaftGroupId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    life: Life,
    /// The last life whose beginning is durable, in the journal and in the rows.
    begun: Life,
    /// Nothing of a life before this one is left in the tables. Until it is the present life, nothing
    /// is sealed: pieces of two lives could not be told apart.
    swept: Life,
    /// Bytes of leftovers of lives that are not swept away yet.
    former_leftover_bytes: u64,
    /// Adjacent and in order.
    pieces: VecDeque<Piece>,
    applied: Option<LogIndex>,
    /// Applied, and known to be in a synced journal.
    sealable: Option<LogIndex>,
    /// Ends of checkpoint intervals above the last piece, in order.
    boundaries: VecDeque<LogIndex>,
    /// The purge point that is durable in the journal.
    purged: Option<LogId>,
    removed: bool,
    missing: Option<LogIndex>,
}

impl State {
    fn drop_sealed_boundaries(&mut self) {
        let sealed = self.pieces.back().map(|piece| piece.last);
        while self
            .boundaries
            .front()
            .is_some_and(|boundary| Some(*boundary) <= sealed)
        {
            self.boundaries.pop_front();
        }
    }
}

impl SealedLog {
    pub(crate) fn new(group: RaftGroupId) -> Self {
        Self {
            group,
            state: Mutex::default(),
        }
    }

    /// The group as a start found it: in its life, and nothing of a former one is left.
    pub(crate) fn recovered(&self, life: Life) {
        let mut state = self.state.lock();
        (state.life, state.begun, state.swept) = (life, life, life);
    }

    pub(crate) fn life(&self) -> Life {
        self.state.lock().life
    }

    /// Does something in the present life, which does not end meanwhile.
    pub(crate) fn in_life<T>(&self, act: impl FnOnce(Life) -> T) -> T {
        let state = self.state.lock();
        act(state.life)
    }

    /// Ends the present life and begins the next, which `begin` tells to the journal.
    pub(crate) fn begin_life<T>(&self, begin: impl FnOnce(Life) -> T) -> T {
        let mut state = self.state.lock();
        let life = state.life.next();
        let begun = begin(life);
        let leftovers = state
            .pieces
            .iter()
            .filter(|piece| piece.family == EntryFamily::Leftovers);
        let leftover_bytes: u64 = leftovers.map(|piece| piece.bytes).sum();
        *state = State {
            life,
            begun: state.begun,
            swept: state.swept,
            former_leftover_bytes: state.former_leftover_bytes + leftover_bytes,
            removed: state.removed,
            ..State::default()
        };
        begun
    }

    /// A life has begun durably. What the tables hold of former ones may go.
    pub(crate) fn set_begun(&self, life: Life) {
        let mut state = self.state.lock();
        state.begun = state.begun.max(life);
    }

    /// The life before which everything has to be swept from the tables, if there is something.
    pub(crate) fn life_to_sweep_for(&self) -> Option<Life> {
        let state = self.state.lock();
        (state.begun > state.swept && !state.removed).then_some(state.begun)
    }

    /// Nothing of a life before this one is left. Tells the bytes of leftovers that were dropped.
    pub(crate) fn set_swept(&self, life: Life) -> u64 {
        let mut state = self.state.lock();
        state.swept = life;
        std::mem::take(&mut state.former_leftover_bytes)
    }

    /// Adds what the sealer has just made durable, unless the life that it belongs to has ended.
    pub(crate) fn add(&self, life: Life, piece: Piece) {
        let mut state = self.state.lock();
        if state.life != life {
            return;
        }
        if let Some(last) = state.pieces.back() {
            assert_eq!(
                last.last.next(),
                piece.first,
                "sealed pieces leave no gap and never overlap"
            );
        }
        state.pieces.push_back(piece);
        state.drop_sealed_boundaries();
    }

    /// The piece that holds an entry.
    pub(crate) fn piece_at(&self, index: LogIndex) -> Option<Piece> {
        let state = self.state.lock();
        let position = state.pieces.partition_point(|piece| piece.last < index);
        state
            .pieces
            .get(position)
            .copied()
            .filter(|piece| piece.first <= index)
    }

    pub(crate) fn last_piece(&self) -> Option<Piece> {
        self.state.lock().pieces.back().copied()
    }

    pub(crate) fn first_sealed(&self) -> Option<LogIndex> {
        self.state.lock().pieces.front().map(|piece| piece.first)
    }

    pub(crate) fn last_sealed(&self) -> Option<LogIndex> {
        self.state.lock().pieces.back().map(|piece| piece.last)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.state
            .lock()
            .pieces
            .iter()
            .map(|piece| piece.bytes)
            .sum()
    }

    pub(crate) fn add_to(&self, usage: &mut Usage) {
        for piece in &self.state.lock().pieces {
            match piece.family {
                EntryFamily::Segments => {
                    usage.segment_bytes += piece.bytes;
                    usage.segment_count += 1;
                }
                EntryFamily::Leftovers => usage.leftover_bytes += piece.bytes,
            }
        }
    }

    pub(crate) fn pieces(&self) -> Vec<Piece> {
        self.state.lock().pieces.iter().copied().collect()
    }

    /// Notes how far the group's state machine has come and where checkpoints ended.
    pub(crate) fn allow(&self, applied: LogIndex, boundaries: &[LogIndex]) {
        let mut state = self.state.lock();
        state.applied = state.applied.max(Some(applied));
        let sealed = state.pieces.back().map(|piece| piece.last);
        for boundary in boundaries
            .iter()
            .copied()
            .filter(|boundary| Some(*boundary) > sealed)
        {
            if let Err(position) = state.boundaries.binary_search(&boundary) {
                state.boundaries.insert(position, boundary);
            }
        }
    }

    /// The present life, and how far its entries are applied.
    pub(crate) fn applied(&self) -> Option<(Life, LogIndex)> {
        let state = self.state.lock();
        state.applied.map(|applied| (state.life, applied))
    }

    /// The journal's sync has covered what was applied up to here.
    pub(crate) fn set_sealable(&self, life: Life, index: LogIndex) {
        let mut state = self.state.lock();
        if state.life != life {
            return;
        }
        state.sealable = state.sealable.max(Some(index));
    }

    /// The next stretch that may be sealed as one piece, given the first entry in the journal.
    pub(crate) fn next_run(&self, first_in_journal: LogIndex) -> Option<Run> {
        let state = self.state.lock();
        let sealable = state.sealable?;
        let first = state
            .pieces
            .back()
            .map_or(first_in_journal, |piece| piece.last.next());
        let boundary = state
            .boundaries
            .iter()
            .copied()
            .find(|boundary| *boundary >= first);
        let (last, ends_at_boundary) = match boundary {
            Some(boundary) if boundary <= sealable => (boundary, true),
            _ => (sealable, false),
        };
        let reachable = first == first_in_journal && first <= last && !state.removed;
        (reachable && state.swept == state.life).then_some(Run {
            life: state.life,
            first,
            last,
            ends_at_boundary,
        })
    }

    /// Whether a checkpoint interval is complete and waits to be sealed.
    pub(crate) fn has_complete_interval(&self) -> bool {
        let state = self.state.lock();
        state
            .boundaries
            .front()
            .is_some_and(|boundary| Some(*boundary) <= state.applied)
    }

    /// The purge point that is durable in the journal.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.state.lock().purged
    }

    pub(crate) fn set_purged(&self, life: Life, purged: LogId) {
        let mut state = self.state.lock();
        if state.life != life {
            return;
        }
        state.purged = state.purged.max(Some(purged));
    }

    /// Forgets the pieces that lie wholly at or below `last`.
    pub(crate) fn forget_through(&self, last: LogIndex) {
        let mut state = self.state.lock();
        let count = state.pieces.partition_point(|piece| piece.last <= last);
        state.pieces.drain(..count);
    }

    /// Adds leftovers: a new piece, or the last one grown longer.
    pub(crate) fn put_leftovers(&self, life: Life, piece: Piece) {
        let grows = self
            .last_piece()
            .is_some_and(|last| last.first == piece.first);
        if grows {
            self.replace(life, piece);
        } else {
            self.add(life, piece);
        }
    }

    /// Puts one piece in the place of several that cover the same entries, unless the life that they
    /// belong to has ended.
    pub(crate) fn replace(&self, life: Life, piece: Piece) {
        let mut state = self.state.lock();
        if state.life != life {
            return;
        }
        let start = state.pieces.partition_point(|old| old.last < piece.first);
        let end = state.pieces.partition_point(|old| old.first <= piece.last);
        state.pieces.drain(start..end);
        state.pieces.insert(start, piece);
        state.drop_sealed_boundaries();
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.state.lock().removed
    }

    pub(crate) fn set_removed(&self) {
        self.state.lock().removed = true;
    }

    /// An acknowledged entry that a start did not find. The group is not served.
    pub(crate) fn missing(&self) -> Option<LogIndex> {
        self.state.lock().missing
    }

    pub(crate) fn set_missing(&self, index: LogIndex) {
        self.state.lock().missing = Some(index);
    }
}

/// Entries that may leave the journal together. Both ends are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) life: Life,
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    pub(crate) ends_at_boundary: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life::new(0);

    const fn index(value: u64) -> LogIndex {
        LogIndex::new(value)
    }

    fn piece(first: u64, last: u64) -> Piece {
        Piece {
            first: index(first),
            last: index(last),
            bytes: 1,
            family: EntryFamily::Segments,
            closed: true,
        }
    }

    fn log() -> SealedLog {
        SealedLog::new(RaftGroupId::new(7))
    }

    #[test]
    fn nothing_is_sealed_before_the_sync_that_covers_it() {
        let log = log();
        log.allow(index(9), &[]);
        assert_eq!(log.next_run(index(1)), None);
        log.set_sealable(LIFE, index(6));
        let run = log.next_run(index(1)).unwrap();
        assert_eq!((run.first, run.last), (index(1), index(6)));
    }

    #[test]
    fn a_run_stops_at_the_next_boundary() {
        let log = log();
        log.allow(index(9), &[index(4), index(8)]);
        log.set_sealable(LIFE, index(9));
        assert_eq!(log.next_run(index(1)).unwrap().last, index(4));
        log.add(LIFE, piece(1, 4));
        assert_eq!(log.next_run(index(5)).unwrap().last, index(8));
        log.add(LIFE, piece(5, 8));
        let open = log.next_run(index(9)).unwrap();
        assert_eq!((open.last, open.ends_at_boundary), (index(9), false));
    }

    #[test]
    fn entries_are_found_in_the_piece_that_holds_them() {
        let log = log();
        log.add(LIFE, piece(3, 5));
        log.add(LIFE, piece(6, 6));
        assert_eq!(log.piece_at(index(2)), None);
        assert_eq!(log.piece_at(index(4)), Some(piece(3, 5)));
        assert_eq!(log.piece_at(index(6)), Some(piece(6, 6)));
        assert_eq!(log.piece_at(index(7)), None);
        log.forget_through(index(5));
        assert_eq!(log.piece_at(index(4)), None);
    }

    #[test]
    fn a_larger_piece_takes_the_place_of_the_small_ones() {
        let log = log();
        for (first, last) in [(1, 1), (2, 3), (4, 4), (5, 9)] {
            log.add(LIFE, piece(first, last));
        }
        log.replace(LIFE, piece(2, 4));
        assert_eq!(log.pieces(), [piece(1, 1), piece(2, 4), piece(5, 9)]);
    }

    #[test]
    fn what_was_begun_in_a_life_that_has_ended_changes_nothing() {
        let log = log();
        log.allow(index(9), &[]);
        log.set_sealable(LIFE, index(9));
        log.add(LIFE, piece(1, 4));
        let run = log.next_run(index(5)).unwrap();
        assert_eq!(log.begin_life(|life| life), Life::new(1));
        log.add(run.life, piece(5, 9));
        log.replace(run.life, piece(1, 9));
        log.set_sealable(run.life, index(9));
        log.set_purged(run.life, LogId::new(flotilla_types::Term::new(1), index(3)));
        assert_eq!(
            (log.pieces(), log.purged(), log.applied()),
            (Vec::new(), None, None)
        );
        assert_eq!(log.next_run(index(1)), None);
    }

    #[test]
    fn nothing_is_sealed_before_the_pieces_of_former_lives_are_swept_away() {
        let log = log();
        log.add(LIFE, piece(1, 4));
        let life = log.begin_life(|life| life);
        assert_eq!(log.life_to_sweep_for(), None, "it may be undone by a crash");
        log.allow(index(3), &[]);
        log.set_sealable(life, index(3));
        log.set_begun(life);
        assert_eq!(log.next_run(index(1)), None);
        assert_eq!(log.life_to_sweep_for(), Some(life));
        log.set_swept(life);
        assert_eq!(log.life_to_sweep_for(), None);
        assert_eq!(log.next_run(index(1)).unwrap().last, index(3));
    }
}
