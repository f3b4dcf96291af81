//! RabbitMQ Streams: an append-only log with three replicas, which never syncs a file.
//!
//! Messages are published in frames of many, as the Java client does, and chunks are delivered for
//! credits. The broker does not look into messages, so they are the bare values here. The reader
//! counts the entries of each chunk, and skips the checksum.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes};
use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::stream_protocol::{
    Connection, Key, Whereabouts, parse_metadata, put_arguments, put_string,
};
use super::{NODE_COUNT, RabbitMq};
use crate::compare::generator::{Reader, Volume, Writer};
use crate::compare::{Peer, Replayable};

/// Of one frame: as many bytes as Flotilla's client puts into a batch.
const FRAME_BYTES: usize = 128 << 10;
const FRAME_RECORDS_MAX: usize = 500;
/// Chunks that may be on their way to the reader.
const CREDIT: u16 = 64;
/// Until a new stream has a leader.
const READY_LIMIT: Duration = Duration::from_secs(30);
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Before the entries of a chunk.
const CHUNK_HEADER_BYTES: usize = 48;

pub(in crate::compare) struct Streams<'a>(pub(in crate::compare) &'a RabbitMq);

impl Streams<'_> {
    async fn connect(&self) -> Result<Connection> {
        Connection::open(self.0.nodes[0].stream_port).await
    }

    async fn find(&self, log: &str) -> Result<Whereabouts> {
        let mut connection = self.connect().await?;
        let asked = connection.call(Key::Metadata, |body| {
            body.put_u32(1);
            put_string(body, log);
        });
        let found = parse_metadata(&asked.await?)?;
        let replicas = found.replica_count + 1;
        ensure!(replicas == NODE_COUNT, "the stream has {replicas} replicas");
        Ok(found)
    }
}

impl Peer for Streams<'_> {
    type Writer = StreamWriter;

    async fn create(&self, log: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        let created = connection.call(Key::Create, |body| {
            put_string(body, log);
            put_arguments(body, &[("initial-cluster-size", &NODE_COUNT.to_string())]);
        });
        created.await?;
        let begun = Instant::now();
        loop {
            match self.find(log).await {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > READY_LIMIT => return Err(error),
                // It has no leader yet.
                Err(_) => sleep(RETRY_INTERVAL).await,
            }
        }
    }

    async fn writer(&self, log: &str) -> Result<StreamWriter> {
        let mut connection = Connection::open(self.find(log).await?.leader_port).await?;
        let declared = connection.call(Key::DeclarePublisher, |body| {
            body.put_u8(PUBLISHER);
            put_string(body, "");
            put_string(body, log);
        });
        declared.await?;
        Ok(StreamWriter {
            connection,
            kept: Vec::with_capacity(FRAME_RECORDS_MAX),
            kept_bytes: 0,
            next: 0,
        })
    }

    async fn delete(&self, log: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        connection
            .call(Key::Delete, |body| put_string(body, log))
            .await?;
        Ok(())
    }

    fn processes(&self) -> Vec<u32> {
        self.0.processes()
    }
}

impl Replayable for Streams<'_> {
    type Reader = StreamReader;

    async fn reader(&self, log: &str) -> Result<StreamReader> {
        const FROM_FIRST: u16 = 1;
        let mut connection = Connection::open(self.find(log).await?.leader_port).await?;
        // The answer comes before the first chunk, but is read together with it.
        connection.put_frame(Key::Subscribe, |body| {
            body.put_u32(1);
            body.put_u8(SUBSCRIPTION);
            put_string(body, log);
            body.put_u16(FROM_FIRST);
            body.put_u16(CREDIT);
            body.put_u32(0);
        });
        Ok(StreamReader { connection })
    }
}

const PUBLISHER: u8 = 1;
const SUBSCRIPTION: u8 = 1;

pub(in crate::compare) struct StreamWriter {
    connection: Connection,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// The number of the first record that is kept.
    next: u64,
}

impl StreamWriter {
    fn publish(&mut self) {
        let Self { kept, next, .. } = self;
        if kept.is_empty() {
            return;
        }
        self.connection.put_frame(Key::Publish, |body| {
            body.put_u8(PUBLISHER);
            body.put_u32(kept.len() as u32);
            for value in kept.drain(..) {
                body.put_u64(*next);
                body.put_u32(value.len() as u32);
                body.put_slice(&value);
                *next += 1;
            }
        });
        self.kept_bytes = 0;
    }
}

