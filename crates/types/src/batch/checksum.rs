//! The checksum of a batch: CRC-32C over everything behind it.

use super::BatchError;
use super::header::BatchHeader;

/// Whether the bytes come from somewhere that has checked them already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChecksumCheck {
    Compute,
    Skip,
}

/// The checksum of a whole batch, whose own checksum field may hold anything.
pub(super) fn compute(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[BatchHeader::CHECKSUMMED_START..])
}

/// Compares the checksum of a whole batch with the stored one.
pub(super) fn verify(batch: &[u8], stored: u32) -> Result<(), BatchError> {
    let computed = compute(batch);
    if computed == stored {
        Ok(())
    } else {
        Err(BatchError::Checksum { stored, computed })
    }
}
