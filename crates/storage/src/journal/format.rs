//! The bytes of a journal file.
//!
//! ```text
//! page 0    file header   sequence, generation, number of the first write
//! page 1..  blocks        one per write: header, frames, zeros up to the next page
//!           index         the header of every frame, written when the file is closed
//! last page trailer       where the index lies
//! ```
//!
//! Every block begins on a page of its own, so no write ever touches a page that holds acknowledged
//! data. Every checksum starts from the file's generation: what a former life of the file left behind
//! does not check. All numbers are little-endian; every header carries the format version.

use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};

use crate::entry::EntryKind;

/// What blocks are aligned to.
pub(crate) const PAGE_BYTES: u64 = 4_096;
pub(crate) const FORMAT_VERSION: u16 = 1;
pub(crate) const BLOCK_HEADER_BYTES: usize = 40;
pub(crate) const FRAME_HEADER_BYTES: usize = 32;
const FILE_HEADER_BYTES: usize = 40;
const TRAILER_BYTES: usize = 56;
const INDEX_RECORD_BYTES: usize = 32;

const FILE_MAGIC: [u8; 4] = *b"FLJf";
const BLOCK_MAGIC: [u8; 4] = *b"FLJw";
const TRAILER_MAGIC: [u8; 4] = *b"FLJi";

/// Why bytes are not what they should be.
pub(crate) type Defect = &'static str;

/// Number of a file in the chain, from 1. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileSequence(std::num::NonZeroU32);

/// One life of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// Number of a write, from 1, without gaps over all files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WriteNumber(u64);

/// The first page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) sequence: FileSequence,
    pub(crate) generation: Generation,
    pub(crate) first_write: WriteNumber,
}

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) generation: Generation,
    pub(crate) write: WriteNumber,
    /// Every write up to here was synced before this one began.
    pub(crate) synced: u64,
    /// Bytes of all frames.
    pub(crate) body_bytes: u32,
}

/// What a frame does to its group. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// An entry; it removes what was there from its index on.
    Append = 1,
    /// The payload is the group's vote.
    Vote = 2,
    /// Entries from the index on are gone.
    Truncate = 3,
    /// Entries up to the index are gone for good.
    Purge = 4,
    /// The group is gone for good.
    Remove = 5,
    /// Entries up to the index live in segments and no longer here.
    Sealed = 6,
    /// An entry copied out of an older file; it removes nothing.
    Moved = 7,
    /// Everything of the group is gone but its vote; the index is the number of the life that begins.
    /// Since version 2 of the data directory, as the next one.
    Reset = 8,
    /// The index is the number of the life that had begun in a file that is gone; it removes nothing.
    Life = 9,
}

/// The head of a frame; `payload_bytes` bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    pub(crate) entry_kind: EntryKind,
    pub(crate) group: RaftGroupId,
    pub(crate) id: LogId,
    pub(crate) payload_bytes: u32,
}

/// A frame and where it begins in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRecord {
    pub(crate) header: FrameHeader,
    pub(crate) position: u32,
}

/// The last page of a closed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) generation: Generation,
    pub(crate) last_write: u64,
    pub(crate) index_position: u64,
    pub(crate) index_bytes: u64,
    pub(crate) index_crc: u32,
}

impl FileSequence {
    pub(crate) const FIRST: Self = Self(std::num::NonZeroU32::MIN);

    pub(crate) fn new(number: u32) -> Option<Self> {
        std::num::NonZeroU32::new(number).map(Self)
    }

    pub(crate) const fn get(self) -> u32 {
        self.0.get()
    }

    pub(crate) fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("four billion files outlast any disk"),
        )
    }
}

