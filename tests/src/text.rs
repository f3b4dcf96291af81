//! The text protocol from the side of a peer: lines and payloads over TCP.

use std::io;
use std::time::Duration;

use flotilla_client::ClientTls;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::stream::{Stream, connect};

/// Whoever has no answer by then gets none.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// A connection whose two directions can be used at the same time.
pub struct TextConnection {
    pub reader: TextReader,
    pub writer: TextWriter,
}

pub struct TextReader(BufReader<ReadHalf<Stream>>);

pub struct TextWriter(WriteHalf<Stream>);

/// `PUB` with its payload and no line end behind it.
pub fn publication(target: &str, payload: &[u8]) -> Vec<u8> {
    publication_with(target, payload, "")
}

/// The same with more words in its line, such as ` id=7`.
pub fn publication_with(target: &str, payload: &[u8], words: &str) -> Vec<u8> {
    let line = format!("PUB {target} {}{words}\r\n", payload.len());
    [line.as_bytes(), payload].concat()
}

impl TextConnection {
    pub async fn open(address: &str) -> io::Result<Self> {
        Self::open_with(address, None).await
    }

    /// As [`open`](Self::open), encrypted if there is something to do it with.
    pub async fn open_with(address: &str, tls: Option<&ClientTls>) -> io::Result<Self> {
        let (reader, writer) = tokio::io::split(connect(address, tls).await?);
        Ok(Self {
            reader: TextReader(BufReader::new(reader)),
            writer: TextWriter(writer),
        })
    }

    /// Sends something and reads one line.
    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<String> {
        self.writer.write(bytes).await?;
        self.reader.line().await
    }
}

impl TextWriter {
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(self.0.write_all(bytes.as_ref())).await
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) -> io::Result<()> {
        within(self.0.shutdown()).await
    }
}

impl TextReader {
    /// The next line, without its CRLF.
    pub async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if within(self.0.read_line(&mut line)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, line)),
        }
    }

    /// The next `MSG` and its payload.
    pub async fn record(&mut self) -> io::Result<(u64, Vec<u8>)> {
        let line = self.line().await?;
        let words: Vec<_> = line.split(' ').collect();
        let ["MSG", offset, size] = words[..] else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, line));
        };
        let read = |word: &str| {
            let number = word.parse::<u64>();
            number.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, word.to_owned()))
        };
        let mut payload = vec![0; read(size)? as usize];
        within(self.0.read_exact(&mut payload)).await?;
        Ok((read(offset)?, payload))
    }

    /// Waits until the node has closed the connection, and returns what it said before.
    pub async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        within(self.0.read_to_string(&mut rest)).await?;
        Ok(rest)
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(ANSWER_LIMIT, work).await;
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
