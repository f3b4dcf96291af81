//! How a file stops mattering: what still counts in it is written again at the end of the chain.
//!
//! Entries that a segment holds, that were purged or truncated, and those of removed groups do not
//! count. The rest (a vote, a purge point, entries that are not committed) is copied forward and
//! synced, and only then is the file released. So one group without a quorum pins nothing.

use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId};

use super::file::{JournalFileHandle, Meant};
use super::format::{FRAME_HEADER_BYTES, FileSequence, FrameHeader, FrameKind};
use super::group::{Group, GroupIndex, Latest, Place, Slot};
use super::table::{FileState, IndexSpan};
use super::writer::{CopyRequest, NO_ENTRY, Writer, life_id, plain_frame};
use crate::entry::EntryKind;
use crate::error::StorageError;
use crate::life::Life;

/// How far a request to release files got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Finished,
    /// A file cannot be judged until a change that is in flight is durable.
    Waits,
}

/// What still counts in one file.
#[derive(Debug, Default)]
struct Leftovers {
    items: Vec<Leftover>,
    bytes: u64,
}

#[derive(Debug)]
struct Leftover {
    group: Arc<Group>,
    /// What is written of one life says nothing of the next.
    life: Life,
    what: Item,
}

#[derive(Debug)]
enum Item {
    Entry {
        id: LogId,
        slot: Slot,
        old: Place,
        cached: Option<Bytes>,
    },
    Vote(Bytes),
    Purged(LogId),
    Sealed(LogId),
    Removal,
    Life(Life),
}

impl Writer {
    /// Releases full files, oldest first, as far as the request allows.
    pub(super) fn copy_forward(&mut self, request: &CopyRequest) -> Result<Progress, StorageError> {
        // What is copied may fill files, too; those are not this request's.
        let newest = self.shared.files.lock().newest();
        loop {
            let oldest = self.shared.files.lock().oldest().cloned();
            let Some(oldest) = oldest.filter(|file| Some(file.handle.sequence) < newest) else {
                return Ok(Progress::Finished);
            };
            let Some(leftovers) = self.leftovers(&oldest) else {
                return Ok(Progress::Waits);
            };
            if leftovers.bytes > request.copy_bytes_max {
                return Ok(Progress::Finished);
            }
            self.rewrite(&oldest.handle, &leftovers)?;
            self.shared.files.lock().remove(oldest.handle.sequence);
            request.released.lock().push(oldest.handle);
        }
    }

    /// Collects what counts in a file; `None` while something is in flight that decides about it.
    fn leftovers(&self, file: &FileState) -> Option<Leftovers> {
        let mut leftovers = Leftovers::default();
        for (id, span) in &file.groups {
            let Some(group) = self.shared.group(*id) else {
                continue;
            };
            let index = group.index.lock();
            if index.drops_in_flight > 0 {
                return None;
            }
            leftovers.collect(&group, &index, (file.handle.sequence, *span));
        }
        Some(leftovers)
    }

    fn rewrite(
        &mut self,
        from: &JournalFileHandle,
        leftovers: &Leftovers,
    ) -> Result<(), StorageError> {
        for leftover in &leftovers.items {
            let (header, payload) = leftover.frame(from)?;
            self.block.push(header, payload);
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let (file, frames) = self.chain.write(&mut self.block)?;
        for (leftover, frame) in leftovers.items.iter().zip(frames) {
            let position = frame.position;
            leftover.publish(Place { file, position });
        }
        self.owe_watermark();
        Ok(())
    }
}

impl Leftovers {
    fn collect(
        &mut self,
        group: &Arc<Group>,
        index: &GroupIndex,
        (file, span): (FileSequence, Option<IndexSpan>),
    ) {
        if let Some(removal) = &index.removal {
            if removal.file == Some(file) {
                self.add(group, index, Item::Removal);
            }
            return;
        }
        if let Some(reset) = index
            .reset
            .as_ref()
            .filter(|reset| reset.file == Some(file))
        {
            self.add(group, index, Item::Life(reset.value));
        }
        if let Some(vote) = index.vote.as_ref().filter(|vote| vote.file == Some(file)) {
            self.add(group, index, Item::Vote(vote.value.clone()));
        }
        if let Some(purged) = index
            .purged
            .as_ref()
            .filter(|purged| purged.file == Some(file))
        {
            self.add(group, index, Item::Purged(purged.value));
        }
        if let Some(sealed) = index.sealed {
            let on_disk = index.sealed_on_disk.as_ref();
            let is_safe = on_disk
                .is_some_and(|on_disk| on_disk.value == sealed && on_disk.file != Some(file));
            if !is_safe {
                self.add(group, index, Item::Sealed(sealed));
            }
        }
        let Some((first, last)) = span else {
            return;
        };
        for (id, slot, old) in entries_in(index, file, (first, last)) {
            let cached = index.cached(id.index).cloned();
            self.bytes += FRAME_HEADER_BYTES as u64 + u64::from(slot.payload_bytes);
            let what = Item::Entry {
                id,
                slot,
                old,
                cached,
            };
            self.add(group, index, what);
        }
    }

