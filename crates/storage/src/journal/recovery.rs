//! What a start does with the files that it finds.
//!
//! Closed files are read by their index, the last one (and any whose index is damaged) write by
//! write. The numbers of files and of writes leave no gap, so a missing file or write is noticed.
//!
//! The last write may be in the page cache only: a process that died, perhaps because a sync failed,
//! leaves it readable and not durable. Therefore it is written and synced once more before anybody
//! relies on it.

use std::path::Path;
use std::sync::Arc;

use super::JournalConfig;
use super::chain::{ChainEnd, CurrentFile, file_name, parse_file_name};
use super::file::JournalFileHandle;
use super::format::{
    Defect, FORMAT_VERSION, FileHeader, FileSequence, Generation, PAGE_BYTES, WriteNumber,
};
use super::replay::Replay;
use super::scan::{damaged, has_later_write, scan};
use super::spares::Spares;
use super::table::FileTable;
use crate::disk::Disk;
use crate::error::{Corruption, IoFailure, OpenError};

/// What the files hold.
#[derive(Debug)]
pub(super) struct RecoveredChain {
    pub(super) files: FileTable,
    pub(super) replay: Replay,
    pub(super) end: ChainEnd,
}

/// A file and what its first page says.
type Found = (JournalFileHandle, Result<FileHeader, Defect>);

/// Reads all journal files and makes their end durable.
pub(super) fn recover(
    config: &JournalConfig,
    disk: &dyn Disk,
    names: &[String],
    spares: &Spares,
) -> Result<RecoveredChain, OpenError> {
    let mut found = find_files(config, disk, names)?;
    let unborn = found.pop_if(|(_, header)| header.is_err());
    let mut chain = RecoveredChain {
        files: FileTable::default(),
        replay: Replay::default(),
        end: ChainEnd {
            current: None,
            next_write: WriteNumber::FIRST,
        },
    };
    let mut found = found.into_iter().peekable();
    while let Some((handle, header)) = found.next() {
        let header = header.map_err(|defect| handle.corruption(0, defect))?;
        let next = found.peek().and_then(|(_, header)| header.as_ref().ok());
        chain.add(handle, &header, next)?;
    }
    if let Some((handle, header)) = unborn {
        let defect = header.err().unwrap_or_default();
        chain.discard_unborn(&handle, defect, spares)?;
    }
    spares.sync()?;
    Ok(chain)
}

impl RecoveredChain {
    /// Takes over the next file of the chain. `next` is the header of the file after it.
    fn add(
        &mut self,
        handle: JournalFileHandle,
        header: &FileHeader,
        next: Option<&FileHeader>,
    ) -> Result<(), OpenError> {
        let is_first = self.files.oldest().is_none();
        if !is_first && header.first_write != self.end.next_write {
            return Err(handle
                .corruption(0, "writes before this file are missing")
                .into());
        }
        match next {
            Some(next) => self.add_full(handle, header.first_write, next.first_write),
            None => self.add_last(handle, header.first_write),
        }
    }

    fn add_full(
        &mut self,
        handle: JournalFileHandle,
        first_write: WriteNumber,
        end_write: WriteNumber,
    ) -> Result<(), OpenError> {
        let index = handle.read_index()?;
        let index = index.filter(|(trailer, _)| trailer.last_write == end_write.previous());
        let (frames, used_bytes) = match index {
            Some((trailer, frames)) => (frames, trailer.index_position),
            None => {
                tracing::warn!(file = %handle.path.display(), "a journal file has no index; reading all of it");
                let scan = scan(&handle, first_write)?;
                if scan.next_write != end_write {
                    return Err(damaged(&handle, &scan));
                }
                (scan.frames, scan.position)
            }
        };
        self.replay.apply(&handle, &frames);
        let sequence = handle.sequence;
        self.files.insert(Arc::new(handle), used_bytes);
        self.files.record(sequence, used_bytes, &frames);
        self.files.set_full(sequence);
        self.end.next_write = end_write;
        Ok(())
    }

