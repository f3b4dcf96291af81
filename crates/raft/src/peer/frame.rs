//! The frames that share a connection between two nodes.
//!
//! ```text
//! 0        4      5        9        17          25
//! length   kind   group    request  append      body
//! u32      u8     u32      id u64   stream u64  (length bytes)
//! ```

use bytes::{Buf, BufMut, Bytes};
use flotilla_protocol::Pieces;
use flotilla_types::RaftGroupId;

use crate::codec::DecodeError;

pub(crate) const HEADER_BYTES: usize = 25;

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
    /// Who speaks: the first frame in each direction.
    Hello = 11,
    /// Instead of a greeting: why the peer is not talked to. Nothing comes after it.
    Farewell = 12,
    /// A snapshot begins: what it is.
    SnapshotHead = 13,
    /// A part of its image.
    SnapshotPiece = 14,
    /// It is complete. The answer is the verdict.
    SnapshotEnd = 15,
    /// An append without entries: only what is committed by now.
    Commit = 16,
}

impl FrameKind {
    /// Whether it may wait for others to share a write with.
    pub(crate) const fn can_wait(self) -> bool {
        matches!(self, Self::Heartbeat | Self::Commit)
    }

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
            11 => Self::Hello,
            12 => Self::Farewell,
            13 => Self::SnapshotHead,
            14 => Self::SnapshotPiece,
            15 => Self::SnapshotEnd,
            16 => Self::Commit,
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
    /// It need not be sent at once. The other side is not told: the kind of a request says it.
    pub(crate) can_wait: bool,
    pub(crate) body: B,
}

/// A frame to be sent.
pub(crate) type OutgoingFrame = Frame<Pieces>;

/// A frame whose body is still to come.
pub(crate) struct Header {
    frame: Frame<()>,
    pub(crate) body_bytes: usize,
}

impl Header {
    /// `bytes` hold all of it.
    pub(crate) fn decode(bytes: &mut impl Buf) -> Result<Self, DecodeError> {
        let body_bytes = bytes.get_u32() as usize;
        let kind = FrameKind::decode(bytes.get_u8())?;
        let frame = Frame {
            kind,
            group: RaftGroupId::new(bytes.get_u32()),
            request: bytes.get_u64(),
            append_stream: bytes.get_u64(),
            can_wait: kind.can_wait(),
            body: (),
        };
        Ok(Self { frame, body_bytes })
    }

    pub(crate) fn with_body(self, body: Bytes) -> Frame {
        self.frame.with(body)
    }
}

impl<B> Frame<B> {
    fn with<Other>(&self, body: Other) -> Frame<Other> {
        Frame {
            kind: self.kind,
            group: self.group,
            request: self.request,
            append_stream: self.append_stream,
            can_wait: self.can_wait,
            body,
        }
    }
}

impl Frame {
    pub(crate) fn reply_to(&self, body: Bytes) -> OutgoingFrame {
        Frame {
            kind: FrameKind::Reply,
            // A leader may wait for its lease.
            can_wait: self.kind == FrameKind::Commit,
            ..self.with(body.into())
        }
    }

    /// Where its answer has to go.
    pub(crate) fn address(&self) -> Self {
        self.with(Bytes::new())
    }
}

impl OutgoingFrame {
    /// One that concerns no group and asks for nothing.
    pub(crate) fn notice(kind: FrameKind, body: impl Into<Pieces>) -> Self {
        Frame {
            kind,
            group: RaftGroupId::METADATA,
            request: 0,
            append_stream: 0,
            can_wait: false,
            body: body.into(),
        }
    }

    pub(crate) fn put_header(&self, out: &mut impl BufMut) {
        out.put_u32(self.body.len() as u32);
        out.put_u8(self.kind as u8);
        out.put_u32(self.group.get());
        out.put_u64(self.request);
        out.put_u64(self.append_stream);
    }
}
