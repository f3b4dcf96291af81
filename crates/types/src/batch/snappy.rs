//! Snappy as Kafka's clients use it.
//!
//! Java clients frame it as the xerial library does: a header of 16 bytes, then blocks of raw
//! snappy, each behind its length. librdkafka sends one raw block. Both are read, the first is
//! written. The framing that snappy's own authors defined later is not used by anyone here.

use std::io;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The version that wrote the stream and the oldest one that can read it: both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK_BYTES: usize = 32 << 10;
/// No element makes more of its bytes than a copy does: 64 bytes out of three.
const EXPANSION_MAX: usize = 22;

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new();
    let mut compressed = vec![0; max_compress_len(BLOCK_BYTES)];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    for block in records.chunks(BLOCK_BYTES) {
        let length = encoder
            .compress(block, &mut compressed)
            .expect("the output has room for the worst case");
        let prefix = u32::try_from(length).expect("a block is far below 4 GiB");
        out.extend_from_slice(&prefix.to_be_bytes());
        out.extend_from_slice(&compressed[..length]);
    }
}

/// The decompressed bytes, or `None` where they are over `bytes_max`.
pub(super) fn decompress(compressed: &[u8], bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut records = Vec::new();
    let Some(framed) = compressed.strip_prefix(&MAGIC) else {
        let fits = append_block(&mut records, compressed, bytes_max)?;
        return Ok(fits.then_some(records));
    };
    let mut blocks = framed
        .get(VERSIONS.len()..)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    while !blocks.is_empty() {
        let (prefix, rest) = blocks
            .split_first_chunk()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = u32::from_be_bytes(*prefix) as usize;
        let (block, rest) = rest
            .split_at_checked(length)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if !append_block(&mut records, block, bytes_max)? {
            return Ok(None);
        }
        blocks = rest;
    }
    Ok(Some(records))
}

/// Decompresses one raw block, unless that makes more than `bytes_max` bytes in all.
fn append_block(records: &mut Vec<u8>, block: &[u8], bytes_max: usize) -> io::Result<bool> {
    let claimed_len = decompress_len(block)?;
    if claimed_len > block.len().saturating_mul(EXPANSION_MAX) {
        let claim = "snappy block claims more than it can hold";
        return Err(io::Error::new(io::ErrorKind::InvalidData, claim));
    }
    if claimed_len > bytes_max - records.len() {
        return Ok(false);
    }
    let start = records.len();
    records.resize(start + claimed_len, 0);
    Decoder::new().decompress(block, &mut records[start..])?;
    Ok(true)
}
