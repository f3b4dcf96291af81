//! Frames on a connection between two nodes.
//!
//! ```text
//! preface   "FLOTILLA", from the node that connects
//! frames    the first one in each direction is a greeting
//! ```
//!
//! What is small shares reads and writes; the body of a large frame is read into memory of its own, and
//! written from where it is.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flotilla_protocol::PiecesWriter;
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::frame::{Frame, HEADER_BYTES, Header, OutgoingFrame};
use crate::codec::DecodeError;

/// A connection to another node.
pub trait PeerStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> PeerStream for S {}

pub(crate) type Stream = Box<dyn PeerStream>;
pub(crate) type Reader = FrameReader<ReadHalf<Stream>>;
pub(crate) type Writer = FrameWriter<WriteHalf<Stream>>;

/// What the node that connects says first. No HTTP request begins like this, so one port can serve both.
pub(super) const PREFACE: &[u8; 8] = b"FLOTILLA";

/// A larger body is read into memory of its own.
const SMALL_BYTES_MAX: usize = 8 << 10;
/// Smaller frames share memory by so much.
const SHARED_BYTES: usize = 32 << 10;
/// Largest body of a frame, which leaves room for one entry of the largest size and its surroundings.
const BODY_BYTES_MAX: usize = GRPC_MESSAGE_BYTES_MAX - (64 << 10);
/// Largest greeting of a peer that is not known yet.
const GREETING_BYTES_MAX: usize = 64 << 10;
/// A node that says nothing for so long is gone, or might as well be.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(6);
/// The node that has connected says something at least so often.
pub(super) const SILENCE_USUAL: Duration = Duration::from_secs(2);

/// Why nothing more comes from a peer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error("the peer sends a frame of {0} bytes")]
    TooLong(usize),
    #[error("the peer has been silent for too long")]
    Silent,
}

/// Both directions. Reading fails when the peer says nothing for `silence_max`.
pub(crate) fn split(stream: Stream, silence_max: Duration) -> (Reader, Writer) {
    let (incoming, outgoing) = tokio::io::split(stream);
    let reader = FrameReader {
        incoming,
        buffer: BytesMut::new(),
        silence_max,
    };
    (reader, FrameWriter { outgoing })
}

pub(crate) struct FrameReader<R> {
    incoming: R,
    /// Read, and not yet taken out.
    buffer: BytesMut,
    silence_max: Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Whether the peer begins as a node does.
    pub(crate) async fn preface(&mut self) -> Result<bool, WireError> {
        let is_there = self.fill(PREFACE.len()).await?;
        Ok(is_there && self.buffer.split_to(PREFACE.len()) == PREFACE[..])
    }

    /// The first frame, which is short.
    pub(crate) async fn greeting(&mut self) -> Result<Option<Frame>, WireError> {
        self.next_within(GREETING_BYTES_MAX).await
    }

