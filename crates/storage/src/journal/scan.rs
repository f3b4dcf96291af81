//! Reads a journal file write by write and decides where it ends.
//!
//! A write is whole or it does not count. What follows the last whole write is either a write that a
//! crash cut short, which nobody was told about, or acknowledged data that was damaged. The writer
//! syncs each write before it begins the next one, so a later valid write proves that everything
//! before it was durable: then the defect is damage, and the node must not start.

use super::file::JournalFileHandle;
use super::format::{
    BLOCK_HEADER_BYTES, BlockHeader, Defect, FrameHeader, FrameRecord, PAGE_BYTES, WriteNumber,
};
use crate::error::{IoFailure, OpenError};

/// Bytes that are read at a time while looking for later writes.
const SEARCH_BYTES: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) frames: Vec<FrameRecord>,
    /// Where the next block would begin.
    pub(super) position: u64,
    pub(super) next_write: WriteNumber,
    /// The last whole write, from its position to its end.
    pub(super) last_block: Option<(u64, u64)>,
    /// Why the file ends where it does.
    pub(super) end: Defect,
}

/// Reads every whole write of a file.
pub(super) fn scan(file: &JournalFileHandle, first_write: WriteNumber) -> Result<Scan, IoFailure> {
    let mut scan = Scan::new(first_write);
    let mut buffer = Vec::new();
    while scan.advance(file, &mut buffer)? {}
    Ok(scan)
}

impl Scan {
    pub(super) const fn new(first_write: WriteNumber) -> Self {
        Self {
            frames: Vec::new(),
            position: PAGE_BYTES,
            next_write: first_write,
            last_block: None,
            end: "the file is full",
        }
    }

    /// Takes the next whole write. False: there is none, and `end` says why.
    pub(super) fn advance(
        &mut self,
        file: &JournalFileHandle,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, IoFailure> {
        let frames = self.frames.len();
        match next_block(file, self, buffer)? {
            Ok(block_bytes) => {
                self.last_block = Some((self.position, self.position + block_bytes));
                self.position += block_bytes;
                self.next_write = self.next_write.next();
                Ok(true)
            }
            Err(defect) => {
                self.frames.truncate(frames);
                self.end = defect;
                Ok(false)
            }
        }
    }
}

/// Whether a write that is numbered above `write` begins anywhere from `position` on. With it, all
/// before it was durable. `is_ours` tells the writes that may count.
pub(super) fn has_later_write(
    file: &JournalFileHandle,
    position: u64,
    is_ours: impl Fn(&BlockHeader) -> bool,
) -> Result<bool, IoFailure> {
    let mut position = position;
    let mut buffer = Vec::new();
    while position < file.bytes {
        let bytes = SEARCH_BYTES.min(file.bytes - position);
        buffer.resize(bytes as usize, 0);
        file.read(position, &mut buffer)?;
        let pages = buffer.chunks(PAGE_BYTES as usize);
        if pages
            .filter_map(|page| BlockHeader::decode(page).ok())
            .any(|header| is_ours(&header))
        {
            return Ok(true);
        }
        position += bytes;
    }
    Ok(false)
}

/// The error of a file that has acknowledged writes after its last whole one.
pub(super) fn damaged(file: &JournalFileHandle, scan: &Scan) -> OpenError {
    file.corruption(scan.position, scan.end).into()
}

/// Reads the block at the scan's position, adds its frames, and returns its size in the file.
fn next_block(
    file: &JournalFileHandle,
    scan: &mut Scan,
    buffer: &mut Vec<u8>,
) -> Result<Result<u64, Defect>, IoFailure> {
    let limit = file.bytes.saturating_sub(PAGE_BYTES);
    if scan.position + PAGE_BYTES > limit {
        return Ok(Err("the file is full"));
    }
    buffer.resize(PAGE_BYTES as usize, 0);
    file.read(scan.position, buffer)?;
    let header = match BlockHeader::decode(buffer) {
        Ok(header) => header,
        Err(defect) => return Ok(Err(defect)),
    };
    if header.generation != file.generation {
        return Ok(Err("the write belongs to a former life of the file"));
    }
    if header.write != scan.next_write {
        return Ok(Err("the write is not the next one"));
    }
    let block_bytes = header.block_bytes();
    if scan.position + block_bytes > limit {
        return Ok(Err("the write is longer than the file"));
    }
    if block_bytes > PAGE_BYTES {
        buffer.resize(block_bytes as usize, 0);
        let rest = &mut buffer[PAGE_BYTES as usize..];
        file.read(scan.position + PAGE_BYTES, rest)?;
    }
    let end = BLOCK_HEADER_BYTES + header.body_bytes as usize;
    Ok(read_frames(file, scan, &buffer[..end]).map(|()| block_bytes))
}

fn read_frames(file: &JournalFileHandle, scan: &mut Scan, block: &[u8]) -> Result<(), Defect> {
    let seed = file.generation.checksum_seed();
    let mut start = BLOCK_HEADER_BYTES;
    while start < block.len() {
        let (header, _) = FrameHeader::decode(seed, &block[start..])?;
        scan.frames.push(FrameRecord {
            header,
            position: (scan.position + start as u64) as u32,
        });
        start += header.frame_bytes() as usize;
    }
    Ok(())
}
