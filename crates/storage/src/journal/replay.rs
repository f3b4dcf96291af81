//! Rebuilds what the journal knows of each group from the frames of its files, oldest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId};

use super::file::{JournalFileHandle, Meant};
use super::format::{FrameHeader, FrameKind, FrameRecord};
use super::group::{GroupIndex, Latest, Place, Slot};
use super::table::FileTable;
use crate::error::{Corruption, OpenError};
use crate::life::Life;

#[derive(Debug, Default)]
pub(super) struct Replay {
    groups: BTreeMap<RaftGroupId, GroupReplay>,
}

#[derive(Debug, Default)]
struct GroupReplay {
    entries: BTreeMap<LogIndex, Slot>,
    vote: Option<(FrameHeader, Place)>,
    purged: Option<Latest<LogId>>,
    sealed: Option<Latest<LogId>>,
    removal: Option<Latest<()>>,
    reset: Option<Latest<Life>>,
}

impl Replay {
    pub(super) fn apply(&mut self, file: &JournalFileHandle, frames: &[FrameRecord]) {
        for frame in frames {
            let place = Place {
                file: file.sequence,
                position: frame.position,
            };
            let group = self.groups.entry(frame.header.group).or_default();
            group.apply(&frame.header, place);
        }
    }

    /// Checks every log for holes, reads the votes, and builds the index of each group.
    pub(super) fn finish(
        self,
        files: &FileTable,
    ) -> Result<BTreeMap<RaftGroupId, GroupIndex>, OpenError> {
        let groups = self.groups.into_iter();
        groups
            .map(|(id, group)| Ok((id, group.finish(id, files)?)))
            .collect()
    }
}

impl GroupReplay {
    fn apply(&mut self, header: &FrameHeader, place: Place) {
        let file = Some(place.file);
        let LogId { index, term } = header.id;
        let slot = Slot {
            term,
            place: Some(place),
            payload_bytes: header.payload_bytes,
            kind: header.entry_kind,
        };
        match header.kind {
            FrameKind::Remove => {
                *self = Self {
                    removal: Some(Latest { value: (), file }),
                    ..Self::default()
                };
            }
            _ if self.removal.is_some() => {}
            FrameKind::Append => {
                self.truncate_from(index);
                self.entries.insert(index, slot);
            }
            FrameKind::Moved => {
                let known = self.entries.get(&index);
                if known.is_none_or(|known| known.term == term) {
                    self.entries.insert(index, slot);
                }
            }
            FrameKind::Vote => self.vote = Some((*header, place)),
            FrameKind::Truncate => self.truncate_from(index),
            FrameKind::Reset => {
                *self = Self {
                    vote: self.vote.take(),
                    reset: Some(life_in(index, place)),
                    ..Self::default()
                };
            }
            FrameKind::Life => self.reset = Some(life_in(index, place)),
            FrameKind::Purge => raise(&mut self.purged, header.id, place),
            FrameKind::Sealed => raise(&mut self.sealed, header.id, place),
        }
    }

    fn truncate_from(&mut self, first_removed: LogIndex) {
        let last = self.entries.last_key_value();
        if last.is_some_and(|(last, _)| *last >= first_removed) {
            self.entries.split_off(&first_removed);
        }
    }

    fn finish(mut self, id: RaftGroupId, files: &FileTable) -> Result<GroupIndex, OpenError> {
        let purged = self.purged.iter().map(|purged| purged.value.index);
        let sealed = self.sealed.iter().map(|sealed| sealed.value.index);
        let floor = purged.chain(sealed).max();
        if let Some(floor) = floor {
            self.entries = self.entries.split_off(&floor.next());
        }
        let mut expected = floor.map(LogIndex::next);
        for (index, slot) in &self.entries {
            if expected.is_some_and(|expected| expected != *index) {
                return Err(hole_before(slot, files).into());
            }
            expected = Some(index.next());
        }
        let vote = match self.vote {
            Some((header, place)) => Some(Latest {
                value: read_vote(id, &header, place, files)?,
                file: Some(place.file),
            }),
            None => None,
        };
        let first = self
            .entries
            .first_key_value()
            .map_or(0, |(first, _)| first.get());
        let slots = self.entries.into_values().collect();
        let mut index = GroupIndex::recovered(first, slots);
        index.vote = vote;
        index.purged = self.purged;
        index.sealed = self.sealed.as_ref().map(|sealed| sealed.value);
        index.sealed_on_disk = self.sealed;
        index.removal = self.removal;
        index.reset = self.reset;
        Ok(index)
    }
}

/// The life that a frame names.
const fn life_in(index: LogIndex, place: Place) -> Latest<Life> {
    Latest {
        value: Life::new(index.get()),
        file: Some(place.file),
    }
}

/// A point that only moves up; one that is repeated counts where it was written last.
fn raise(point: &mut Option<Latest<LogId>>, id: LogId, place: Place) {
    if point
        .as_ref()
        .is_none_or(|point| point.value.index <= id.index)
    {
        *point = Some(Latest {
            value: id,
            file: Some(place.file),
        });
    }
}

fn read_vote(
    group: RaftGroupId,
    header: &FrameHeader,
    place: Place,
    files: &FileTable,
) -> Result<Bytes, OpenError> {
    let file = handle(place, files);
    let meant = Meant::Vote {
        group,
        payload_bytes: header.payload_bytes,
    };
    let bytes = file.read_frames(place.position, meant.frame_bytes())?;
    let vote = file.check_frame(&bytes, &meant);
    vote.map_err(|defect| file.corruption(u64::from(place.position), defect).into())
}

fn hole_before(slot: &Slot, files: &FileTable) -> Corruption {
    let place = slot.place.expect("every replayed entry has a place");
    let file = handle(place, files);
    let reason = "entries before this one are missing";
    file.corruption(u64::from(place.position), reason)
}

fn handle(place: Place, files: &FileTable) -> &Arc<JournalFileHandle> {
    let handle = files.handle(place.file);
    handle.expect("every replayed frame lies in a file of the table")
}