    fn add_last(
        &mut self,
        handle: JournalFileHandle,
        first_write: WriteNumber,
    ) -> Result<(), OpenError> {
        let scan = scan(&handle, first_write)?;
        let is_later = has_later_write(&handle, scan.position, |header| {
            header.generation == handle.generation && header.write > scan.next_write
        });
        if is_later? {
            return Err(damaged(&handle, &scan));
        }
        // An empty file's header page stands in for its last write.
        let (start, end) = scan.last_block.unwrap_or((0, PAGE_BYTES));
        write_again(&handle, start, end)?;
        tracing::info!(
            file = %handle.path.display(),
            position = scan.position,
            end = scan.end,
            "the journal continues here"
        );
        self.replay.apply(&handle, &scan.frames);
        let handle = Arc::new(handle);
        self.files.insert(Arc::clone(&handle), scan.position);
        self.files
            .record(handle.sequence, scan.position, &scan.frames);
        self.end = ChainEnd {
            current: Some(CurrentFile {
                handle,
                position: scan.position,
                touched: scan.position,
                frames: scan.frames,
            }),
            next_write: scan.next_write,
        };
        Ok(())
    }

    /// Makes a spare of the last file if it was never begun. Its header is synced before its first
    /// write, so a file without header that holds a write of its turn was damaged.
    fn discard_unborn(
        &self,
        handle: &JournalFileHandle,
        defect: Defect,
        spares: &Spares,
    ) -> Result<(), OpenError> {
        let is_first = self.files.oldest().is_none();
        let next_write = self.end.next_write;
        let was_written = has_later_write(handle, 0, |header| header.write >= next_write)?;
        if was_written || (is_first && handle.sequence != FileSequence::FIRST) {
            return Err(handle.corruption(0, defect).into());
        }
        spares.recycle(&handle.path, handle.bytes, 0)?;
        Ok(())
    }
}

/// Opens the journal files of a directory in order and reads their headers. Only the last may lack one.
fn find_files(
    config: &JournalConfig,
    disk: &dyn Disk,
    names: &[String],
) -> Result<Vec<Found>, OpenError> {
    let mut sequences: Vec<FileSequence> = names
        .iter()
        .filter_map(|name| parse_file_name(name))
        .collect();
    sequences.sort_unstable();
    for pair in sequences.windows(2) {
        if pair[0].next() != pair[1] {
            return Err(OpenError::Corrupt(Corruption {
                file: config.directory.join(file_name(pair[0].next())),
                position: 0,
                reason: "the file is missing",
            }));
        }
    }
    let found = sequences.into_iter().map(|sequence| {
        let path = config.directory.join(file_name(sequence));
        open_file(disk, &path, (sequence, config.salt))
    });
    found.collect()
}

fn open_file(
    disk: &dyn Disk,
    path: &Path,
    (sequence, salt): (FileSequence, u64),
) -> Result<Found, OpenError> {
    let opened = disk.open(path).and_then(|file| {
        let bytes = file.bytes()?;
        Ok((file, bytes))
    });
    let (file, bytes) = opened.map_err(|error| IoFailure::new("open", path, error))?;
    let mut handle = JournalFileHandle {
        sequence,
        generation: Generation::of(salt, sequence),
        bytes,
        path: path.to_path_buf(),
        file,
    };
    let header = read_header(&handle)?;
    if let Ok(header) = &header {
        handle.generation = header.generation;
    }
    Ok((handle, header))
}

fn read_header(handle: &JournalFileHandle) -> Result<Result<FileHeader, Defect>, OpenError> {
    if handle.bytes < super::chain::FILE_BYTES_MIN {
        return Ok(Err("the file is cut short"));
    }
    let mut page = vec![0; PAGE_BYTES as usize];
    handle.read(0, &mut page)?;
    match FileHeader::decode(&page) {
        Err(defect) => Ok(Err(defect)),
        Ok(Err(found)) => Err(OpenError::Format {
            file: handle.path.clone(),
            found,
            supported: FORMAT_VERSION,
        }),
        Ok(Ok(header)) if header.sequence != handle.sequence => {
            Ok(Err("the file header belongs to a former life of the file"))
        }
        Ok(Ok(header)) => Ok(Ok(header)),
    }
}

/// Writes bytes of a file once more, as they are, and syncs them.
fn write_again(handle: &JournalFileHandle, start: u64, end: u64) -> Result<(), IoFailure> {
    let mut bytes = vec![0; (end - start) as usize];
    handle.read(start, &mut bytes)?;
    handle.write_page(start, &bytes)?;
    handle.sync()
}
