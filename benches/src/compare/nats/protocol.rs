//! The text protocol of NATS, as much of it as the comparison needs.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use serde_json::{Value, json};

use crate::compare::wire::Wire;

/// A connection to one server, after the greetings.
pub(super) struct Connection {
    wire: Wire,
}

/// One message, as long as it lies in the buffer.
pub(super) struct Message<'a> {
    pub(super) subject: &'a [u8],
    pub(super) reply: Option<&'a [u8]>,
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// What lies at the front of the buffer.
enum Frame {
    Message(Layout),
    Ping { end: usize },
    Other { end: usize },
}

/// Where the parts of a message are.
struct Layout {
    subject: (usize, usize),
    reply: Option<(usize, usize)>,
    payload_start: usize,
    header_bytes: usize,
    payload_bytes: usize,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self> {
        let wire = Wire::connect(port).await?;
        let mut connection = Self { wire };
        let options = json!({
            "verbose": false, "pedantic": false, "protocol": 1, "headers": true,
            "no_responders": true, "lang": "rust", "version": "1", "name": "flotilla-benches",
        });
        let hello = format!("CONNECT {options}\r\n");
        connection.output().extend_from_slice(hello.as_bytes());
        Ok(connection)
    }

    pub(super) fn output(&mut self) -> &mut BytesMut {
        self.wire.output()
    }

    pub(super) fn push(&mut self) -> Result<()> {
        self.wire.push()
    }

    pub(super) async fn relieve(&mut self) -> Result<()> {
        self.wire.relieve().await
    }

    pub(super) fn subscribe(&mut self, subject: &str) {
        let line = format!("SUB {subject} 1\r\n");
        self.output().extend_from_slice(line.as_bytes());
    }

    pub(super) fn publish(&mut self, (subject, reply): (&str, &str), payload: &[u8]) {
        let head = format!("PUB {subject} {reply} {}\r\n", payload.len());
        let output = self.output();
        output.extend_from_slice(head.as_bytes());
        output.extend_from_slice(payload);
        output.extend_from_slice(b"\r\n");
    }

    /// Waits until something comes, and hands over every whole message.
    pub(super) async fn receive(
        &mut self,
        mut on_message: impl FnMut(Message<'_>) -> Result<()>,
    ) -> Result<()> {
        self.wire.receive().await?;
        while let Some(frame) = parse(self.wire.input())? {
            match frame {
                Frame::Message(layout) => {
                    let end = layout.end();
                    on_message(layout.message(self.wire.input()))?;
                    self.wire.input().advance(end);
                }
                Frame::Ping { end } => {
                    self.wire.input().advance(end);
                    self.wire.output().extend_from_slice(b"PONG\r\n");
                }
                Frame::Other { end } => self.wire.input().advance(end),
            }
        }
        self.wire.push()
    }

    /// One call of JetStream's API on a connection that does nothing else.
    pub(super) async fn call(&mut self, api: &str, arguments: &Value) -> Result<Value> {
        const INBOX: &str = "_INBOX.api";
        self.subscribe(INBOX);
        let subject = format!("$JS.API.{api}");
        self.publish((&subject, INBOX), arguments.to_string().as_bytes());
        let mut answer = None;
        while answer.is_none() {
            self.receive(|message| {
                ensure!(message.headers.is_empty(), "nobody serves JetStream yet");
                answer = Some(serde_json::from_slice::<Value>(message.payload)?);
                Ok(())
            })
            .await?;
        }
        let answer = answer.context("the loop ends with an answer")?;
        match answer.get("error") {
            Some(error) => bail!("{api}: {error}"),
            None => Ok(answer),
        }
    }
}

impl Layout {
    fn end(&self) -> usize {
        self.payload_start + self.header_bytes + self.payload_bytes + 2
    }

    fn message<'a>(&self, input: &'a [u8]) -> Message<'a> {
        let headers_end = self.payload_start + self.header_bytes;
        let part = |(start, end): (usize, usize)| &input[start..end];
        Message {
            subject: part(self.subject),
            reply: self.reply.map(part),
            headers: &input[self.payload_start..headers_end],
            payload: &input[headers_end..headers_end + self.payload_bytes],
        }
    }
}

/// What is at the front of `input`, if it is there as a whole.
fn parse(input: &[u8]) -> Result<Option<Frame>> {
    let Some(line_bytes) = input.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let end = line_bytes + 1;
    let has_headers = input.starts_with(b"HMSG ");
    if has_headers || input.starts_with(b"MSG ") {
        let layout = message_layout(&input[..end], has_headers);
        let layout = layout.context("a message begins with a strange line")?;
        let is_whole = input.len() >= layout.end();
        return Ok(is_whole.then_some(Frame::Message(layout)));
    }
    if input.starts_with(b"-ERR") {
        bail!("the server says {}", String::from_utf8_lossy(&input[..end]));
    }
    Ok(Some(match input.starts_with(b"PING") {
        true => Frame::Ping { end },
        false => Frame::Other { end },
    }))
}

/// `MSG subject sid [reply] bytes`, or `HMSG subject sid [reply] header-bytes bytes`.
fn message_layout(line: &[u8], has_headers: bool) -> Option<Layout> {
    let mut words = [(0, 0); 6];
    let mut count = 0;
    let mut start = 0;
    for (at, byte) in line.iter().enumerate() {
        if matches!(byte, b' ' | b'\r' | b'\n') {
            if at > start {
                *words.get_mut(count)? = (start, at);
                count += 1;
            }
            start = at + 1;
        }
    }
    let words = &words[..count];
    let number = |(start, end): (usize, usize)| {
        let text = std::str::from_utf8(&line[start..end]).ok()?;
        text.parse::<usize>().ok()
    };
    let sizes = 1 + usize::from(has_headers);
    let header_bytes = match has_headers {
        true => number(*words.get(count.checked_sub(2)?)?)?,
        false => 0,
    };
    let total = number(*words.last()?)?;
    Some(Layout {
        subject: *words.get(1)?,
        reply: (count == 4 + sizes).then(|| words[3]),
        payload_start: line.len(),
        header_bytes,
        payload_bytes: total.checked_sub(header_bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(input: &[u8]) -> Message<'_> {
        let Some(Frame::Message(layout)) = parse(input).unwrap() else {
            panic!("no message");
        };
        assert_eq!(layout.end(), input.len());
        layout.message(input)
    }

    #[test]
    fn messages_are_taken_apart() {
        let plain = message(b"MSG a.b 1 5\r\nhello\r\n");
        assert_eq!((plain.subject, plain.payload), (&b"a.b"[..], &b"hello"[..]));
        assert_eq!(plain.reply, None);
        let answered = message(b"MSG a.b 1 _R.1 5\r\nhello\r\n");
        assert_eq!(answered.reply, Some(&b"_R.1"[..]));
        let status = message(b"HMSG a 1 _R 12 12\r\nNATS/1.0\r\n\r\n\r\n");
        assert_eq!((status.reply, status.payload), (Some(&b"_R"[..]), &b""[..]));
        assert_eq!(status.headers, b"NATS/1.0\r\n\r\n");
    }

    #[test]
    fn what_is_not_whole_waits() {
        for part in [
            &b"MSG a 1 5"[..],
            b"MSG a 1 5\r\nhell",
            b"MSG a 1 5\r\nhello\r",
        ] {
            assert!(parse(part).unwrap().is_none());
        }
        assert!(matches!(
            parse(b"PING\r\n").unwrap(),
            Some(Frame::Ping { end: 6 })
        ));
        assert!(parse(b"-ERR 'Slow Consumer'\r\n").is_err());
    }
}
