//! How the records of a batch are compressed: all of them together, the header never.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use super::{BatchError, snappy};
use crate::limits::BATCH_DECOMPRESSED_BYTES_MAX;

/// A codec. Producers choose it, consumers read any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.as_str() == text)
    }

    /// The name in configurations and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The number in a batch's attributes.
    pub(super) const fn codec(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    pub(super) fn from_codec(codec: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.codec() == codec)
    }

    /// Appends `records`, compressed, to `out`.
    pub(super) fn compress(self, records: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::None => {
                out.extend_from_slice(records);
                Ok(())
            }
            Self::Gzip => compress_gzip(records, out),
            Self::Snappy => {
                snappy::compress(records, out);
                Ok(())
            }
            Self::Lz4 => compress_lz4(records, out),
            Self::Zstd => compress_zstd(records, out),
        }
        .expect("an encoder with valid settings that writes to memory does not fail");
    }

    /// The records behind `compressed`, unless they are more than
    /// [`BATCH_DECOMPRESSED_BYTES_MAX`], in which case no more than that is ever held.
    pub(super) fn decompress(self, compressed: &[u8]) -> Result<Vec<u8>, BatchError> {
        let records = match self {
            Self::None => read_bounded(compressed, compressed.len()),
            Self::Gzip => decompress_gzip(compressed),
            Self::Snappy => snappy::decompress(compressed, BATCH_DECOMPRESSED_BYTES_MAX),
            Self::Lz4 => decompress_lz4(compressed),
            Self::Zstd => decompress_zstd(compressed),
        };
        match records {
            Ok(Some(records)) => Ok(records),
            Ok(None) => {
                let bytes_max = BATCH_DECOMPRESSED_BYTES_MAX;
                Err(BatchError::DecompressedTooLarge { bytes_max })
            }
            Err(source) => Err(BatchError::Decompression {
                compression: self,
                source: Arc::new(source),
            }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn compress_gzip(records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::default());
    encoder.write_all(records)?;
    encoder.finish().map(|_| ())
}

/// Java's reader takes independent blocks only, which is what this encoder writes by default.
fn compress_lz4(records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = FrameEncoder::new(out);
    encoder.write_all(records)?;
    encoder.finish().map(|_| ()).map_err(io::Error::from)
}

fn compress_zstd(records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    encoder.set_pledged_src_size(Some(records.len() as u64))?;
    encoder.write_all(records)?;
    encoder.finish().map(|_| ())
}

fn decompress_gzip(compressed: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut decoder = GzDecoder::new(compressed);
    let records = read_bounded(&mut decoder, compressed.len())?;
    refuse_trailing(records, decoder.into_inner())
}

/// The library takes the end of its input for the end of the stream. A sentinel that is no block
/// tells the two apart: it is left over only where the stream ended by itself.
fn decompress_lz4(compressed: &[u8]) -> io::Result<Option<Vec<u8>>> {
    const SENTINEL: &[u8] = &[0xff; 4];
    let mut decoder = FrameDecoder::new(compressed.chain(SENTINEL));
    let records = read_bounded(&mut decoder, compressed.len())?;
    let (rest, sentinel) = decoder.into_inner().into_inner();
    if records.is_some() && sentinel != SENTINEL {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    refuse_trailing(records, rest)
}

/// The library keeps to windows of 128 MiB, of which it touches only what it has decompressed. A
/// smaller limit would refuse the highest levels of ordinary producers.
fn decompress_zstd(compressed: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let decoder = zstd::Decoder::with_buffer(compressed)?;
    read_bounded(decoder, compressed.len())
}

/// All that `reader` gives, or `None` where that is over the limit.
fn read_bounded(reader: impl Read, compressed_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let bytes_max = BATCH_DECOMPRESSED_BYTES_MAX;
    let mut records = Vec::with_capacity(compressed_bytes.saturating_mul(2).min(bytes_max));
    reader
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut records)?;
    Ok(Some(records).filter(|records| records.len() <= bytes_max))
}

/// One batch has one compressed stream; what follows it has no meaning.
fn refuse_trailing(records: Option<Vec<u8>>, rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    if records.is_some() && !rest.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "bytes follow the compressed stream",
        ));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_end_is_read_no_further_than_the_limit() {
        assert_eq!(read_bounded(io::repeat(0), 0).unwrap(), None);
        let largest = io::repeat(0).take(BATCH_DECOMPRESSED_BYTES_MAX as u64);
        let records = read_bounded(largest, usize::MAX).unwrap().unwrap();
        assert_eq!(records.len(), BATCH_DECOMPRESSED_BYTES_MAX);
    }
}