impl Generation {
    /// The generation of a file's life: nobody who lacks the salt can compute it.
    pub(crate) const fn of(salt: u64, sequence: FileSequence) -> Self {
        let mut mixed = salt ^ (sequence.get() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(mixed ^ (mixed >> 31))
    }

    /// What every checksum of this life starts from.
    pub(crate) fn checksum_seed(self) -> u32 {
        crc32c::crc32c(&self.0.to_le_bytes())
    }
}

impl WriteNumber {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number of the write before, 0 before the first one.
    pub(crate) const fn previous(self) -> u64 {
        self.0 - 1
    }
}

/// The next page border at or after a position.
pub(crate) const fn page_up(position: u64) -> u64 {
    position.div_ceil(PAGE_BYTES) * PAGE_BYTES
}

/// Bytes that closing a file with so many frames takes: the index and the trailer.
pub(crate) const fn closing_bytes(frames: usize) -> u64 {
    page_up((frames * INDEX_RECORD_BYTES) as u64) + PAGE_BYTES
}

impl FileHeader {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES as usize];
        put(&mut page, 0, &FILE_MAGIC);
        put(&mut page, 8, &FORMAT_VERSION.to_le_bytes());
        put(&mut page, 16, &self.sequence.get().to_le_bytes());
        put(&mut page, 24, &self.generation.0.to_le_bytes());
        put(&mut page, 32, &self.first_write.0.to_le_bytes());
        let crc = crc32c::crc32c(&page[8..FILE_HEADER_BYTES]);
        put(&mut page, 4, &crc.to_le_bytes());
        page
    }

    /// Reads the first page of a file. The inner error is the version of a format that is not ours.
    pub(crate) fn decode(page: &[u8]) -> Result<Result<Self, u16>, Defect> {
        if page[..4] != FILE_MAGIC {
            return Err("the file header is missing");
        }
        if u32_at(page, 4) != crc32c::crc32c(&page[8..FILE_HEADER_BYTES]) {
            return Err("the file header does not match its checksum");
        }
        let version = u16_at(page, 8);
        if version != FORMAT_VERSION {
            return Ok(Err(version));
        }
        let sequence = FileSequence::new(u32_at(page, 16)).ok_or("the file has no number")?;
        let first_write = u64_at(page, 32);
        if first_write == 0 {
            return Err("the file has no first write");
        }
        Ok(Ok(Self {
            sequence,
            generation: Generation(u64_at(page, 24)),
            first_write: WriteNumber(first_write),
        }))
    }
}

impl BlockHeader {
    pub(crate) fn encode_into(self, bytes: &mut [u8]) {
        put(bytes, 0, &BLOCK_MAGIC);
        put(bytes, 8, &FORMAT_VERSION.to_le_bytes());
        put(bytes, 10, &[0; 2]);
        put(bytes, 12, &self.body_bytes.to_le_bytes());
        put(bytes, 16, &self.generation.0.to_le_bytes());
        put(bytes, 24, &self.write.0.to_le_bytes());
        put(bytes, 32, &self.synced.to_le_bytes());
        let seed = self.generation.checksum_seed();
        let crc = crc32c::crc32c_append(seed, &bytes[8..BLOCK_HEADER_BYTES]);
        put(bytes, 4, &crc.to_le_bytes());
    }

    /// Reads a block header of whatever generation.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Defect> {
        if bytes.len() < BLOCK_HEADER_BYTES || bytes[..4] != BLOCK_MAGIC {
            return Err("the write has no header");
        }
        let generation = Generation(u64_at(bytes, 16));
        let seed = generation.checksum_seed();
        if u32_at(bytes, 4) != crc32c::crc32c_append(seed, &bytes[8..BLOCK_HEADER_BYTES]) {
            return Err("the header of the write does not match its checksum");
        }
        let write = u64_at(bytes, 24);
        if write == 0 || u16_at(bytes, 8) != FORMAT_VERSION {
            return Err("the header of the write is of no known format");
        }
        Ok(Self {
            generation,
            write: WriteNumber(write),
            synced: u64_at(bytes, 32),
            body_bytes: u32_at(bytes, 12),
        })
    }

    /// Bytes of the block in the file, its padding included.
    pub(crate) const fn block_bytes(self) -> u64 {
        page_up(BLOCK_HEADER_BYTES as u64 + self.body_bytes as u64)
    }
}

