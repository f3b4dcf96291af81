//! What is written to a peer.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use flotilla_client::{Offset, PartitionIndex};

use super::error::TextError;

/// An error text that is longer is cut off: it may come from far away.
const ERROR_CHARS_MAX: usize = 1_000;

/// Each line of it begins with a mark that no other answer has.
const HELP: [&str; 12] = [
    "PUB <topic> <size> [key=<key>] [id=<id>]   then a line end and <size> bytes; answers OK <offset>",
    "  with an id the record is stored once, however often it is sent",
    "  a topic with several partitions answers OK <offset> <partition>, unless one is named: orders/2",
    "FETCH <topic> <offset> [wait=<ms>]         answers MSG <offset> <size>, a line end and <size> bytes",
    "FETCH <topic> <offset> <count> [wait=<ms>] answers up to <count> MSG, then END <next offset>",
    "  an offset is a number, earliest, or latest, which is the next record that comes",
    "AUTH <token>                               answers OK",
    "PING                                       answers PONG",
    "HELP                                       answers this",
    "QUIT                                       answers BYE and closes",
    "errors answer ERR <code> <text>",
    "for example: PUB greetings 5 and on the next line hello, then FETCH greetings 0",
];

/// One answer to one command, or the last words to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Bye,
    Done,
    Error(TextError),
    Help,
    Pong,
    /// One record, and nothing behind its payload.
    Record(TextRecord),
    /// Records, and the offset to go on with.
    Records(Vec<TextRecord>, Offset),
    /// Where a record is. The partition is told only if the peer could not know it.
    Stored(Offset, Option<PartitionIndex>),
}

/// A record as it is shown here: where it is, and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRecord {
    pub offset: Offset,
    /// `None` is a tombstone, which is shown as an empty payload.
    pub value: Option<Bytes>,
}

impl Answer {
    /// How the command came out, for what is counted.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Error(error) => error.code.as_str(),
            _ => "ok",
        }
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Bye => out.put_slice(b"BYE\r\n"),
            Self::Done => out.put_slice(b"OK\r\n"),
            Self::Error(error) => write_error(error, out),
            Self::Help => {
                for line in HELP {
                    write_line(out, format_args!("# {line}"));
                }
                out.put_slice(b"OK\r\n");
            }
            Self::Pong => out.put_slice(b"PONG\r\n"),
            Self::Record(record) => write_record(record, out),
            Self::Records(records, next_offset) => {
                for record in records {
                    write_record(record, out);
                }
                write_line(out, format_args!("END {next_offset}"));
            }
            Self::Stored(offset, None) => write_line(out, format_args!("OK {offset}")),
            Self::Stored(offset, Some(partition)) => {
                write_line(out, format_args!("OK {offset} {partition}"));
            }
        }
    }
}

fn write_record(record: &TextRecord, out: &mut BytesMut) {
    let payload = record.value.as_deref().unwrap_or_default();
    write_line(out, format_args!("MSG {} {}", record.offset, payload.len()));
    out.put_slice(payload);
}

/// The text stays on its line, whatever it was made of.
fn write_error(error: &TextError, out: &mut BytesMut) {
    let mut text = String::with_capacity(error.text.len());
    for character in error.text.chars().take(ERROR_CHARS_MAX) {
        match character.is_control() {
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    write_line(out, format_args!("ERR {} {text}", error.code));
}

fn write_line(out: &mut BytesMut, line: std::fmt::Arguments<'_>) {
    out.write_fmt(line)
        .expect("invariant: a buffer takes what is written");
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use flotilla_client::ErrorCode;

    use super::super::error::TextCode;
    use super::*;

    fn written(answer: &Answer) -> String {
        let mut out = BytesMut::new();
        answer.write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_answer_is_what_the_reference_says() {
        let offset = Offset::new(50);
        assert_eq!(written(&Answer::Stored(offset, None)), "OK 50\r\n");
        let partition = Some(PartitionIndex::new(2));
        assert_eq!(written(&Answer::Stored(offset, partition)), "OK 50 2\r\n");
        let value = Some(Bytes::from_static(br#"{"order_id":101}"#));
        let record = TextRecord { offset, value };
        assert_eq!(
            written(&Answer::Record(record.clone())),
            "MSG 50 16\r\n{\"order_id\":101}"
        );
        let tombstone = TextRecord {
            offset: Offset::new(51),
            value: None,
        };
        let both = Answer::Records(vec![record, tombstone], Offset::new(52));
        assert_eq!(
            written(&both),
            "MSG 50 16\r\n{\"order_id\":101}MSG 51 0\r\nEND 52\r\n"
        );
    }

    #[test]
    fn an_error_stays_on_its_line() {
        let code = TextCode::Broker(ErrorCode::Internal);
        let error = TextError::new(code, "a\r\nOK 1\r\n\u{7}é\u{85}");
        assert_eq!(
            written(&Answer::Error(error)),
            "ERR INTERNAL a\\r\\nOK 1\\r\\n\\u{7}é\\u{85}\r\n"
        );
        let long = TextError::new(code, "x".repeat(5_000));
        assert_eq!(written(&Answer::Error(long)).len(), 1_000 + 15);
    }

    #[test]
    fn help_says_where_it_ends() {
        let help = written(&Answer::Help);
        let (lines, last) = help.split_at(help.len() - 4);
        assert_eq!(last, "OK\r\n");
        assert!(lines.lines().all(|line| line.starts_with("# ")));
    }
}
