//! A connection to a peer's server, with large buffers on both sides.
//!
//! Everything happens in the task that uses it: no other task has to be woken between a byte and whoever
//! waits for it, and a server that does not read while it writes cannot block both.

use std::io::{Error, ErrorKind};

use anyhow::{Context, Result};
use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Room for what is read at a time.
const READ_BYTES: usize = 1 << 20;
/// More than this waits for the server before more is taken.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

pub(super) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl Wire {
    pub(super) async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.with_context(|| format!("nobody listens on port {port}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::with_capacity(2 * READ_BYTES),
            output: BytesMut::with_capacity(2 * OUTPUT_BYTES_MAX),
        })
    }

    /// What has come and was not taken yet.
    pub(super) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// What is to be sent. [`Self::push`] sends it.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Sends what the server takes now.
    pub(super) fn push(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(count) => self.output.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        // Begins at the front of the allocation again.
        self.output.reserve(OUTPUT_BYTES_MAX);
        Ok(())
    }

    /// Sends and receives until there is room for more output.
    pub(super) async fn relieve(&mut self) -> Result<()> {
        while self.output.len() > OUTPUT_BYTES_MAX {
            self.turn().await?;
        }
        Ok(())
    }

    /// Sends, and waits until something new has come.
    pub(super) async fn receive(&mut self) -> Result<()> {
        self.push()?;
        while !self.turn().await? {}
        Ok(())
    }

    /// Waits until something can be read, or written if there is something to write. True: read.
    async fn turn(&mut self) -> Result<bool> {
        let interest = match self.output.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let ready = self.stream.ready(interest).await?;
        if ready.is_writable() {
            self.push()?;
        }
        if !ready.is_readable() {
            return Ok(false);
        }
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(Error::from(ErrorKind::UnexpectedEof)).context("the server hung up"),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
