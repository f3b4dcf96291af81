//! The frames that share a stream between two nodes.
//!
//! ```text
//! 0        4      5        9        17          25
//! length   kind   group    request  append      body
//! u32      u8     u32      id u64   stream u64  (length bytes)
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flotilla_protocol::Pieces;
use flotilla_types::RaftGroupId;

use crate::codec::DecodeError;

const HEADER_BYTES: usize = 25;
/// A smaller piece is copied rather than kept apart.
const PIECE_BYTES_MIN: usize = 1 << 10;
/// Largest frame body, which leaves room for one entry of the largest size and its surroundings.
const BODY_BYTES_MAX: usize = flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX - (64 << 10);

/// What a frame carries. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    Heartbeat = 1,
    Append = 2,
    Vote = 3,
    PreVote = 4,
    TransferLeader = 5,
    Reply = 6,
    /// The sender's replica asks to be taken out of the group.
    Expel = 7,
    /// The sender's replica asks to be taken in again.
    Readmit = 8,
    /// Asks for nothing but an answer.
    Ping = 9,
    /// The sender leads groups that it claims to be quiet.
    Quiesce = 10,
}

impl FrameKind {
    fn decode(value: u8) -> Result<Self, DecodeError> {
        Ok(match value {
            1 => Self::Heartbeat,
            2 => Self::Append,
            3 => Self::Vote,
            4 => Self::PreVote,
            5 => Self::TransferLeader,
            6 => Self::Reply,
            7 => Self::Expel,
            8 => Self::Readmit,
            9 => Self::Ping,
            10 => Self::Quiesce,
            _ => {
                return Err(DecodeError::Unknown {
                    what: "the kind of a frame",
                    value: value.into(),
                });
            }
        })
    }
}

/// One request, or the reply that carries its id, as it was received. One that is sent has its body in
/// pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame<B = Bytes> {
    pub(crate) kind: FrameKind,
    pub(crate) group: RaftGroupId,
    pub(crate) request: u64,
    /// Which run of appends an append belongs to: entries of an abandoned run are dropped.
    pub(crate) append_stream: u64,
    pub(crate) body: B,
}

/// A frame to be sent.
pub(crate) type OutgoingFrame = Frame<Pieces>;

impl Frame {
    pub(crate) fn reply_to(&self, body: Bytes) -> OutgoingFrame {
        Frame {
            kind: FrameKind::Reply,
            group: self.group,
            request: self.request,
            append_stream: self.append_stream,
            body: body.into(),
        }
    }

    /// Cuts the next frame off a message, or says that the message is used up.
    pub(crate) fn decode(message: &mut Bytes) -> Result<Option<Self>, DecodeError> {
        if message.is_empty() {
            return Ok(None);
        }
        let truncated = DecodeError::Truncated { what: "a frame" };
        if message.len() < HEADER_BYTES {
            return Err(truncated);
        }
        let length = message.get_u32() as usize;
        let kind = FrameKind::decode(message.get_u8())?;
        let group = RaftGroupId::new(message.get_u32());
        let request = message.get_u64();
        let append_stream = message.get_u64();
        if length > BODY_BYTES_MAX || message.len() < length {
            return Err(truncated);
        }
        Ok(Some(Self {
            kind,
            group,
            request,
            append_stream,
            body: message.split_to(length),
        }))
    }
}

impl OutgoingFrame {
    /// Heartbeats, and the answers to them, may wait for others to share a message with.
    pub(crate) fn can_wait(&self) -> bool {
        self.kind == FrameKind::Heartbeat
    }
}

/// Frames that share a message. What is small is copied together, and what is large stays where it is.
#[derive(Default)]
pub(crate) struct Message {
    pieces: Pieces,
    bytes: usize,
    /// The end of the message, which grows.
    small: BytesMut,
}

impl Message {
    pub(crate) fn push(&mut self, frame: OutgoingFrame) {
        let body_bytes = frame.body.len();
        self.bytes += HEADER_BYTES + body_bytes;
        self.small.reserve(HEADER_BYTES);
        self.small.put_u32(body_bytes as u32);
        self.small.put_u8(frame.kind as u8);
        self.small.put_u32(frame.group.get());
        self.small.put_u64(frame.request);
        self.small.put_u64(frame.append_stream);
        for piece in frame.body.iter() {
            if piece.len() < PIECE_BYTES_MIN {
                self.small.extend_from_slice(piece);
            } else {
                self.pieces.push(self.small.split().freeze());
                self.pieces.push(piece.clone());
            }
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn finish(mut self) -> Pieces {
        self.pieces.push(self.small.freeze());
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<B: From<Bytes>>(request: u64, body: &[u8]) -> Frame<B> {
        Frame {
            kind: FrameKind::Append,
            group: RaftGroupId::new(7),
            request,
            append_stream: 3,
            body: Bytes::copy_from_slice(body).into(),
        }
    }

    fn message(bodies: &[&[u8]]) -> Bytes {
        let mut message = Message::default();
        for (request, body) in (1..).zip(bodies) {
            message.push(frame(request, body));
        }
        let length = message.len();
        let bytes = message.finish().into_bytes();
        assert_eq!(bytes.len(), length);
        bytes
    }

    #[test]
    fn many_frames_share_a_message() {
        let large = vec![7; 3 * PIECE_BYTES_MIN];
        let mut message = message(&[b"one", &large, b"", &large, b"end"]);
        for (request, body) in (1..).zip([&b"one"[..], &large, b"", &large, b"end"]) {
            assert_eq!(Frame::decode(&mut message), Ok(Some(frame(request, body))));
        }
        assert_eq!(Frame::decode(&mut message), Ok(None));
    }

    #[test]
    fn a_cut_or_unknown_frame_is_an_error() {
        let message = message(&[b"one"]);
        for length in 1..message.len() {
            assert!(Frame::decode(&mut message.slice(..length)).is_err());
        }
        let mut unknown = message.to_vec();
        unknown[4] = 99;
        assert!(Frame::decode(&mut unknown.into()).is_err());
    }
}
