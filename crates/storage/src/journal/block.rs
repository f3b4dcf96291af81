//! Builds one write: a block header and the frames of every mutation that was queued.
//!
//! Headers and small payloads are copied into one buffer that is reused; large payloads stay where
//! they are and are handed to the disk as they lie. So a payload is read once for its checksum and
//! once by the kernel, and nothing is allocated per entry.

use std::io::{self, IoSlice};

use bytes::Bytes;

use super::format::{
    BLOCK_HEADER_BYTES, BlockHeader, FRAME_HEADER_BYTES, FrameHeader, FrameRecord, Generation,
    PAGE_BYTES, WriteNumber, page_up,
};
use crate::disk::DiskFile;

/// Payloads up to this size are copied: a slice of their own would cost the kernel more.
const COPIED_BYTES_MAX: usize = 2_048;
/// How many zeros may follow a block.
pub(super) const AHEAD_BYTES: u64 = 64 << 10;
static ZEROS: [u8; (AHEAD_BYTES + PAGE_BYTES) as usize] = [0; (AHEAD_BYTES + PAGE_BYTES) as usize];

/// A write in the making.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    frames: Vec<(FrameHeader, Bytes)>,
    body_bytes: u64,
    /// The encoded headers and small payloads.
    buffer: Vec<u8>,
    /// Large payloads, each with its place: after so many bytes of the buffer.
    large: Vec<(usize, Bytes)>,
}

impl BlockBuilder {
    pub(crate) fn push(&mut self, header: FrameHeader, payload: Bytes) {
        self.body_bytes += header.frame_bytes();
        self.frames.push((header, payload));
    }

    pub(crate) const fn frame_count(&self) -> usize {
        self.frames.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that the write will take in the file.
    pub(crate) const fn block_bytes(&self) -> u64 {
        page_up(BLOCK_HEADER_BYTES as u64 + self.body_bytes)
    }

    /// Encodes the block, writes it at `position` with so many zeros behind it, appends where each
    /// frame went to `records`, and starts over. The caller syncs.
    pub(crate) fn write(
        &mut self,
        file: &dyn DiskFile,
        (position, ahead_bytes): (u64, u64),
        (generation, write): (Generation, WriteNumber),
        records: &mut Vec<FrameRecord>,
    ) -> io::Result<()> {
        let header = BlockHeader {
            generation,
            write,
            synced: write.previous(),
            body_bytes: u32::try_from(self.body_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?,
        };
        self.buffer.resize(BLOCK_HEADER_BYTES, 0);
        header.encode_into(&mut self.buffer);
        let seed = generation.checksum_seed();
        let mut frame_position = position as u32 + BLOCK_HEADER_BYTES as u32;
        for (header, payload) in self.frames.drain(..) {
            self.buffer
                .extend_from_slice(&header.encode(seed, &payload));
            records.push(FrameRecord {
                header,
                position: frame_position,
            });
            frame_position += FRAME_HEADER_BYTES as u32 + header.payload_bytes;
            if payload.len() <= COPIED_BYTES_MAX {
                self.buffer.extend_from_slice(&payload);
            } else {
                self.large.push((self.buffer.len(), payload));
            }
        }
        let padding = header.block_bytes() - BLOCK_HEADER_BYTES as u64 - self.body_bytes;
        let zeros = (padding + ahead_bytes) as usize;
        let outcome = file.write_all_at(position, &mut self.parts(zeros));
        self.clear();
        outcome
    }

    /// Forgets what was pushed.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.buffer.clear();
        self.large.clear();
        self.body_bytes = 0;
    }

    fn parts(&self, zeros: usize) -> Vec<IoSlice<'_>> {
        let mut parts = Vec::with_capacity(2 * self.large.len() + 2);
        let mut start = 0;
        for (end, payload) in &self.large {
            parts.push(IoSlice::new(&self.buffer[start..*end]));
            parts.push(IoSlice::new(payload));
            start = *end;
        }
        parts.push(IoSlice::new(&self.buffer[start..]));
        parts.push(IoSlice::new(&ZEROS[..zeros]));
        parts
    }
}