    fn add(&mut self, group: &Arc<Group>, index: &GroupIndex, what: Item) {
        self.items.push(Leftover {
            group: Arc::clone(group),
            life: index.life(),
            what,
        });
    }
}

/// The entries of a span that still count and whose place is in the file.
pub(super) fn entries_in(
    index: &GroupIndex,
    file: FileSequence,
    (first, last): IndexSpan,
) -> impl DoubleEndedIterator<Item = (LogId, Slot, Place)> {
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "an empty log has no entry in any span"
    )]
    let range = index.range().map_or(1..=0, |(start, end)| {
        first.max(start.index).get()..=last.min(end.index).get()
    });
    range.filter_map(move |number| {
        let number = LogIndex::new(number);
        let slot = *index.slot(number)?;
        let place = slot.place.filter(|place| place.file == file)?;
        Some((LogId::new(slot.term, number), slot, place))
    })
}

impl Leftover {
    fn frame(&self, from: &JournalFileHandle) -> Result<(FrameHeader, Bytes), StorageError> {
        let group = self.group.id;
        let frame = match &self.what {
            Item::Entry {
                id,
                slot,
                old,
                cached,
            } => {
                let payload = match cached {
                    Some(payload) => payload.clone(),
                    None => read_entry(from, (group, *id), (slot, *old))?,
                };
                let header = FrameHeader {
                    kind: FrameKind::Moved,
                    entry_kind: slot.kind,
                    group,
                    id: *id,
                    payload_bytes: slot.payload_bytes,
                };
                (header, payload)
            }
            Item::Vote(vote) => {
                let header = FrameHeader {
                    kind: FrameKind::Vote,
                    entry_kind: EntryKind::Blank,
                    group,
                    id: NO_ENTRY,
                    payload_bytes: vote.len() as u32,
                };
                (header, vote.clone())
            }
            Item::Purged(id) => (plain_frame(FrameKind::Purge, group, *id), Bytes::new()),
            Item::Sealed(id) => (plain_frame(FrameKind::Sealed, group, *id), Bytes::new()),
            Item::Removal => (
                plain_frame(FrameKind::Remove, group, NO_ENTRY),
                Bytes::new(),
            ),
            Item::Life(life) => (
                plain_frame(FrameKind::Life, group, life_id(*life)),
                Bytes::new(),
            ),
        };
        Ok(frame)
    }

    fn publish(&self, new: Place) {
        let mut index = self.group.index.lock();
        let file = new.file;
        if index.life() != self.life && !matches!(self.what, Item::Vote(_)) {
            return;
        }
        match &self.what {
            Item::Entry { id, old, .. } => index.move_place(*id, *old, new),
            Item::Vote(_) => Latest::set_file(&mut index.vote, file),
            Item::Purged(_) => Latest::set_file(&mut index.purged, file),
            Item::Sealed(id) => {
                index.sealed_on_disk = Some(Latest {
                    value: *id,
                    file: Some(file),
                });
            }
            Item::Removal => Latest::set_file(&mut index.removal, file),
            Item::Life(_) => Latest::set_file(&mut index.reset, file),
        }
    }
}

fn read_entry(
    file: &JournalFileHandle,
    (group, id): (RaftGroupId, LogId),
    (slot, place): (&Slot, Place),
) -> Result<Bytes, StorageError> {
    let meant = Meant::Entry {
        group,
        id,
        kind: slot.kind,
        payload_bytes: slot.payload_bytes,
    };
    let bytes = file.read_frames(place.position, meant.frame_bytes())?;
    let payload = file.check_frame(&bytes, &meant);
    payload.map_err(|defect| file.corruption(u64::from(place.position), defect).into())
}
