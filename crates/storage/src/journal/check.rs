//! Reads full files once more, to find damage while other replicas can still make up for it.
//!
//! A file is read write by write. If one is not whole, the entries and votes that still count in the
//! file are looked at one by one: damage to them is damage to acknowledged data. Damage to anything
//! else concerns nobody, because the file's index stands in for it at a start; it goes with the file.

use std::collections::HashMap;
use std::sync::Arc;

use flotilla_types::RaftGroupId;

use super::file::{JournalFileHandle, Meant};
use super::format::{
    Defect, FileHeader, FileSequence, FrameKind, FrameRecord, PAGE_BYTES, WriteNumber,
};
use super::group::Place;
use super::handle::Journal;
use super::scan::Scan;
use super::table::FileState;
use crate::error::{IoFailure, StorageError};

/// How far a check of all full files has come.
#[derive(Debug, Default)]
pub(crate) struct FileCheck {
    /// The file that is being read.
    open: Option<OpenCheck>,
    /// The last one that was read to its end.
    done: Option<FileSequence>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct OpenCheck {
    file: FileState,
    scan: Scan,
}

/// Why the next write of a file is not whole.
enum Suspicion {
    Defect(Defect),
    Io(IoFailure),
}

impl Journal {
    /// Checks the next write of the full files, oldest first, and tells its bytes; `None` when all
    /// are checked. Damage is reported as the failure that it is. Waits for the disk.
    pub(crate) fn check_next(&self, check: &mut FileCheck) -> Result<Option<u64>, StorageError> {
        if let Some(error) = self.shared.failure.error() {
            return Err(error);
        }
        if check.open.is_none() {
            let Some(file) = self.next_full(check.done) else {
                return Ok(None);
            };
            match read_first_write(&file.handle) {
                Ok(first_write) => {
                    let scan = Scan::new(first_write);
                    check.open = Some(OpenCheck { file, scan });
                    return Ok(Some(PAGE_BYTES));
                }
                Err(suspicion) => return self.look_closer(check, &file, 0, suspicion).map(Some),
            }
        }
        let Some(mut open) = check.open.take() else {
            return Ok(None);
        };
        let handle = Arc::clone(&open.file.handle);
        let position = open.scan.position;
        let suspicion = match open.scan.advance(&handle, &mut check.buffer) {
            Ok(true) => {
                open.scan.frames.clear();
                let bytes = open.scan.position - position;
                if open.scan.position >= open.file.used_bytes {
                    check.done = Some(handle.sequence);
                } else {
                    check.open = Some(open);
                }
                return Ok(Some(bytes));
            }
            Ok(false) if position >= open.file.used_bytes => {
                check.done = Some(handle.sequence);
                return Ok(Some(0));
            }
            Ok(false) => Suspicion::Defect(open.scan.end),
            Err(failure) => Suspicion::Io(failure),
        };
        self.look_closer(check, &open.file, position, suspicion)
            .map(Some)
    }

    fn next_full(&self, done: Option<FileSequence>) -> Option<FileState> {
        let files = self.shared.files.lock();
        let mut full = files.iter().filter(|file| file.is_full);
        full.find(|file| Some(file.handle.sequence) > done).cloned()
    }

    /// A write is not whole. Says whether that matters, and is done with the file. Returns the bytes
    /// that were read.
    fn look_closer(
        &self,
        check: &mut FileCheck,
        file: &FileState,
        position: u64,
        suspicion: Suspicion,
    ) -> Result<u64, StorageError> {
        let handle = &file.handle;
        check.done = Some(handle.sequence);
        let outcome = self.check_what_counts(handle, position, &suspicion);
        // A file that was released meanwhile may have begun another life.
        if !self.has(handle) {
            return Ok(0);
        }
        match outcome {
            Ok(()) => {
                let reason: &dyn std::fmt::Display = match &suspicion {
                    Suspicion::Defect(defect) => defect,
                    Suspicion::Io(failure) => failure,
                };
                tracing::warn!(file = %handle.path.display(), position, %reason, "a journal file is damaged where nothing counts any more");
                Ok(file.used_bytes)
            }
            Err(error) => {
                self.shared.failure.report(&error);
                Err(error)
            }
        }
    }

    fn has(&self, handle: &Arc<JournalFileHandle>) -> bool {
        let files = self.shared.files.lock();
        let present = files.handle(handle.sequence);
        present.is_some_and(|present| Arc::ptr_eq(present, handle))
    }

    fn check_what_counts(
        &self,
        handle: &JournalFileHandle,
        position: u64,
        suspicion: &Suspicion,
    ) -> Result<(), StorageError> {
        // Without the index, a start would have to read the whole file, and find it damaged.
        let Some((_, frames)) = handle.read_index()? else {
            return Err(match suspicion {
                Suspicion::Defect(defect) => handle.corruption(position, defect).into(),
                Suspicion::Io(failure) => failure.clone().into(),
            });
        };
        let mut last_votes: HashMap<RaftGroupId, &FrameRecord> = HashMap::new();
        for frame in &frames {
            match frame.header.kind {
                FrameKind::Vote => {
                    last_votes.insert(frame.header.group, frame);
                }
                FrameKind::Append | FrameKind::Moved => self.check_frame(handle, frame)?,
                _ => {}
            }
        }
        for frame in last_votes.into_values() {
            self.check_frame(handle, frame)?;
        }
        Ok(())
    }

    /// Checks one frame if it counts, and counts on doing so after it was found damaged.
    fn check_frame(
        &self,
        handle: &JournalFileHandle,
        frame: &FrameRecord,
    ) -> Result<(), StorageError> {
        if !self.counts(handle, frame) {
            return Ok(());
        }
        let header = &frame.header;
        let (group, payload_bytes) = (header.group, header.payload_bytes);
        let meant = match header.kind {
            FrameKind::Vote => Meant::Vote {
                group,
                payload_bytes,
            },
            _ => Meant::Entry {
                group,
                id: header.id,
                kind: header.entry_kind,
                payload_bytes,
            },
        };
        let read = handle.read_frames(frame.position, meant.frame_bytes());
        let checked = read.map_err(StorageError::from).and_then(|bytes| {
            let payload = handle.check_frame(&bytes, &meant);
            payload.map_err(|defect| {
                let position = u64::from(frame.position);
                handle.corruption(position, defect).into()
            })
        });
        match checked {
            Err(error) if self.counts(handle, frame) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the frame is where an entry or a vote is that may be asked for.
    fn counts(&self, handle: &JournalFileHandle, frame: &FrameRecord) -> bool {
        let Some(group) = self.shared.group(frame.header.group) else {
            return false;
        };
        let index = group.index.lock();
        if frame.header.kind == FrameKind::Vote {
            let vote = index.vote.as_ref();
            return vote.is_some_and(|vote| vote.file == Some(handle.sequence));
        }
        let place = Place {
            file: handle.sequence,
            position: frame.position,
        };
        let slot = index.slot(frame.header.id.index);
        slot.is_some_and(|slot| slot.place == Some(place))
    }
}

/// The number of the first write, from the file's first page.
fn read_first_write(handle: &JournalFileHandle) -> Result<WriteNumber, Suspicion> {
    let mut page = vec![0; PAGE_BYTES as usize];
    handle.read(0, &mut page).map_err(Suspicion::Io)?;
    match FileHeader::decode(&page) {
        Ok(Ok(header))
            if (header.sequence, header.generation) == (handle.sequence, handle.generation) =>
        {
            Ok(header.first_write)
        }
        Ok(_) => Err(Suspicion::Defect("the file header is another one's")),
        Err(defect) => Err(Suspicion::Defect(defect)),
    }
}
