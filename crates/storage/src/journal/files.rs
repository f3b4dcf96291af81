//! The journal's files, as the sealer sees them: what lies in each, and getting them back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::JournalFile;
use super::handle::Journal;
use super::mutation::{Change, Released};
use super::release::entries_in;
use super::shared::GrowthCallback;
use super::table::FileState;
use crate::entry::Completion;
use crate::error::StorageError;

impl Journal {
    /// The journal files, oldest first.
    pub(crate) fn files(&self) -> Vec<JournalFile> {
        let files: Vec<FileState> = self.shared.files.lock().iter().cloned().collect();
        files
            .into_iter()
            .map(|file| self.describe_file(&file))
            .collect()
    }

    /// Whether there is a file to which nothing is written any more.
    pub(crate) fn has_full_file(&self) -> bool {
        self.shared
            .files
            .lock()
            .oldest()
            .is_some_and(|oldest| oldest.is_full)
    }

    /// Releases full files, oldest first, as long as the entries that still count in one are at most
    /// `copy_bytes_max` bytes: the writer copies them, votes and purge points forward and syncs them. A
    /// file appears in the answer once nothing counts in it; `done` runs when the request is done
    /// with, which may take until changes that are in flight are durable. Then
    /// [`Journal::recycle`] gives the files back.
    pub(crate) fn copy_forward(&self, copy_bytes_max: u64, done: Completion) -> Released {
        let released = Released::default();
        let change = Change::CopyForward {
            copy_bytes_max,
            released: Arc::clone(&released),
        };
        self.submit(change, done);
        released
    }

    /// Gives released files back, oldest first. Waits for the disk. Returns how many there were.
    pub(crate) fn recycle(&self, released: &Released) -> Result<usize, StorageError> {
        if let Some(error) = self.shared.failure.error() {
            return Err(error);
        }
        let files = std::mem::take(&mut *released.lock());
        for file in &files {
            // It is full, but for what no block fitted into.
            let spares = &self.shared.spares;
            let recycled = spares.recycle(&file.path, file.bytes, file.bytes);
            recycled.map_err(|failure| {
                // A later file must not go before this one: a gap in the chain means damage.
                let error = StorageError::from(failure);
                self.shared.failure.report(&error);
                error
            })?;
        }
        Ok(files.len())
    }

    /// Allocates a spare file if there is none. Waits for the disk.
    pub(crate) fn prepare_spare(&self) -> Result<(), StorageError> {
        Ok(self.shared.spares.prepare()?)
    }

    #[cfg(test)]
    pub(crate) fn spare_files(&self) -> usize {
        self.shared.spares.count()
    }

    /// Bytes that the journal files take on disk, spares left out.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.files.lock().bytes()
    }

    /// Tells how large the journal is whenever it takes another file, on the writer's thread. It is set
    /// once and must not block.
    pub(crate) fn on_growth(&self, callback: Box<dyn Fn(u64) + Send + Sync>) {
        // A second one would be a mistake of ours, and changes nothing.
        let _ = self.shared.on_growth.set(GrowthCallback(callback));
    }

    /// Bytes written since the start.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.shared.bytes_written.load(Ordering::Relaxed)
    }

    fn describe_file(&self, file: &FileState) -> JournalFile {
        let spans = file.groups.iter().filter_map(|(id, span)| {
            let group = self.shared.group(*id)?;
            let index = group.index.lock();
            let mut entries = entries_in(&index, file.handle.sequence, (*span)?);
            let (first, ..) = entries.next()?;
            let last = entries.next_back().map_or(first, |(last, ..)| last);
            Some((*id, first.index, last.index))
        });
        JournalFile {
            sequence: file.handle.sequence.get(),
            bytes: file.used_bytes,
            full: file.is_full,
            groups: spans.collect(),
        }
    }
}
