//! The files of the journal, oldest first, and which groups each one concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{LogIndex, RaftGroupId};

use super::file::JournalFileHandle;
use super::format::{FileSequence, FrameKind, FrameRecord};

#[derive(Debug, Default)]
pub(crate) struct FileTable {
    files: BTreeMap<FileSequence, FileState>,
}

#[derive(Clone, Debug)]
pub(crate) struct FileState {
    pub(crate) handle: Arc<JournalFileHandle>,
    /// Bytes in use, from the start of the file.
    pub(crate) used_bytes: u64,
    /// Nothing is written to it any more.
    pub(crate) is_full: bool,
    /// Every group with a frame in the file, and the lowest and highest index of its entries there.
    pub(crate) groups: BTreeMap<RaftGroupId, Option<IndexSpan>>,
}

/// From the first to the last index, both inclusive.
pub(crate) type IndexSpan = (LogIndex, LogIndex);

impl FileTable {
    pub(crate) fn insert(&mut self, handle: Arc<JournalFileHandle>, used_bytes: u64) {
        let state = FileState {
            used_bytes,
            is_full: false,
            groups: BTreeMap::new(),
            handle,
        };
        self.files.insert(state.handle.sequence, state);
    }

    pub(crate) fn remove(&mut self, sequence: FileSequence) -> Option<FileState> {
        self.files.remove(&sequence)
    }

    pub(crate) fn handle(&self, sequence: FileSequence) -> Option<&Arc<JournalFileHandle>> {
        self.files.get(&sequence).map(|state| &state.handle)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &FileState> {
        self.files.values()
    }

    /// Bytes that the files take on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.handle.bytes).sum()
    }

    pub(crate) fn oldest(&self) -> Option<&FileState> {
        self.files.values().next()
    }

    /// The file that is being written; all others are full.
    pub(crate) fn newest(&self) -> Option<FileSequence> {
        self.files.last_key_value().map(|(sequence, _)| *sequence)
    }

    pub(crate) fn set_full(&mut self, sequence: FileSequence) {
        if let Some(state) = self.files.get_mut(&sequence) {
            state.is_full = true;
        }
    }

    /// Notes that frames were written to a file, which is now in use up to `used_bytes`.
    pub(crate) fn record(
        &mut self,
        sequence: FileSequence,
        used_bytes: u64,
        frames: &[FrameRecord],
    ) {
        let Some(state) = self.files.get_mut(&sequence) else {
            return;
        };
        state.used_bytes = used_bytes;
        for run in frames.chunk_by(|a, b| a.header.group == b.header.group) {
            let span = state.groups.entry(run[0].header.group).or_default();
            for frame in run {
                if matches!(frame.header.kind, FrameKind::Append | FrameKind::Moved) {
                    let index = frame.header.id.index;
                    let (first, last) = span.unwrap_or((index, index));
                    *span = Some((first.min(index), last.max(index)));
                }
            }
        }
    }
}
