//! The format of `consume`: text with verbs that stand for the parts of a record.

use std::io::Write;

use bytes::Bytes;
use flotilla_client::ConsumerRecord;

use crate::values::read_escape;

/// A format that is known to be sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrintFormat {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Key,
    Value,
    Topic,
    Partition,
    Offset,
    TimestampMs,
    Headers,
}

impl Default for PrintFormat {
    /// The values, one a line.
    fn default() -> Self {
        Self {
            pieces: vec![Piece::Value, Piece::Literal(b"\n".to_vec())],
        }
    }
}

impl PrintFormat {
    /// For `value_parser`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => match read_verb(characters.next())? {
                    Piece::Literal(text) => literal.extend(text),
                    verb => {
                        if !literal.is_empty() {
                            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                        }
                        pieces.push(verb);
                    }
                },
                '\\' => literal.push(read_escape(characters.next())?),
                other => literal.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    /// Appends the record to `out`. What it does not have is empty.
    pub(super) fn print(&self, record: &ConsumerRecord, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Key => print_optional(record.key.as_ref(), out),
                Piece::Value => print_optional(record.value.as_ref(), out),
                Piece::Topic => out.extend_from_slice(record.topic.as_str().as_bytes()),
                Piece::Partition => print_number(record.partition, out),
                Piece::Offset => print_number(record.offset, out),
                Piece::TimestampMs => print_number(record.timestamp.as_millis(), out),
                Piece::Headers => print_headers(record, out),
            }
        }
    }
}

fn read_verb(verb: Option<char>) -> Result<Piece, String> {
    match verb {
        Some('k') => Ok(Piece::Key),
        Some('v') => Ok(Piece::Value),
        Some('t') => Ok(Piece::Topic),
        Some('p') => Ok(Piece::Partition),
        Some('o') => Ok(Piece::Offset),
        Some('T') => Ok(Piece::TimestampMs),
        Some('h') => Ok(Piece::Headers),
        Some('%') => Ok(Piece::Literal(b"%".to_vec())),
        Some(other) => Err(format!(
            "%{other} is no verb: use %k %v %t %p %o %T %h or %%"
        )),
        None => Err("a verb is missing after the last %".to_owned()),
    }
}

fn print_optional(bytes: Option<&Bytes>, out: &mut Vec<u8>) {
    if let Some(bytes) = bytes {
        out.extend_from_slice(bytes);
    }
}

fn print_number(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "{number}").expect("writing to memory does not fail");
}

fn print_headers(record: &ConsumerRecord, out: &mut Vec<u8>) {
    for (position, header) in record.headers.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(header.key.as_bytes());
        out.push(b'=');
        print_optional(header.value.as_ref(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::record_json::tests::record;
    use super::*;

    fn printed(format: &str) -> Vec<u8> {
        let mut out = Vec::new();
        PrintFormat::parse(format)
            .unwrap()
            .print(&record(), &mut out);
        out
    }

    #[test]
    fn every_verb_prints_its_part() {
        assert_eq!(
            printed(r"%t/%p@%o %T [%h] %k=%v 100%%\t\\\0\n"),
            b"orders/3@17 1700000000000 [trace=\xff,none=] k=v 100%\t\\\0\n"
        );
    }

    #[test]
    fn what_a_record_lacks_is_empty() {
        let tombstone = ConsumerRecord {
            key: None,
            value: None,
            headers: Vec::new(),
            ..record()
        };
        let mut out = Vec::new();
        let format = PrintFormat::parse("<%k|%v|%h>").unwrap();
        format.print(&tombstone, &mut out);
        assert_eq!(out, b"<||>");
    }

    #[test]
    fn text_outside_ascii_stays() {
        assert_eq!(printed("→%p"), "→3".as_bytes());
        assert_eq!(printed(""), b"");
    }

    #[test]
    fn unknown_verbs_and_loose_ends_are_refused() {
        for wrong in ["%x", "%", r"\x", r"\", "%v %"] {
            assert!(PrintFormat::parse(wrong).is_err(), "{wrong}");
        }
    }
}
