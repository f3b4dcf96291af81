//! Commands out of what a peer sends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::config::TextConfig;
use super::framing::{Framing, Input};

pub(super) struct CommandReader<'a, R> {
    source: R,
    framing: Framing<'a>,
    ended: bool,
}

impl<'a, R: AsyncRead + Unpin> CommandReader<'a, R> {
    pub(super) fn new(source: R, config: &'a TextConfig) -> Self {
        Self {
            source,
            framing: Framing::new(config),
            ended: false,
        }
    }

    /// The next input, or none if bytes came that are not yet one. Nothing is lost if this is dropped
    /// before it is ready.
    pub(super) async fn next(&mut self) -> io::Result<Option<Input>> {
        if let Some(input) = self.framing.next(self.ended) {
            return Ok(Some(input));
        }
        if self.ended {
            return Ok(Some(Input::Ended));
        }
        let read = self.source.read_buf(self.framing.room()).await?;
        self.ended = read == 0;
        Ok(self.framing.next(self.ended))
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.framing.is_unfinished()
    }

    /// Reads what is still on its way and forgets it, at most so many bytes: closing a connection over
    /// unread bytes would take the last answer away from the peer.
    pub(super) async fn forget_the_rest(&mut self, bytes_max: usize) -> io::Result<()> {
        let mut forgotten = 0;
        let mut bytes = Vec::with_capacity(4 << 10);
        while !self.ended && forgotten < bytes_max {
            bytes.clear();
            let read = self.source.read_buf(&mut bytes).await?;
            forgotten += read;
            self.ended = read == 0;
        }
        Ok(())
    }
}
