//! AMQP 0.9.1, as much of it as the comparison needs.
//!
//! ```text
//!   frame     type:u8  channel:u16  size:u32  payload  0xce
//!   method    class:u16  method:u16  arguments
//! ```

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::compare::wire::Wire;

const METHOD_FRAME: u8 = 1;
const HEADER_FRAME: u8 = 2;
const BODY_FRAME: u8 = 3;
const FRAME_END: u8 = 0xce;
const FRAME_HEAD_BYTES: usize = 7;
const FRAME_BYTES_MAX: u32 = 131_072;
const CHANNEL: u16 = 1;
const BASIC: u16 = 60;

/// Class and number of a method.
pub(super) type Method = (u16, u16);

const CONNECTION_START: Method = (10, 10);
const CONNECTION_START_OK: Method = (10, 11);
const CONNECTION_TUNE: Method = (10, 30);
const CONNECTION_TUNE_OK: Method = (10, 31);
const CONNECTION_OPEN: Method = (10, 40);
const CONNECTION_CLOSE: Method = (10, 50);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_CLOSE: Method = (20, 40);
pub(super) const QUEUE_DECLARE: Method = (50, 10);
pub(super) const QUEUE_DELETE: Method = (50, 40);
const BASIC_PUBLISH: Method = (60, 40);
const BASIC_ACK: Method = (60, 80);
const BASIC_NACK: Method = (60, 120);
pub(super) const CONFIRM_SELECT: Method = (85, 10);

/// A connection with one open channel.
pub(super) struct Connection {
    wire: Wire,
}

/// The server says that it has what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledgement {
    pub(super) tag: u64,
    /// And everything before it.
    pub(super) multiple: bool,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self> {
        let wire = Wire::connect(port).await?;
        let mut connection = Self { wire };
        connection.wire.output().put_slice(b"AMQP\0\0\x09\x01");
        connection.answer(CONNECTION_START).await?;
        connection.put_method(0, CONNECTION_START_OK, |body| {
            put_table(body, &[]);
            put_short_string(body, "PLAIN");
            put_long_string(body, "\0guest\0guest");
            put_short_string(body, "en_US");
        });
        connection.answer(CONNECTION_TUNE).await?;
        connection.put_method(0, CONNECTION_TUNE_OK, |body| {
            body.put_u16(8);
            body.put_u32(FRAME_BYTES_MAX);
            // No heartbeats.
            body.put_u16(0);
        });
        connection.put_method(0, CONNECTION_OPEN, |body| {
            put_short_string(body, "/");
            put_short_string(body, "");
            body.put_u8(0);
        });
        connection.answer(answer_to(CONNECTION_OPEN)).await?;
        connection
            .call(CHANNEL_OPEN, |body| put_short_string(body, ""))
            .await?;
        Ok(connection)
    }

    /// Asks on the channel and waits for the answer, whose arguments are returned.
    pub(super) async fn call(
        &mut self,
        method: Method,
        put_arguments: impl FnOnce(&mut BytesMut),
    ) -> Result<BytesMut> {
        self.put_method(CHANNEL, method, put_arguments);
        self.answer(answer_to(method)).await
    }

    /// Puts a message to the default exchange behind what is to be sent. It is persistent.
    pub(super) fn put_message(&mut self, queue: &str, value: &Bytes) {
        const DELIVERY_MODE: u16 = 1 << 12;
        const PERSISTENT: u8 = 2;
        self.put_method(CHANNEL, BASIC_PUBLISH, |body| {
            body.put_u16(0);
            put_short_string(body, "");
            put_short_string(body, queue);
            body.put_u8(0);
        });
        put_frame(self.wire.output(), (HEADER_FRAME, CHANNEL), |body| {
            body.put_u16(BASIC);
            body.put_u16(0);
            body.put_u64(value.len() as u64);
            body.put_u16(DELIVERY_MODE);
            body.put_u8(PERSISTENT);
        });
        put_frame(self.wire.output(), (BODY_FRAME, CHANNEL), |body| {
            body.put_slice(value)
        });
    }

    pub(super) fn push(&mut self) -> Result<()> {
        self.wire.push()
    }

    pub(super) async fn relieve(&mut self) -> Result<()> {
        self.wire.relieve().await
    }

    /// Waits until something comes, and hands over every acknowledgement.
    pub(super) async fn receive(
        &mut self,
        mut on_acknowledgement: impl FnMut(Acknowledgement),
    ) -> Result<()> {
        self.wire.receive().await?;
        while let Some((method, mut arguments)) = next_method(self.wire.input())? {
            match method {
                BASIC_ACK => on_acknowledgement(Acknowledgement {
                    tag: arguments.try_get_u64()?,
                    multiple: arguments.try_get_u8()? & 1 == 1,
                }),
                BASIC_NACK => bail!("a message was refused"),
                _ => {}
            }
        }
        Ok(())
    }

    async fn answer(&mut self, wanted: Method) -> Result<BytesMut> {
        loop {
            if let Some((method, arguments)) = next_method(self.wire.input())? {
                if method == wanted {
                    return Ok(arguments);
                }
                continue;
            }
            self.wire.receive().await?;
        }
    }

    fn put_method(
        &mut self,
        channel: u16,
        (class, number): Method,
        put_arguments: impl FnOnce(&mut BytesMut),
    ) {
        put_frame(self.wire.output(), (METHOD_FRAME, channel), |body| {
            body.put_u16(class);
            body.put_u16(number);
            put_arguments(body);
        });
    }
}