impl FrameHeader {
    /// Bytes of the frame with its payload.
    pub(crate) const fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + self.payload_bytes as u64
    }

    /// The header with the checksum over itself and the payload.
    pub(crate) fn encode(&self, seed: u32, payload: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put(&mut bytes, 4, &self.payload_bytes.to_le_bytes());
        put(&mut bytes, 8, &self.group.get().to_le_bytes());
        bytes[12] = self.kind as u8;
        bytes[13] = self.entry_kind.to_byte();
        put(&mut bytes, 16, &self.id.term.get().to_le_bytes());
        put(&mut bytes, 24, &self.id.index.get().to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &bytes[4..]);
        let crc = crc32c::crc32c_append(crc, payload);
        put(&mut bytes, 0, &crc.to_le_bytes());
        bytes
    }

    /// Reads and checks the frame that begins `bytes`; the payload follows its header.
    pub(crate) fn decode(seed: u32, bytes: &[u8]) -> Result<(Self, &[u8]), Defect> {
        let (header, rest) = bytes
            .split_at_checked(FRAME_HEADER_BYTES)
            .ok_or("a frame is cut short")?;
        let payload = rest
            .get(..u32_at(header, 4) as usize)
            .ok_or("a frame is cut short")?;
        let crc = crc32c::crc32c_append(seed, &header[4..]);
        if u32_at(header, 0) != crc32c::crc32c_append(crc, payload) {
            return Err("a frame does not match its checksum");
        }
        let kind = FrameKind::from_byte(header[12]).ok_or("a frame is of no known kind")?;
        let entry_kind = EntryKind::from_byte(header[13]).ok_or("an entry is of no known kind")?;
        let header = Self {
            kind,
            entry_kind,
            group: RaftGroupId::new(u32_at(header, 8)),
            id: LogId::new(
                Term::new(u64_at(header, 16)),
                LogIndex::new(u64_at(header, 24)),
            ),
            payload_bytes: u32_at(header, 4),
        };
        Ok((header, payload))
    }
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Append),
            2 => Some(Self::Vote),
            3 => Some(Self::Truncate),
            4 => Some(Self::Purge),
            5 => Some(Self::Remove),
            6 => Some(Self::Sealed),
            7 => Some(Self::Moved),
            8 => Some(Self::Reset),
            9 => Some(Self::Life),
            _ => None,
        }
    }
}

/// The index of a closed file: every frame in the order of the file.
pub(crate) fn encode_index(frames: &[FrameRecord]) -> Vec<u8> {
    let mut bytes = vec![0; frames.len() * INDEX_RECORD_BYTES];
    for (record, frame) in bytes.chunks_exact_mut(INDEX_RECORD_BYTES).zip(frames) {
        let header = &frame.header;
        put(record, 0, &header.payload_bytes.to_le_bytes());
        put(record, 4, &header.group.get().to_le_bytes());
        record[8] = header.kind as u8;
        record[9] = header.entry_kind.to_byte();
        put(record, 12, &frame.position.to_le_bytes());
        put(record, 16, &header.id.term.get().to_le_bytes());
        put(record, 24, &header.id.index.get().to_le_bytes());
    }
    bytes
}

/// Reads an index whose checksum was found right. `None`: it is no index of ours after all.
pub(crate) fn decode_index(bytes: &[u8]) -> Option<Vec<FrameRecord>> {
    let records = bytes.chunks_exact(INDEX_RECORD_BYTES);
    if !records.remainder().is_empty() {
        return None;
    }
    records
        .map(|record| {
            let header = FrameHeader {
                kind: FrameKind::from_byte(record[8])?,
                entry_kind: EntryKind::from_byte(record[9])?,
                group: RaftGroupId::new(u32_at(record, 4)),
                id: LogId::new(
                    Term::new(u64_at(record, 16)),
                    LogIndex::new(u64_at(record, 24)),
                ),
                payload_bytes: u32_at(record, 0),
            };
            Some(FrameRecord {
                header,
                position: u32_at(record, 12),
            })
        })
        .collect()
}

impl Trailer {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES as usize];
        put(&mut page, 0, &TRAILER_MAGIC);
        put(&mut page, 8, &FORMAT_VERSION.to_le_bytes());
        put(&mut page, 12, &self.index_crc.to_le_bytes());
        put(&mut page, 16, &self.generation.0.to_le_bytes());
        put(&mut page, 24, &self.last_write.to_le_bytes());
        put(&mut page, 32, &self.index_position.to_le_bytes());
        put(&mut page, 40, &self.index_bytes.to_le_bytes());
        let seed = self.generation.checksum_seed();
        let crc = crc32c::crc32c_append(seed, &page[8..TRAILER_BYTES]);
        put(&mut page, 4, &crc.to_le_bytes());
        page
    }

    /// Reads the last page of a file; `None` when this life of the file has no trailer.
    pub(crate) fn decode(page: &[u8], generation: Generation) -> Option<Self> {
        let crc = crc32c::crc32c_append(generation.checksum_seed(), &page[8..TRAILER_BYTES]);
        let is_ours = page[..4] == TRAILER_MAGIC
            && u32_at(page, 4) == crc
            && u16_at(page, 8) == FORMAT_VERSION
            && u64_at(page, 16) == generation.0;
        is_ours.then(|| Self {
            generation,
            last_write: u64_at(page, 24),
            index_position: u64_at(page, 32),
            index_bytes: u64_at(page, 40),
            index_crc: u32_at(page, 12),
        })
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
