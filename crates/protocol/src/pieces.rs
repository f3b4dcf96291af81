//! A field of bytes in several pieces, which go over the network as one without being put together
//! before.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::DecodeError;
use prost::encoding::{
    self, DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, key_len,
};

/// Bytes, in the order of their pieces. What is received is in one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(Vec<Bytes>);

impl Pieces {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.0.push(piece);
        }
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }

    /// All of it in one piece: copied only if there are several.
    pub fn into_bytes(mut self) -> Bytes {
        match self.0.len() {
            0 => Bytes::new(),
            1 => self.0.remove(0),
            _ => {
                let mut all = BytesMut::with_capacity(self.len());
                for piece in &self.0 {
                    all.extend_from_slice(piece);
                }
                all.freeze()
            }
        }
    }

    pub(crate) fn encode_field(&self, tag: u32, out: &mut impl BufMut) {
        if self.is_empty() {
            return;
        }
        encode_key(tag, WireType::LengthDelimited, out);
        encode_varint(self.len() as u64, out);
        for piece in &self.0 {
            out.put_slice(piece);
        }
    }

    pub(crate) fn encoded_field_len(&self, tag: u32) -> usize {
        match self.len() {
            0 => 0,
            length => key_len(tag) + encoded_len_varint(length as u64) + length,
        }
    }

    pub(crate) fn merge_field(
        &mut self,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut bytes = Bytes::new();
        encoding::bytes::merge(wire_type, &mut bytes, input, context)?;
        self.0.clear();
        self.push(bytes);
        Ok(())
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
