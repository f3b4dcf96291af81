//! What the tables hold when a directory is opened.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use flotilla_types::RaftGroupId;

use crate::engine::{reset_rows, sweep_pieces};
use crate::identity::Identity;
use crate::life::Life;
use crate::sealed::Piece;
use crate::tables::values::{self, LeftoverRun, ValueError};
use crate::tables::{Change, Durability, EntryFamily, RowFamily, Tables, TablesError, keys};

/// What the tables know before the journal is read.
pub(crate) struct Stored {
    pub(crate) identity: Option<Identity>,
    pub(crate) removed: Vec<RaftGroupId>,
    pub(crate) pieces: BTreeMap<RaftGroupId, Vec<Piece>>,
    /// Takes away the leftover runs whose entries are in a segment by now.
    pub(crate) obsolete: BTreeMap<RaftGroupId, Vec<Change>>,
    /// The life before which no row of a group is left, for groups that were reset.
    rows_lives: BTreeMap<RaftGroupId, Life>,
    /// The life before which no piece of a group is left, for groups that were reset.
    pieces_lives: BTreeMap<RaftGroupId, Life>,
}

impl Stored {
    pub(crate) fn read(tables: &dyn Tables) -> Result<Self, TablesError> {
        let identity = tables
            .row(RowFamily::System, &keys::identity())?
            .map(|value| values::decode_identity(&value).map_err(damaged))
            .transpose()?;
        let mut removed = Vec::new();
        for (key, value) in tables.rows(RowFamily::System, keys::all_tombstones(), usize::MAX)? {
            values::decode_tombstone(&value).map_err(damaged)?;
            removed.push(keys::decode_tombstone(&key).ok_or_else(misplaced)?);
        }
        let mut stored = Self {
            identity,
            removed,
            pieces: BTreeMap::new(),
            obsolete: BTreeMap::new(),
            rows_lives: lives(tables, keys::all_rows_lives())?,
            pieces_lives: lives(tables, keys::all_pieces_lives())?,
        };
        stored.add_segments(tables)?;
        stored.add_leftovers(tables)?;
        Ok(stored)
    }

    fn add_segments(&mut self, tables: &dyn Tables) -> Result<(), TablesError> {
        for segment in tables.segments()? {
            self.pieces
                .entry(segment.first.group)
                .or_default()
                .push(Piece {
                    first: segment.first.index,
                    last: segment.last,
                    bytes: segment.bytes,
                    family: EntryFamily::Segments,
                    closed: true,
                });
        }
        Ok(())
    }

    fn add_leftovers(&mut self, tables: &dyn Tables) -> Result<(), TablesError> {
        for (key, value) in tables.rows(RowFamily::System, keys::all_leftover_runs(), usize::MAX)? {
            let first = keys::decode_leftover_run(&key).ok_or_else(misplaced)?;
            let LeftoverRun {
                last,
                bytes,
                closed,
            } = LeftoverRun::decode(&value).map_err(damaged)?;
            let family = EntryFamily::Leftovers;
            let piece = Piece {
                first: first.index,
                last,
                bytes,
                family,
                closed,
            };
            let pieces = self.pieces.entry(first.group).or_default();
            // A segment that was made of leftovers ends where they end; it begins later if a purge
            // had cut off their start.
            if pieces
                .iter()
                .any(|segment| segment.first <= last && last <= segment.last)
            {
                let obsolete = self.obsolete.entry(first.group).or_default();
                obsolete.extend(drop_leftovers(first.group, &piece));
            } else {
                pieces.push(piece);
            }
        }
        for pieces in self.pieces.values_mut() {
            pieces.sort_unstable_by_key(|piece| piece.first);
        }
        Ok(())
    }

    /// The last life that the tables know of.
    pub(crate) fn life(&self, id: RaftGroupId) -> Life {
        let known = [&self.rows_lives, &self.pieces_lives];
        let lives = known.iter().filter_map(|lives| lives.get(&id).copied());
        lives.max().unwrap_or_default()
    }

    /// Takes what the tables hold of a group. What belongs to a life before the one that the journal
    /// tells is swept away first: a crash came between that reset and its end.
    pub(crate) fn take_pieces(
        &mut self,
        tables: &dyn Tables,
        (id, life): (RaftGroupId, Life),
    ) -> Result<Vec<Piece>, TablesError> {
        let pieces = self.pieces.remove(&id).unwrap_or_default();
        let known = |lives: &BTreeMap<_, _>| lives.get(&id).copied().unwrap_or_default();
        if known(&self.rows_lives) < life {
            tables.write(&reset_rows(id, life), Durability::Synced)?;
        }
        if known(&self.pieces_lives) < life {
            sweep_pieces(tables, id, life)?;
            self.obsolete.remove(&id);
            return Ok(Vec::new());
        }
        Ok(pieces)
    }
}

fn lives(
    tables: &dyn Tables,
    keys: Range<Vec<u8>>,
) -> Result<BTreeMap<RaftGroupId, Life>, TablesError> {
    let rows = tables.rows(RowFamily::System, keys, usize::MAX)?;
    rows.into_iter()
        .map(|(key, value)| {
            let group = keys::decode_life(&key).ok_or_else(misplaced)?;
            Ok((group, values::decode_life(&value).map_err(damaged)?))
        })
        .collect()
}

/// The changes that take a leftover run away.
pub(crate) fn drop_leftovers(id: RaftGroupId, piece: &Piece) -> [Change; 2] {
    let first = keys::EntryKey::new(id, piece.first);
    let range = piece.first..piece.last.next();
    [
        Change::DropLeftovers(id, range),
        Change::Delete(RowFamily::System, keys::leftover_run(first)),
    ]
}

pub(crate) fn damaged(error: ValueError) -> TablesError {
    TablesError::Corrupt(Arc::new(error))
}

fn misplaced() -> TablesError {
    damaged(ValueError::Length(0))
}
