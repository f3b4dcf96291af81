//! Bytes in several pieces, which go over the network as one without being put together before, and stay
//! as they came.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_varint, encode_key, encode_varint,
    encoded_len_varint, key_len,
};

/// A smaller piece is copied rather than kept apart.
const PIECE_BYTES_MIN: usize = 4 << 10;

/// Bytes, in the order of their pieces.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Pieces {
    pub const fn new() -> Self {
        Self {
            pieces: VecDeque::new(),
            bytes: 0,
        }
    }

    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// The first piece, which is taken out.
    pub fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }

    pub const fn len(&self) -> usize {
        self.bytes
    }

    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// All of it in one piece: copied only if there are several.
    pub fn into_bytes(mut self) -> Bytes {
        self.copy_to_bytes(self.bytes)
    }

    /// What comes first, without taking it out; `None` if there is less.
    pub fn peek<const COUNT: usize>(&self) -> Option<[u8; COUNT]> {
        let mut first = [0; COUNT];
        let mut all = self.pieces.iter().flatten();
        for byte in &mut first {
            *byte = *all.next()?;
        }
        Some(first)
    }

    pub(crate) fn encode_field(&self, tag: u32, out: &mut impl BufMut) {
        self.encode_field_head(tag, out);
        for piece in &self.pieces {
            out.put_slice(piece);
        }
    }

    /// What comes before the pieces of a field.
    pub(crate) fn encode_field_head(&self, tag: u32, out: &mut impl BufMut) {
        if !self.is_empty() {
            encode_key(tag, WireType::LengthDelimited, out);
            encode_varint(self.bytes as u64, out);
        }
    }

    pub(crate) fn encoded_field_len(&self, tag: u32) -> usize {
        match self.bytes {
            0 => 0,
            length => key_len(tag) + encoded_len_varint(length as u64) + length,
        }
    }

    pub(crate) fn merge_field(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        _: DecodeContext,
    ) -> Result<(), DecodeError> {
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        let mut missing = decode_varint(input)?;
        if missing > input.remaining() as u64 {
            #[expect(deprecated, reason = "there is no other way to make one")]
            return Err(DecodeError::new("buffer underflow"));
        }
        *self = Self::new();
        while missing > 0 {
            let piece_bytes = missing.min(input.chunk().len() as u64);
            self.push(input.copy_to_bytes(piece_bytes as usize));
            missing -= piece_bytes;
        }
        Ok(())
    }
}

impl PartialEq for Pieces {
    /// However they are cut.
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.iter().flatten().eq(other.iter().flatten())
    }
}

impl Eq for Pieces {}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let both = slices.iter_mut().zip(&self.pieces);
        both.map(|(slice, piece)| *slice = IoSlice::new(piece))
            .count()
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "there are not so many bytes");
        self.bytes -= count;
        while count > 0 {
            let piece = (self.pieces.front_mut()).expect("invariant: the pieces have these bytes");
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// Copied only if it is not all in one piece.
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        assert!(count <= self.bytes, "there are not so many bytes");
        match self.pieces.front_mut() {
            Some(first) if count < first.len() => {
                self.bytes -= count;
                first.split_to(count)
            }
            Some(first) if count == first.len() => self.pop().unwrap_or_default(),
            _ => {
                let mut copied = BytesMut::with_capacity(count);
                copied.put(self.take(count));
                copied.freeze()
            }
        }
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        let mut pieces = Self::new();
        pieces.push(bytes);
        pieces
    }
}

impl FromIterator<Bytes> for Pieces {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut all = Self::new();
        pieces.into_iter().for_each(|piece| all.push(piece));
        all
    }
}

/// Pieces in the making. What is small is copied together, and what is large stays where it is.
#[derive(Debug, Default)]
pub struct PiecesWriter {
    pieces: Pieces,
    /// The end of it, which grows.
    small: BytesMut,
}

impl PiecesWriter {
    pub fn len(&self) -> usize {
        self.pieces.len() + self.small.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where what is small is written.
    pub const fn small(&mut self) -> &mut BytesMut {
        &mut self.small
    }

    pub fn push_all(&mut self, pieces: Pieces) {
        for piece in pieces.pieces {
            if piece.len() < PIECE_BYTES_MIN {
                self.small.extend_from_slice(&piece);
            } else {
                self.pieces.push(self.small.split().freeze());
                self.pieces.push(piece);
            }
        }
    }

    pub fn finish(mut self) -> Pieces {
        self.pieces.push(self.small.freeze());
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_the_bytes_that_they_are_cut_from(
            lengths in prop::collection::vec(0..9_000_usize, 0..8),
            takes in prop::collection::vec(0..5_000_usize, 0..20),
        ) {
            let whole: Bytes = (0..lengths.iter().sum()).map(|at: usize| at as u8).collect();
            let mut writer = PiecesWriter::default();
            let (mut rest, mut read) = (whole.clone(), Pieces::new());
            for length in lengths {
                let piece = rest.split_to(length);
                read.push(piece.clone());
                writer.push_all(piece.into());
            }
            prop_assert_eq!(writer.len(), whole.len());
            let written = writer.finish();
            prop_assert_eq!(&written, &read);
            prop_assert_eq!(written.into_bytes(), &whole);

            let mut left = whole;
            for take in takes {
                let take = take.min(left.len());
                let peeked = read.peek::<3>();
                prop_assert_eq!(peeked.as_ref().map(|first| &first[..]), left.get(..3));
                if take % 2 == 0 {
                    prop_assert_eq!(read.copy_to_bytes(take), left.split_to(take));
                } else {
                    read.advance(take);
                    left.advance(take);
                }
                prop_assert_eq!(read.remaining(), left.len());
            }
            prop_assert_eq!(read.into_bytes(), left);
        }
    }
}
