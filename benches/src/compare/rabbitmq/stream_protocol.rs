//! RabbitMQ's stream protocol, as much of it as the comparison needs, in the version of Debian's 3.10.
//!
//! ```text
//!   frame     size:u32  key:u16  version:u16  rest
//!   answer    size:u32  0x8000|key:u16  version:u16  correlation:u32  code:u16  rest
//! ```

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, BytesMut};

use crate::compare::wire::Wire;

const VERSION: u16 = 1;
const ANSWER: u16 = 0x8000;
const OK: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Key {
    DeclarePublisher = 0x01,
    Publish = 0x02,
    PublishConfirm = 0x03,
    PublishError = 0x04,
    Subscribe = 0x07,
    Deliver = 0x08,
    Credit = 0x09,
    Create = 0x0d,
    Delete = 0x0e,
    Metadata = 0x0f,
    PeerProperties = 0x11,
    SaslHandshake = 0x12,
    SaslAuthenticate = 0x13,
    Tune = 0x14,
    Open = 0x15,
}

/// A connection to one node that may work with streams.
pub(super) struct Connection {
    wire: Wire,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self> {
        const USER: &[u8] = b"\0guest\0guest";
        let wire = Wire::connect(port).await?;
        let mut connection = Self { wire };
        connection
            .call(Key::PeerProperties, |body| body.put_u32(0))
            .await?;
        connection.call(Key::SaslHandshake, |_| {}).await?;
        let authenticate = |body: &mut BytesMut| {
            put_string(body, "PLAIN");
            body.put_u32(USER.len() as u32);
            body.put_slice(USER);
        };
        connection.call(Key::SaslAuthenticate, authenticate).await?;
        // It proposes the largest frame, which is taken, and heartbeats, which are not.
        let proposal = connection.next_frame(Key::Tune as u16).await?;
        let frame_bytes_max = (&proposal[..]).try_get_u32()?;
        connection.put_frame(Key::Tune, |body| {
            body.put_u32(frame_bytes_max);
            body.put_u32(0);
        });
        connection
            .call(Key::Open, |body| put_string(body, "/"))
            .await?;
        Ok(connection)
    }

    /// Asks and waits for the answer, or for its refusal. What follows the code is returned.
    pub(super) async fn call(
        &mut self,
        key: Key,
        put_body: impl FnOnce(&mut BytesMut),
    ) -> Result<BytesMut> {
        const CORRELATION: u32 = 1;
        self.put_frame(key, |body| {
            body.put_u32(CORRELATION);
            put_body(body);
        });
        let mut answer = self.next_frame(ANSWER | key as u16).await?;
        ensure!(
            answer.try_get_u32()? == CORRELATION,
            "the answer is another's"
        );
        // This answer has a code for each stream instead.
        if key != Key::Metadata {
            let code = answer.try_get_u16()?;
            ensure!(code == OK, "{key:?} was refused with code {code}");
        }
        Ok(answer)
    }

    /// Puts a frame behind what is to be sent.
    pub(super) fn put_frame(&mut self, key: Key, put_body: impl FnOnce(&mut BytesMut)) {
        let output = self.wire.output();
        let start = output.len();
        output.put_u32(0);
        output.put_u16(key as u16);
        output.put_u16(VERSION);
        put_body(output);
        let bytes = (output.len() - start - 4) as u32;
        output[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
    }

    pub(super) fn push(&mut self) -> Result<()> {
        self.wire.push()
    }

    pub(super) async fn relieve(&mut self) -> Result<()> {
        self.wire.relieve().await
    }

    /// Waits until something comes, and hands over every whole frame: its key, and what follows the
    /// version.
    pub(super) async fn receive(
        &mut self,
        mut on_frame: impl FnMut(u16, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.wire.receive().await?;
        while let Some((key, end)) = whole_frame(self.wire.input()) {
            on_frame(key, &self.wire.input()[8..end])?;
            self.wire.input().advance(end);
        }
        Ok(())
    }

    /// Before anything is published or subscribed to, frames come one at a time.
    async fn next_frame(&mut self, wanted: u16) -> Result<BytesMut> {
        loop {
            if let Some((key, end)) = whole_frame(self.wire.input()) {
                let mut frame = self.wire.input().split_to(end);
                if key == wanted {
                    frame.advance(8);
                    return Ok(frame);
                }
                continue;
            }
            self.wire.push()?;
            self.wire.receive().await?;
        }
    }
}

/// The key and the end of the first frame, if it is there as a whole.
fn whole_frame(input: &[u8]) -> Option<(u16, usize)> {
    let mut head = input;
    let end = head.try_get_u32().ok()? as usize + 4;
    let key = head.try_get_u16().ok()?;
    (input.len() >= end).then_some((key, end))
}

pub(super) fn put_string(output: &mut BytesMut, text: &str) {
    output.put_u16(text.len() as u16);
    output.put_slice(text.as_bytes());
}

pub(super) fn put_arguments(output: &mut BytesMut, arguments: &[(&str, &str)]) {
    output.put_u32(arguments.len() as u32);
    for (key, value) in arguments {
        put_string(output, key);
        put_string(output, value);
    }
}

/// Where a stream is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub(super) leader_port: u16,
    /// The leader is not among them.
    pub(super) replica_count: usize,
}

/// Reads the answer about one stream.
pub(super) fn parse_metadata(mut answer: &[u8]) -> Result<Whereabouts> {
    let mut nodes = Vec::new();
    for _ in 0..answer.try_get_u32()? {
        let reference = answer.try_get_u16()?;
        skip_string(&mut answer)?;
        nodes.push((reference, answer.try_get_u32()?));
    }
    if answer.try_get_u32()? != 1 {
        bail!("not one stream was asked for");
    }
    skip_string(&mut answer)?;
    let code = answer.try_get_u16()?;
    ensure!(code == OK, "the stream cannot be used, for code {code}");
    let leader = answer.try_get_u16()?;
    let leader = nodes.iter().find(|(reference, _)| *reference == leader);
    let (_, port) = leader.context("the stream has no leader yet")?;
    Ok(Whereabouts {
        leader_port: u16::try_from(*port)?,
        replica_count: answer.try_get_u32()? as usize,
    })
}

fn skip_string(input: &mut &[u8]) -> Result<()> {
    let bytes = input.try_get_u16()? as usize;
    ensure!(input.len() >= bytes, "a string ends early");
    input.advance(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_when_it_is_whole() {
        let frame = [0, 0, 0, 5, 0x80, 0x0d, 0, 1, 9, 7];
        assert_eq!(whole_frame(&frame), Some((0x800d, 9)));
        assert_eq!(whole_frame(&frame[..8]), None);
        assert_eq!(whole_frame(&[]), None);
    }

    #[test]
    fn metadata_names_the_leader() {
        let mut answer = BytesMut::new();
        answer.put_u32(2);
        for (reference, port) in [(0, 4_000), (1, 5_000)] {
            answer.put_u16(reference);
            put_string(&mut answer, "127.0.0.1");
            answer.put_u32(port);
        }
        answer.put_u32(1);
        put_string(&mut answer, "log");
        answer.put_u16(OK);
        answer.put_u16(1);
        answer.put_u32(2);
        let expected = Whereabouts {
            leader_port: 5_000,
            replica_count: 2,
        };
        assert_eq!(parse_metadata(&answer).unwrap(), expected);
        assert!(parse_metadata(&answer[..20]).is_err());
    }
}
