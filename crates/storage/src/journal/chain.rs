//! The chain of journal files as one sequence of numbered writes.

use std::path::Path;
use std::sync::Arc;

use super::block::{AHEAD_BYTES, BlockBuilder};
use super::file::JournalFileHandle;
use super::format::{
    BLOCK_HEADER_BYTES, FileSequence, FrameRecord, Generation, PAGE_BYTES, WriteNumber,
    closing_bytes, page_up,
};
use super::shared::Shared;
use crate::error::IoFailure;

/// Zeros are written ahead of blocks up to this size.
const SMALL_BLOCK_BYTES_MAX: u64 = AHEAD_BYTES / 4;

/// The end of the chain, where writes go. Owned by the writer.
#[derive(Debug)]
pub(crate) struct Chain {
    shared: Arc<Shared>,
    end: ChainEnd,
}

/// Where the next write goes.
#[derive(Debug)]
pub(crate) struct ChainEnd {
    /// `None` before the very first write of a node.
    pub(crate) current: Option<CurrentFile>,
    pub(crate) next_write: WriteNumber,
}

/// The file that is being written.
#[derive(Debug)]
pub(crate) struct CurrentFile {
    pub(crate) handle: Arc<JournalFileHandle>,
    /// Where the next block begins.
    pub(crate) position: u64,
    /// Up to here the file was written before, in this life or an earlier one.
    pub(crate) touched: u64,
    /// Every frame in the file, for its index.
    pub(crate) frames: Vec<FrameRecord>,
}

/// Name of the file with a number.
pub(crate) fn file_name(sequence: FileSequence) -> String {
    format!("{:010}.log", sequence.get())
}

/// The number that a file's name tells, if it is a journal file.
pub(crate) fn parse_file_name(name: &str) -> Option<FileSequence> {
    let number = name.strip_suffix(".log")?.parse().ok()?;
    FileSequence::new(number).filter(|sequence| file_name(*sequence) == name)
}

impl Chain {
    pub(crate) const fn new(shared: Arc<Shared>, end: ChainEnd) -> Self {
        Self { shared, end }
    }

    /// Makes the block durable: one write, one sync. Returns the file and where the frames are in it.
    pub(crate) fn write(
        &mut self,
        block: &mut BlockBuilder,
    ) -> Result<(FileSequence, &[FrameRecord]), IoFailure> {
        let block_bytes = block.block_bytes();
        let current = match self.end.current.take() {
            Some(current) if current.has_room(block_bytes, block.frame_count()) => current,
            full => self.next_file(full, block_bytes, block.frame_count())?,
        };
        let current = self.end.current.insert(current);
        let write = self.end.next_write;
        let first_frame = current.frames.len();
        let ahead_bytes = current.ahead_bytes(block_bytes);
        let handle = &current.handle;
        let stamp = (handle.generation, write);
        block
            .write(
                &*handle.file,
                (current.position, ahead_bytes),
                stamp,
                &mut current.frames,
            )
            .map_err(|error| IoFailure::new("write", &handle.path, error))?;
        handle.sync()?;
        current.position += block_bytes;
        current.touched = current.touched.max(current.position + ahead_bytes);
        self.end.next_write = write.next();
        self.shared.count_written(block_bytes + ahead_bytes);
        let frames = &current.frames[first_frame..];
        let mut files = self.shared.files.lock();
        files.record(handle.sequence, current.position, frames);
        Ok((handle.sequence, frames))
    }

    /// Closes the current file, if there is one, and begins the next one.
    fn next_file(
        &self,
        full: Option<CurrentFile>,
        block_bytes: u64,
        frame_count: usize,
    ) -> Result<CurrentFile, IoFailure> {
        let sequence = match full {
            Some(full) => {
                self.close(&full)?;
                full.handle.sequence.next()
            }
            None => FileSequence::FIRST,
        };
        let needed = PAGE_BYTES + block_bytes + closing_bytes(frame_count);
        let spares = &self.shared.spares;
        let spare = if needed <= self.shared.config.file_bytes {
            spares.take()?
        } else {
            spares.allocate(needed)?
        };
        let handle = Arc::new(self.begin(sequence, &spare.path)?);
        self.shared.count_written(PAGE_BYTES);
        let mut files = self.shared.files.lock();
        files.insert(Arc::clone(&handle), PAGE_BYTES);
        let bytes = files.bytes();
        drop(files);
        if let Some(callback) = self.shared.on_growth.get() {
            (callback.0)(bytes);
        }
        Ok(CurrentFile {
            handle,
            position: PAGE_BYTES,
            touched: spare.touched,
            frames: Vec::new(),
        })
    }

    fn close(&self, full: &CurrentFile) -> Result<(), IoFailure> {
        let last_write = self.end.next_write.previous();
        let written = full.handle.close(&full.frames, full.position, last_write)?;
        self.shared.count_written(written);
        self.shared.files.lock().set_full(full.handle.sequence);
        Ok(())
    }

    /// Turns a spare into the file with the given number, durably.
    fn begin(&self, sequence: FileSequence, spare: &Path) -> Result<JournalFileHandle, IoFailure> {
        let config = &self.shared.config;
        let path = config.directory.join(file_name(sequence));
        let disk = &self.shared.disk;
        let opened = disk.rename(spare, &path).and_then(|()| {
            let file = disk.open(&path)?;
            let bytes = file.bytes()?;
            Ok((file, bytes))
        });
        let (file, bytes) = opened.map_err(|error| IoFailure::new("begin", &path, error))?;
        self.shared.spares.sync()?;
        let handle = JournalFileHandle {
            sequence,
            generation: Generation::of(config.salt, sequence),
            bytes,
            path,
            file,
        };
        handle.begin(self.end.next_write)?;
        Ok(handle)
    }
}

impl CurrentFile {
    /// Whether a block fits so that the file can still be closed after it.
    fn has_room(&self, block_bytes: u64, frame_count: usize) -> bool {
        let closing = closing_bytes(self.frames.len() + frame_count);
        self.position + block_bytes + closing <= self.handle.bytes
    }

    /// With how many zeros a block should be followed. A sync of what was never written before has to
    /// note that it is now, which costs another two writes; so small blocks do that for those that
    /// follow. Large ones cost less than zeros would.
    fn ahead_bytes(&self, block_bytes: u64) -> u64 {
        let end = self.position + block_bytes;
        if block_bytes > SMALL_BLOCK_BYTES_MAX || end <= self.touched {
            return 0;
        }
        // Files of tests are small, and shall have more than one such stretch, too.
        let most = AHEAD_BYTES.min(page_up(self.handle.bytes / 8));
        most.min(self.handle.bytes - end)
    }
}

/// The smallest file that can hold anything.
pub(crate) const FILE_BYTES_MIN: u64 =
    2 * PAGE_BYTES + page_up(BLOCK_HEADER_BYTES as u64) + PAGE_BYTES;