const fn answer_to((class, number): Method) -> Method {
    (class, number + 1)
}

fn put_frame(
    output: &mut BytesMut,
    (kind, channel): (u8, u16),
    put_payload: impl FnOnce(&mut BytesMut),
) {
    let start = output.len();
    output.put_u8(kind);
    output.put_u16(channel);
    output.put_u32(0);
    put_payload(output);
    let payload = start + FRAME_HEAD_BYTES;
    let bytes = (output.len() - payload) as u32;
    output[payload - 4..payload].copy_from_slice(&bytes.to_be_bytes());
    output.put_u8(FRAME_END);
}

/// Takes the first method that is there as a whole, and whatever else lies before it.
fn next_method(input: &mut BytesMut) -> Result<Option<(Method, BytesMut)>> {
    loop {
        let Some(head) = input.get(..FRAME_HEAD_BYTES) else {
            return Ok(None);
        };
        let bytes = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let end = FRAME_HEAD_BYTES + bytes + 1;
        if input.len() < end {
            return Ok(None);
        }
        let mut frame = input.split_to(end);
        ensure!(frame.last() == Some(&FRAME_END), "a frame has no end");
        if frame[0] != METHOD_FRAME {
            continue;
        }
        frame.advance(FRAME_HEAD_BYTES);
        let method = (frame.try_get_u16()?, frame.try_get_u16()?);
        if matches!(method, CONNECTION_CLOSE | CHANNEL_CLOSE) {
            let code = frame.try_get_u16().context("a reason for closing")?;
            bail!("closed with {code}: {}", String::from_utf8_lossy(&frame));
        }
        return Ok(Some((method, frame)));
    }
}

pub(super) fn put_short_string(output: &mut BytesMut, text: &str) {
    output.put_u8(text.len() as u8);
    output.put_slice(text.as_bytes());
}

fn put_long_string(output: &mut BytesMut, text: &str) {
    output.put_u32(text.len() as u32);
    output.put_slice(text.as_bytes());
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Text(&'a str),
    Number(i32),
}

pub(super) fn put_table(output: &mut BytesMut, fields: &[(&str, Field<'_>)]) {
    let start = output.len();
    output.put_u32(0);
    for (name, field) in fields {
        put_short_string(output, name);
        match field {
            Field::Text(text) => {
                output.put_u8(b'S');
                put_long_string(output, text);
            }
            Field::Number(number) => {
                output.put_u8(b'I');
                output.put_i32(*number);
            }
        }
    }
    let bytes = (output.len() - start - 4) as u32;
    output[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(method: Method, arguments: &[u8]) -> BytesMut {
        let mut output = BytesMut::new();
        put_frame(&mut output, (METHOD_FRAME, CHANNEL), |body| {
            body.put_u16(method.0);
            body.put_u16(method.1);
            body.put_slice(arguments);
        });
        output
    }

    #[test]
    fn methods_are_found_when_they_are_whole() {
        let mut input = method(BASIC_ACK, &[0, 0, 0, 0, 0, 0, 0, 9, 1]);
        let mut part = BytesMut::from(&input[..input.len() - 1]);
        assert!(next_method(&mut part).unwrap().is_none());
        let (found, mut arguments) = next_method(&mut input).unwrap().unwrap();
        assert_eq!((found, arguments.get_u64()), (BASIC_ACK, 9));
        assert!(next_method(&mut input).unwrap().is_none());
    }

    #[test]
    fn a_closed_channel_is_an_error() {
        let mut input = method(CHANNEL_CLOSE, b"\x01\x94\x09not there");
        let error = next_method(&mut input).unwrap_err().to_string();
        assert!(
            error.contains("404") && error.contains("not there"),
            "{error}"
        );
    }

    #[test]
    fn a_table_has_its_length_before_it() {
        let mut output = BytesMut::new();
        put_table(
            &mut output,
            &[("a", Field::Text("b")), ("c", Field::Number(3))],
        );
        assert_eq!(&output[..], b"\0\0\0\x0f\x01aS\0\0\0\x01b\x01cI\0\0\0\x03");
    }
}
