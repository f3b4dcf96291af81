//! The message that carries many bytes. It is written here and not generated, so that what it carries is
//! copied once on its way out and not at all on its way in.

use bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::pieces::Pieces;

/// `flotilla.v1.FetchResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponse {
    pub partition: u32,
    pub log_start: u64,
    pub high_watermark: u64,
    pub next_offset: u64,
    pub start_offset: u64,
    pub batches: Pieces,
}

const BATCHES: u32 = 15;

impl Message for FetchResponse {
    fn encode_raw(&self, out: &mut impl BufMut) {
        self.encode_numbers(out);
        self.batches.encode_field(BATCHES, out);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        input: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let number = match tag {
            1 => return encoding::uint32::merge(wire_type, &mut self.partition, input, context),
            2 => &mut self.log_start,
            3 => &mut self.high_watermark,
            4 => &mut self.next_offset,
            5 => &mut self.start_offset,
            BATCHES => return self.batches.merge_field(wire_type, input, context),
            _ => return encoding::skip_field(wire_type, tag, input, context),
        };
        encoding::uint64::merge(wire_type, number, input, context)
    }

    fn encoded_len(&self) -> usize {
        let partition = match self.partition {
            0 => 0,
            partition => encoding::uint32::encoded_len(1, &partition),
        };
        let numbers = self.numbers().into_iter().filter(|(_, value)| *value != 0);
        let numbers = numbers.map(|(tag, value)| encoding::uint64::encoded_len(tag, &value));
        partition + numbers.sum::<usize>() + self.batches.encoded_field_len(BATCHES)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl FetchResponse {
    /// Everything but the batches, which come last.
    pub(crate) fn encode_head(&self, out: &mut impl BufMut) {
        self.encode_numbers(out);
        self.batches.encode_field_head(BATCHES, out);
    }

    fn encode_numbers(&self, out: &mut impl BufMut) {
        if self.partition != 0 {
            encoding::uint32::encode(1, &self.partition, out);
        }
        for (tag, value) in self.numbers() {
            if value != 0 {
                encoding::uint64::encode(tag, &value, out);
            }
        }
    }

    const fn numbers(&self) -> [(u32, u64); 4] {
        [
            (2, self.log_start),
            (3, self.high_watermark),
            (4, self.next_offset),
            (5, self.start_offset),
        ]
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::v1::FILE_DESCRIPTOR_SET;

    /// As a generator would write the message.
    #[derive(Clone, PartialEq, Message)]
    struct Generated {
        #[prost(uint32, tag = "1")]
        partition: u32,
        #[prost(uint64, tag = "2")]
        log_start: u64,
        #[prost(uint64, tag = "3")]
        high_watermark: u64,
        #[prost(uint64, tag = "4")]
        next_offset: u64,
        #[prost(uint64, tag = "5")]
        start_offset: u64,
        #[prost(bytes = "bytes", tag = "15")]
        batches: Bytes,
    }

    fn response(pieces: &[&'static [u8]]) -> FetchResponse {
        FetchResponse {
            partition: 3,
            log_start: 0,
            high_watermark: 1 << 40,
            next_offset: 300,
            start_offset: 17,
            batches: pieces
                .iter()
                .map(|piece| Bytes::from_static(piece))
                .collect(),
        }
    }

    #[test]
    fn it_is_on_the_wire_what_a_generated_message_is() {
        let all: [&[&[u8]]; 3] = [&[], &[b"one"], &[b"one", b"", b"and two"]];
        for pieces in all {
            let ours = response(pieces);
            let bytes = ours.encode_to_vec();
            assert_eq!(bytes.len(), ours.encoded_len());
            let theirs = Generated::decode(&bytes[..]).unwrap();
            assert_eq!(theirs.batches, pieces.concat());
            assert_eq!((theirs.partition, theirs.next_offset), (3, 300));
            assert_eq!(theirs.encode_to_vec(), bytes);

            let read = FetchResponse::decode(&bytes[..]).unwrap();
            assert_eq!(read.batches.clone().into_bytes(), theirs.batches);
            let expected = FetchResponse {
                batches: theirs.batches.into(),
                ..ours
            };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn the_fields_are_those_of_the_proto_file() {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let messages = files.file.iter().flat_map(|file| &file.message_type);
        let declared = messages.filter(|message| message.name() == "FetchResponse");
        let fields = declared.flat_map(|message| &message.field);
        let fields: Vec<_> = fields.map(|field| (field.name(), field.number())).collect();
        assert_eq!(
            fields,
            [
                ("partition", 1),
                ("log_start", 2),
                ("high_watermark", 3),
                ("next_offset", 4),
                ("start_offset", 5),
                ("batches", 15),
            ]
        );
    }
}