    /// The next frame; `None` if the peer has closed the connection behind a whole one.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, WireError> {
        self.next_within(BODY_BYTES_MAX).await
    }

    async fn next_within(&mut self, body_bytes_max: usize) -> Result<Option<Frame>, WireError> {
        if !self.fill(HEADER_BYTES).await? {
            return match self.buffer.is_empty() {
                true => Ok(None),
                false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            };
        }
        let header = Header::decode(&mut self.buffer)?;
        if header.body_bytes > body_bytes_max {
            return Err(WireError::TooLong(header.body_bytes));
        }
        let body = self.body(header.body_bytes).await?;
        Ok(Some(header.with_body(body)))
    }

    /// Whether as much as that is in the buffer.
    async fn fill(&mut self, bytes: usize) -> Result<bool, WireError> {
        while self.buffer.len() < bytes {
            // What is left of the shared memory is used up first, unless a read would get little.
            let left = self.buffer.capacity() - self.buffer.len();
            if left < SMALL_BYTES_MAX {
                self.buffer.reserve(SHARED_BYTES);
            }
            let reading = self.incoming.read_buf(&mut self.buffer);
            if heard(reading, self.silence_max).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn body(&mut self, length: usize) -> Result<Bytes, WireError> {
        if length <= SMALL_BYTES_MAX {
            if !self.fill(length).await? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            return Ok(self.buffer.split_to(length).freeze());
        }
        let mut body = BytesMut::with_capacity(length);
        let known = self.buffer.len().min(length);
        body.extend_from_slice(&self.buffer.split_to(known));
        while body.len() < length {
            let missing = (length - body.len()) as u64;
            let mut incoming = (&mut self.incoming).take(missing);
            if heard(incoming.read_buf(&mut body), self.silence_max).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(body.freeze())
    }
}

/// A read that takes no longer than a peer may be silent.
async fn heard(
    reading: impl Future<Output = io::Result<usize>>,
    silence_max: Duration,
) -> Result<usize, WireError> {
    match timeout(silence_max, reading).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(WireError::Silent),
    }
}

pub(crate) struct FrameWriter<W> {
    outgoing: W,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// The first words of the node that connects.
    pub(crate) async fn open(&mut self, greeting: OutgoingFrame) -> io::Result<()> {
        let mut frames = Frames::default();
        frames.0.small().extend_from_slice(PREFACE);
        frames.push(greeting);
        self.send(frames).await
    }

    pub(crate) async fn send(&mut self, frames: Frames) -> io::Result<()> {
        let mut pieces = frames.0.finish();
        self.outgoing.write_all_buf(&mut pieces).await?;
        self.outgoing.flush().await
    }
}

/// Frames that are written together.
#[derive(Default)]
pub(crate) struct Frames(PiecesWriter);

impl Frames {
    pub(crate) fn push(&mut self, frame: OutgoingFrame) {
        frame.put_header(self.0.small());
        self.0.push_all(frame.body);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<OutgoingFrame> for Frames {
    fn from(frame: OutgoingFrame) -> Self {
        let mut frames = Self::default();
        frames.push(frame);
        frames
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::RaftGroupId;
    use tokio::io::duplex;

    use super::super::frame::FrameKind;
    use super::*;

    fn frame<B: From<Bytes>>(request: u64, body: &[u8]) -> Frame<B> {
        Frame {
            kind: FrameKind::Append,
            group: RaftGroupId::new(7),
            request,
            append_stream: 3,
            can_wait: false,
            body: Bytes::copy_from_slice(body).into(),
        }
    }

    fn frames(bodies: &[&[u8]]) -> Frames {
        let mut frames = Frames::default();
        for (request, body) in (1..).zip(bodies) {
            frames.push(frame(request, body));
        }
        frames
    }

    fn reader(words: &[u8]) -> FrameReader<&[u8]> {
        FrameReader {
            incoming: words,
            buffer: BytesMut::new(),
            silence_max: SILENCE_MAX,
        }
    }

    #[tokio::test]
    async fn frames_of_all_sizes_arrive_as_they_were_sent() {
        let large: Vec<u8> = (0..5 * SMALL_BYTES_MAX).map(|at| at as u8).collect();
        let bodies = [&b"one"[..], &large, b"", &large[..SMALL_BYTES_MAX], b"end"];
        // Whatever the connection takes at a time.
        for piece_bytes in [1, 7, 1_000, 1 << 20] {
            let (near, far) = duplex(piece_bytes);
            let (_, mut writer) = split(Box::new(near), SILENCE_MAX);
            let (mut reader, _) = split(Box::new(far), SILENCE_MAX);
            let sending = async {
                writer.open(frame(0, b"hello")).await.unwrap();
                writer.send(frames(&bodies)).await.unwrap();
                writer.outgoing.shutdown().await.unwrap();
            };
            let receiving = async {
                assert!(reader.preface().await.unwrap());
                let greeting = reader.greeting().await.unwrap();
                assert_eq!(greeting, Some(frame(0, b"hello")));
                for (request, body) in (1..).zip(bodies) {
                    let read = reader.next().await.unwrap();
                    assert_eq!(read, Some(frame(request, body)), "{piece_bytes}");
                }
                assert_eq!(reader.next().await.unwrap(), None);
            };
            tokio::join!(sending, receiving);
        }
    }

    #[tokio::test]
    async fn a_cut_or_unknown_frame_is_an_error() {
        let whole = frames(&[b"one"]).0.finish().into_bytes();
        for length in 1..whole.len() {
            let mut reader = reader(&whole[..length]);
            assert!(reader.next().await.is_err(), "{length}");
        }
        let mut unknown = whole.to_vec();
        unknown[4] = 99;
        let mut too_long = whole.to_vec();
        too_long[0] = 255;
        let read = reader(&unknown).next().await;
        assert!(matches!(read, Err(WireError::Malformed(_))), "{read:?}");
        let read = reader(&too_long).next().await;
        assert!(matches!(read, Err(WireError::TooLong(_))), "{read:?}");
    }

    #[tokio::test]
    async fn whoever_begins_otherwise_is_no_node() {
        for words in [&b"PRI * HTTP/2.0"[..], b"FLOT"] {
            assert!(!reader(words).preface().await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_silent_peer_is_given_up() {
        let (_near, far) = duplex(100);
        let (mut reader, _) = split(Box::new(far), Duration::from_millis(1));
        assert!(matches!(reader.next().await, Err(WireError::Silent)));
    }
}
