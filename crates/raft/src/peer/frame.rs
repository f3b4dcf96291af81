//! The frames that share a stream between two nodes.
//!
//! ```text
//! 0        4      5        9        17          25
//! length   kind   group    request  append      body
//! u32      u8     u32      id u64   stream u64  (length bytes)
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flotilla_types::RaftGroupId;

use crate::codec::DecodeError;

const HEADER_BYTES: usize = 25;
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
            _ => {
                return Err(DecodeError::Unknown {
                    what: "the kind of a frame",
                    value: value.into(),
                });
            }
        })
    }
}

/// One request, or the reply that carries its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) group: RaftGroupId,
    pub(crate) request: u64,
    /// Which run of appends an append belongs to: entries of an abandoned run are dropped.
    pub(crate) append_stream: u64,
    pub(crate) body: Bytes,
}

impl Frame {
    pub(crate) fn reply_to(&self, body: Bytes) -> Self {
        Self {
            kind: FrameKind::Reply,
            body,
            ..self.clone()
        }
    }

    /// Heartbeats, and the answers to them, may wait for others to share a message with.
    pub(crate) fn can_wait(&self) -> bool {
        self.kind == FrameKind::Heartbeat
    }

    pub(crate) fn encoded_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.reserve(self.encoded_bytes());
        out.put_u32(self.body.len() as u32);
        out.put_u8(self.kind as u8);
        out.put_u32(self.group.get());
        out.put_u64(self.request);
        out.put_u64(self.append_stream);
        out.put_slice(&self.body);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(request: u64, body: &'static [u8]) -> Frame {
        Frame {
            kind: FrameKind::Append,
            group: RaftGroupId::new(7),
            request,
            append_stream: 3,
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn many_frames_share_a_message() {
        let mut message = BytesMut::new();
        frame(1, b"one").encode(&mut message);
        frame(2, b"").encode(&mut message);
        let mut message = message.freeze();
        assert_eq!(Frame::decode(&mut message), Ok(Some(frame(1, b"one"))));
        assert_eq!(Frame::decode(&mut message), Ok(Some(frame(2, b""))));
        assert_eq!(Frame::decode(&mut message), Ok(None));
    }

    #[test]
    fn a_cut_or_unknown_frame_is_an_error() {
        let mut message = BytesMut::new();
        frame(1, b"one").encode(&mut message);
        let message = message.freeze();
        for length in 1..message.len() {
            assert!(Frame::decode(&mut message.slice(..length)).is_err());
        }
        let mut unknown = message.to_vec();
        unknown[4] = 99;
        assert!(Frame::decode(&mut unknown.into()).is_err());
    }
}
