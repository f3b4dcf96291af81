//! Reads entries: from memory as far as they are there, from the files else.
//!
//! Nothing is locked while a file is read, so what is read may move meanwhile: the entry is copied
//! forward or given up and its file gets another life. Then its checksum does not match, its place in
//! the index has changed, and the reader looks again. If the place has not changed, the data is
//! damaged.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex};

use super::file::Meant;
use super::format::FileSequence;
use super::group::{Group, GroupIndex, Place};
use super::shared::Shared;
use crate::entry::{EntryKind, LogEntry};
use crate::error::StorageError;

/// Entries whose frames lie closer together than this are read in one piece.
const GAP_BYTES_MAX: u64 = 4 << 10;
/// Most bytes of such a piece.
const PIECE_BYTES_MAX: u64 = 1 << 20;

/// An entry that will be returned, and where its payload is.
#[derive(Debug)]
struct Planned {
    id: LogId,
    kind: EntryKind,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    Cached(Bytes),
    OnDisk { place: Place, bytes: u32 },
}

/// Why an entry could not be read where it was.
struct Miss {
    id: LogId,
    place: Place,
    error: StorageError,
}

/// A contiguous prefix of the range, as far as the journal has it, of at most `bytes_max` payload
/// bytes but at least one entry if the first one is there.
pub(super) fn read(
    shared: &Shared,
    group: &Arc<Group>,
    range: Range<LogIndex>,
    bytes_max: usize,
) -> Result<Vec<LogEntry>, StorageError> {
    loop {
        let plan = plan(&group.index.lock(), &range, bytes_max, Memory::AndDisk);
        let miss = match fetch(shared, group, plan) {
            Ok(entries) => return Ok(entries),
            Err(miss) => miss,
        };
        let index = group.index.lock();
        let slot = index.slot(miss.id.index);
        let is_still_there =
            slot.is_some_and(|slot| slot.term == miss.id.term && slot.place == Some(miss.place));
        drop(index);
        if is_still_there {
            if matches!(miss.error, StorageError::Corrupt(_)) {
                shared.failure.report(&miss.error);
            }
            return Err(miss.error);
        }
    }
}

/// As `read`, from memory only; `None` if the first entry is not there.
pub(super) fn read_cached(
    group: &Group,
    range: &Range<LogIndex>,
    bytes_max: usize,
) -> Option<Vec<LogEntry>> {
    let plan = plan(&group.index.lock(), range, bytes_max, Memory::Only);
    if plan.is_empty() {
        return None;
    }
    let entries = plan
        .into_iter()
        .filter_map(|planned| match planned.payload {
            Payload::Cached(payload) => Some(LogEntry {
                id: planned.id,
                kind: planned.kind,
                payload,
            }),
            Payload::OnDisk { .. } => None,
        });
    Some(entries.collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Only,
    AndDisk,
}

fn plan(
    index: &GroupIndex,
    range: &Range<LogIndex>,
    bytes_max: usize,
    memory: Memory,
) -> Vec<Planned> {
    let mut plan = Vec::new();
    let mut bytes = 0;
    for number in range.start.get()..range.end.get() {
        let number = LogIndex::new(number);
        let Some(slot) = index.slot(number) else {
            break;
        };
        bytes += slot.payload_bytes as usize;
        if bytes > bytes_max && !plan.is_empty() {
            break;
        }
        let payload = match (index.cached(number), slot.place) {
            (Some(payload), _) => Payload::Cached(payload.clone()),
            (None, Some(place)) if memory == Memory::AndDisk => Payload::OnDisk {
                place,
                bytes: slot.payload_bytes,
            },
            // A payload leaves memory only after its place is known.
            (None, _) => break,
        };
        plan.push(Planned {
            id: LogId::new(slot.term, number),
            kind: slot.kind,
            payload,
        });
    }
    plan
}

fn fetch(shared: &Shared, group: &Group, plan: Vec<Planned>) -> Result<Vec<LogEntry>, Miss> {
    let mut entries = Vec::with_capacity(plan.len());
    let mut rest = plan.as_slice();
    while let Some(next) = rest.first() {
        let taken = match &next.payload {
            Payload::Cached(payload) => {
                entries.push(entry(next, payload.clone()));
                1
            }
            Payload::OnDisk { place, .. } => {
                let piece = Piece::of(rest, *place);
                piece.read(shared, group, &mut entries)?;
                piece.planned.len()
            }
        };
        rest = &rest[taken..];
    }
    Ok(entries)
}

fn entry(planned: &Planned, payload: Bytes) -> LogEntry {
    LogEntry {
        id: planned.id,
        kind: planned.kind,
        payload,
    }
}

/// Entries that are read in one piece.
struct Piece<'a> {
    planned: &'a [Planned],
    file: FileSequence,
    start: u64,
    end: u64,
}

impl<'a> Piece<'a> {
    /// The longest piece that begins with the first planned entry, which lies at `first`.
    fn of(planned: &'a [Planned], first: Place) -> Self {
        let mut piece = Self {
            planned: &[],
            file: first.file,
            start: u64::from(first.position),
            end: u64::from(first.position),
        };
        for (count, next) in planned.iter().enumerate() {
            let Payload::OnDisk { place, bytes } = next.payload else {
                break;
            };
            let start = u64::from(place.position);
            let end = start + super::format::FRAME_HEADER_BYTES as u64 + u64::from(bytes);
            let is_near = place.file == piece.file
                && (piece.end..=piece.end + GAP_BYTES_MAX).contains(&start)
                && end - piece.start <= PIECE_BYTES_MAX;
            if count > 0 && !is_near {
                break;
            }
            piece.end = end;
            piece.planned = &planned[..=count];
        }
        piece
    }

    fn read(
        &self,
        shared: &Shared,
        group: &Group,
        entries: &mut Vec<LogEntry>,
    ) -> Result<(), Miss> {
        let Some(first) = self.planned.first() else {
            return Ok(());
        };
        let handle = shared.files.lock().handle(self.file).map(Arc::clone);
        let handle = handle.ok_or_else(|| self.miss(first, StorageError::Closed))?;
        let bytes = (self.end - self.start) as usize;
        let piece = handle.read_frames(self.start as u32, bytes);
        let piece = piece.map_err(|failure| self.miss(first, failure.into()))?;
        for planned in self.planned {
            let Payload::OnDisk { place, bytes } = planned.payload else {
                continue;
            };
            let meant = Meant::Entry {
                group: group.id,
                id: planned.id,
                kind: planned.kind,
                payload_bytes: bytes,
            };
            let start = (u64::from(place.position) - self.start) as usize;
            let frame = piece.slice(start..start + meant.frame_bytes());
            let payload = handle.check_frame(&frame, &meant).map_err(|defect| {
                let corruption = handle.corruption(u64::from(place.position), defect);
                self.miss(planned, corruption.into())
            })?;
            entries.push(entry(planned, payload));
        }
        Ok(())
    }

    fn miss(&self, planned: &Planned, error: StorageError) -> Miss {
        let position = match planned.payload {
            Payload::OnDisk { place, .. } => place.position,
            Payload::Cached(_) => self.start as u32,
        };
        Miss {
            id: planned.id,
            place: Place {
                file: self.file,
                position,
            },
            error,
        }
    }
}