impl Writer for StreamWriter {
    async fn send(&mut self, value: &Bytes) -> Result<()> {
        self.kept_bytes += value.len();
        self.kept.push(value.clone());
        if self.kept.len() < FRAME_RECORDS_MAX && self.kept_bytes < FRAME_BYTES {
            return Ok(());
        }
        self.publish();
        self.connection.push()?;
        self.connection.relieve().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.publish();
        self.connection.push()
    }

    async fn acknowledged(&mut self, numbers: &mut Vec<u64>) -> Result<()> {
        while numbers.is_empty() {
            let on_frame = |key, frame: &[u8]| match key {
                _ if key == Key::PublishConfirm as u16 => take_confirmed(frame, numbers),
                _ if key == Key::PublishError as u16 => bail!("a message was refused: {frame:?}"),
                _ => Ok(()),
            };
            self.connection.receive(on_frame).await?;
        }
        Ok(())
    }
}

fn take_confirmed(mut frame: &[u8], numbers: &mut Vec<u64>) -> Result<()> {
    frame.try_get_u8()?;
    let count = frame.try_get_u32()? as usize;
    ensure!(
        frame.len() == 8 * count,
        "a confirmation has another length"
    );
    numbers.extend(frame.chunks_exact(8).map(|mut number| number.get_u64()));
    Ok(())
}

pub(in crate::compare) struct StreamReader {
    connection: Connection,
}

impl Reader for StreamReader {
    async fn read(&mut self) -> Result<Volume> {
        let mut volume = Volume::default();
        while volume.records == 0 {
            let mut chunks = 0;
            let on_frame = |key, frame: &[u8]| {
                if key == Key::Deliver as u16 {
                    chunks += 1;
                    volume += count_entries(frame)?;
                }
                Ok(())
            };
            self.connection.receive(on_frame).await?;
            if chunks > 0 {
                self.connection.put_frame(Key::Credit, |body| {
                    body.put_u8(SUBSCRIPTION);
                    body.put_u16(chunks);
                });
                self.connection.push()?;
            }
        }
        Ok(volume)
    }
}

/// The entries of a delivered chunk, each taken by its length.
fn count_entries(frame: &[u8]) -> Result<Volume> {
    const USER_CHUNK: u8 = 0;
    let chunk = frame.get(1..).context("a delivery has no chunk")?;
    let (header, mut entries) = chunk
        .split_at_checked(CHUNK_HEADER_BYTES)
        .context("a chunk has no header")?;
    if header[1] != USER_CHUNK {
        return Ok(Volume::default());
    }
    let mut volume = Volume::default();
    for _ in 0..u16::from_be_bytes([header[2], header[3]]) {
        let bytes = entries.try_get_u32()?;
        ensure!(
            bytes >> 31 == 0,
            "an entry holds a batch, which nobody wrote"
        );
        let value = entries
            .split_off(..bytes as usize)
            .context("an entry ends early")?;
        volume.records += 1;
        volume.bytes += value.len() as u64;
    }
    Ok(volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_one_by_one() {
        let mut frame = vec![0; 1 + CHUNK_HEADER_BYTES];
        frame[1] = 0x50;
        frame[4] = 2;
        for value in [&b"abc"[..], b""] {
            frame.put_u32(value.len() as u32);
            frame.put_slice(value);
        }
        let volume = Volume {
            records: 2,
            bytes: 3,
        };
        assert_eq!(count_entries(&frame).unwrap(), volume);
        assert!(count_entries(&frame[..frame.len() - 2]).is_err());
        frame[2] = 1;
        assert_eq!(count_entries(&frame).unwrap(), Volume::default());
    }

    #[test]
    fn confirmed_numbers_are_taken() {
        let mut numbers = Vec::new();
        let frame = [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2];
        take_confirmed(&frame, &mut numbers).unwrap();
        assert_eq!(numbers, [258]);
        assert!(take_confirmed(&frame[..9], &mut numbers).is_err());
    }
}
