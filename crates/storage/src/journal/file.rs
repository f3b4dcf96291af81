//! One open journal file in one of its lives.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogId, RaftGroupId};

use super::format::{
    Defect, FRAME_HEADER_BYTES, FileHeader, FileSequence, FrameHeader, FrameKind, FrameRecord,
    Generation, PAGE_BYTES, Trailer, WriteNumber, decode_index, encode_index, page_up,
};
use crate::disk::DiskFile;
use crate::entry::EntryKind;
use crate::error::{Corruption, IoFailure};

#[derive(Debug)]
pub(crate) struct JournalFileHandle {
    pub(crate) sequence: FileSequence,
    pub(crate) generation: Generation,
    /// Size as allocated.
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// The frame that a reader expects at a place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meant {
    Entry {
        group: RaftGroupId,
        id: LogId,
        kind: EntryKind,
        payload_bytes: u32,
    },
    Vote {
        group: RaftGroupId,
        payload_bytes: u32,
    },
}

impl Meant {
    pub(crate) const fn frame_bytes(&self) -> usize {
        let (Self::Entry { payload_bytes, .. } | Self::Vote { payload_bytes, .. }) = self;
        FRAME_HEADER_BYTES + *payload_bytes as usize
    }

    fn is(&self, found: &FrameHeader) -> bool {
        match *self {
            Self::Entry {
                group,
                id,
                kind,
                payload_bytes,
            } => {
                matches!(found.kind, FrameKind::Append | FrameKind::Moved)
                    && (found.group, found.id) == (group, id)
                    && (found.entry_kind, found.payload_bytes) == (kind, payload_bytes)
            }
            Self::Vote {
                group,
                payload_bytes,
            } => {
                found.kind == FrameKind::Vote
                    && (found.group, found.payload_bytes) == (group, payload_bytes)
            }
        }
    }
}

impl JournalFileHandle {
    /// Begins the life of a file: writes its header and syncs it, before any write may follow.
    pub(crate) fn begin(&self, first_write: WriteNumber) -> Result<(), IoFailure> {
        let header = FileHeader {
            sequence: self.sequence,
            generation: self.generation,
            first_write,
        };
        self.write_page(0, &header.encode())?;
        self.sync()
    }

    /// Writes the index and the trailer behind the last block. They need no sync: without them, a start
    /// scans the file.
    pub(crate) fn close(
        &self,
        frames: &[FrameRecord],
        index_position: u64,
        last_write: u64,
    ) -> Result<u64, IoFailure> {
        let index = encode_index(frames);
        let trailer = Trailer {
            generation: self.generation,
            last_write,
            index_position,
            index_bytes: index.len() as u64,
            index_crc: crc32c::crc32c_append(self.generation.checksum_seed(), &index),
        };
        self.write_page(index_position, &index)?;
        self.write_page(self.bytes - PAGE_BYTES, &trailer.encode())?;
        Ok(page_up(index.len() as u64) + PAGE_BYTES)
    }

    /// The index that `close` wrote, with its trailer; `None` if there is none or it is damaged.
    pub(crate) fn read_index(&self) -> Result<Option<(Trailer, Vec<FrameRecord>)>, IoFailure> {
        let mut page = vec![0; PAGE_BYTES as usize];
        self.read(self.bytes - PAGE_BYTES, &mut page)?;
        let Some(trailer) = Trailer::decode(&page, self.generation) else {
            return Ok(None);
        };
        let end = trailer.index_position.checked_add(trailer.index_bytes);
        if end.is_none_or(|end| end > self.bytes) {
            return Ok(None);
        }
        let mut index = vec![0; trailer.index_bytes as usize];
        self.read(trailer.index_position, &mut index)?;
        let crc = crc32c::crc32c_append(self.generation.checksum_seed(), &index);
        if crc != trailer.index_crc {
            return Ok(None);
        }
        Ok(decode_index(&index).map(|frames| (trailer, frames)))
    }

    /// Reads bytes that hold frames.
    pub(crate) fn read_frames(&self, position: u32, bytes: usize) -> Result<Bytes, IoFailure> {
        let read = self.file.read_vec_at(u64::from(position), bytes);
        let read = read.map_err(|error| IoFailure::new("read", &self.path, error))?;
        Ok(Bytes::from(read))
    }

    /// Checks that the frame that begins `bytes` is the one that is meant, and returns its payload.
    pub(crate) fn check_frame(&self, bytes: &Bytes, meant: &Meant) -> Result<Bytes, Defect> {
        let seed = self.generation.checksum_seed();
        let (found, payload) = FrameHeader::decode(seed, bytes)?;
        if !meant.is(&found) {
            return Err("another frame is where this one was");
        }
        Ok(bytes.slice_ref(payload))
    }

    pub(crate) fn read(&self, position: u64, buffer: &mut [u8]) -> Result<(), IoFailure> {
        let read = self.file.read_exact_at(position, buffer);
        read.map_err(|error| IoFailure::new("read", &self.path, error))
    }

    pub(crate) fn sync(&self) -> Result<(), IoFailure> {
        let synced = self.file.sync_data();
        synced.map_err(|error| IoFailure::new("sync", &self.path, error))
    }

    pub(crate) fn write_page(&self, position: u64, bytes: &[u8]) -> Result<(), IoFailure> {
        let written = self.file.write_all_at(position, &mut [IoSlice::new(bytes)]);
        written.map_err(|error| IoFailure::new("write", &self.path, error))
    }

    pub(crate) fn corruption(&self, position: u64, reason: Defect) -> Corruption {
        Corruption {
            file: self.path.clone(),
            position,
            reason,
        }
    }
}
