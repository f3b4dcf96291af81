//! One segment on its way into RocksDB: written beside the database, then moved in.

use std::fs;
use std::path::PathBuf;

use rocksdb::{Options, SstFileWriter};

use crate::tables::keys::EntryKey;
use crate::tables::rocks::{OpenedGuard, failure};
use crate::tables::{SegmentFile, SegmentWriter, TablesError};

pub(crate) struct RocksSegment<'a> {
    opened: OpenedGuard<'a>,
    writer: SstFileWriter<'a>,
    file: TemporaryFile,
    segment: SegmentFile,
}

impl<'a> RocksSegment<'a> {
    pub(crate) fn create(
        opened: OpenedGuard<'a>,
        options: &'a Options,
        path: PathBuf,
        first: EntryKey,
    ) -> Result<Self, TablesError> {
        let file = TemporaryFile(path);
        let writer = SstFileWriter::create(options);
        writer.open(&file.0).map_err(failure)?;
        let segment = SegmentFile {
            first,
            last: first.index,
            bytes: 0,
        };
        Ok(Self {
            opened,
            writer,
            file,
            segment,
        })
    }
}

impl SegmentWriter for RocksSegment<'_> {
    fn put(&mut self, key: EntryKey, value: &[u8]) -> Result<(), TablesError> {
        self.writer.put(key.encode(), value).map_err(failure)?;
        self.segment.last = key.index;
        Ok(())
    }

    fn ingest(mut self: Box<Self>) -> Result<SegmentFile, TablesError> {
        // `finish` and the ingestion each sync the file, the ingestion also its directory entry.
        self.writer.finish().map_err(failure)?;
        self.segment.bytes = self.writer.file_size();
        self.opened.ingest(&self.file.0)?;
        Ok(self.segment)
    }
}

/// A file that does not outlive its purpose. After an ingestion it has already moved away.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "could not remove an unfinished segment");
        }
    }
}
