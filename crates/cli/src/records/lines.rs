//! Lines of a file or of stdin, read on a thread of their own.

use std::io::{ErrorKind, Read};
use std::thread;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::input::InputFault;
use crate::failure::Failure;

/// The longest line. A JSON line can be larger than the record in it.
const LINE_BYTES_MAX: usize = 32 << 20;
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait to be split.
const QUEUE_MAX: usize = 16;

/// Splits input at line feeds, which are no part of the lines. The last line may lack one.
pub(super) struct Lines {
    /// What is read from, for messages.
    name: String,
    chunks: mpsc::Receiver<std::io::Result<Bytes>>,
    /// Read and not yet handed out.
    rest: BytesMut,
    /// Bytes at the beginning of `rest` that hold no line feed.
    scanned: usize,
    lines_read: u64,
    has_ended: bool,
}

/// A line and its number, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
}

impl Lines {
    /// Starts to read.
    ///
    /// The thread ends with the input, or when it has something to hand over and nobody takes it
    /// any more. Nothing waits for it: a read from a terminal cannot be called off.
    pub(super) fn start(input: Box<dyn Read + Send>, name: &str) -> Result<Self, Failure> {
        let (sender, chunks) = mpsc::channel(QUEUE_MAX);
        let reader = thread::Builder::new().name("input".to_owned());
        let spawned = reader.spawn(move || read_chunks(input, &sender));
        spawned.map_err(|source| Failure::Read {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            chunks,
            rest: BytesMut::new(),
            scanned: 0,
            lines_read: 0,
            has_ended: false,
        })
    }

    /// The next line, `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(Failure::Input {
                    line: self.lines_read + 1,
                    source: InputFault::TooLong {
                        bytes_max: LINE_BYTES_MAX,
                    },
                });
            }
            if self.has_ended {
                return Ok(None);
            }
            match self.chunks.recv().await {
                Some(Ok(chunk)) => self.rest.extend_from_slice(&chunk),
                Some(Err(source)) => {
                    let name = self.name.clone();
                    return Err(Failure::Read { name, source });
                }
                None => self.has_ended = true,
            }
        }
    }

    fn take_line(&mut self) -> Option<Line> {
        let unscanned = &self.rest[self.scanned..];
        let bytes = match unscanned.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let mut line = self.rest.split_to(self.scanned + at + 1);
                line.truncate(line.len() - 1);
                line
            }
            None if self.has_ended && !self.rest.is_empty() => self.rest.split(),
            None => {
                self.scanned = self.rest.len();
                return None;
            }
        };
        self.scanned = 0;
        self.lines_read += 1;
        Some(Line {
            number: self.lines_read,
            bytes: bytes.freeze(),
        })
    }
}

fn read_chunks(mut input: Box<dyn Read + Send>, chunks: &mpsc::Sender<std::io::Result<Bytes>>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => Ok(Bytes::copy_from_slice(&chunk[..count])),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if chunks.blocking_send(read).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor};

    use super::*;

    /// Gives a byte at a time and then fails.
    struct Broken(Cursor<&'static [u8]>);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(&mut buffer[..1])? {
                0 => Err(ErrorKind::TimedOut.into()),
                count => Ok(count),
            }
        }
    }

    async fn all(input: impl Read + Send + 'static) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Lines::start(Box::new(input), "input").unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push((line.number, line.bytes.to_vec()));
        }
        all
    }

    #[tokio::test]
    async fn lines_are_numbered_and_the_last_one_needs_no_line_feed() {
        let lines = all(Cursor::new(b"a\n\nb\r\nc")).await;
        let expected: [(u64, &[u8]); 4] = [(1, b"a"), (2, b""), (3, b"b\r"), (4, b"c")];
        assert_eq!(
            lines,
            expected.map(|(number, line)| (number, line.to_vec()))
        );
        assert!(all(Cursor::new(b"")).await.is_empty());
    }

    #[tokio::test]
    async fn lines_longer_than_a_chunk_stay_whole() {
        let long = vec![b'x'; 3 * CHUNK_BYTES + 5];
        let mut input = long.clone();
        input.push(b'\n');
        input.extend_from_slice(&long);
        assert_eq!(
            all(Cursor::new(input)).await,
            [(1, long.clone()), (2, long)]
        );
    }

    #[tokio::test]
    async fn an_endless_line_is_refused_with_its_number() {
        let endless = Cursor::new(b"first\n").chain(io::repeat(b'x'));
        let mut lines = Lines::start(Box::new(endless), "input").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().number, 1);
        let failure = lines.next().await.unwrap_err();
        assert!(matches!(failure, Failure::Input { line: 2, .. }));
    }

    #[tokio::test]
    async fn a_read_error_comes_after_the_lines_before_it() {
        let broken = Broken(Cursor::new(b"a\nb"));
        let mut lines = Lines::start(Box::new(broken), "pipe").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().number, 1);
        let failure = lines.next().await.unwrap_err();
        assert_eq!(failure.message(), "cannot read pipe: timed out");
    }
}
