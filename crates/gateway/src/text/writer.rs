//! Answers on their way to a peer.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::answer::Answer;

/// A buffer that is larger is given back when it is empty.
const KEPT_BYTES_MAX: usize = 64 << 10;

pub(super) struct AnswerWriter<W> {
    sink: W,
    buffer: BytesMut,
    needs_flush: bool,
    /// The buffer is larger than one that is kept for a connection that may be idle.
    is_large: bool,
    /// Since when the peer has taken nothing of what is there for it.
    stalled_since: Instant,
}

impl<W: AsyncWrite + Unpin> AnswerWriter<W> {
    pub(super) fn new(sink: W) -> Self {
        Self {
            sink,
            buffer: BytesMut::new(),
            needs_flush: false,
            is_large: false,
            stalled_since: Instant::now(),
        }
    }

    pub(super) fn push(&mut self, answer: &Answer) {
        if self.is_empty() {
            self.stalled_since = Instant::now();
        }
        answer.write(&mut self.buffer);
        self.needs_flush = true;
        self.is_large |= self.buffer.len() > KEPT_BYTES_MAX;
    }

    /// Everything is with the peer, or on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.needs_flush
    }

    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// When a peer that takes nothing until then has stalled for `limit`.
    pub(super) fn stalls_at(&self, limit: Duration) -> Instant {
        self.stalled_since + limit
    }

    /// Writes as much as the peer takes now. Nothing is lost if this is dropped before it is ready.
    pub(super) async fn write_some(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let written = self.sink.write_buf(&mut self.buffer).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.stalled_since = Instant::now();
        }
        if self.buffer.is_empty() {
            self.sink.flush().await?;
            self.needs_flush = false;
            if self.is_large {
                self.buffer = BytesMut::new();
                self.is_large = false;
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        self.sink.shutdown().await
    }
}
