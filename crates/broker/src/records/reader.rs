//! Reads a partition's replica on this node, answer by answer, as the client takes them.
//!
//! An answer is made when HTTP/2 has room for it. While it is on its way, the next ones are read ahead if
//! the client is far from the end of the log, so that the disk, the network and the client work at the
//! same time. A client that stops reading costs a few answers.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::{ApiError, Pieces, v1};
use flotilla_raft::{Batches, Cursor, Partition};
use flotilla_types::{ErrorCode, Offset, RecordBatch};
use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::fetch_request::FetchOptions;
use crate::errors;
use crate::node::Node;
use crate::router::Located;

/// How long this replica may lack what the leader has.
const LAG_LIMIT: Duration = Duration::from_secs(10);

/// Answers that are read before HTTP/2 has room for them, beside the one that is being read: two, but one
/// if the client asks for large ones.
const READS_AHEAD: usize = 2;
const READS_AHEAD_BYTES: usize = 4 << 20;

/// The part of the log that a fetch begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: Offset,
    /// The high watermark when the call began, as the leader knew it if that matters.
    pub(crate) log_end: Offset,
    /// Start at the log start, wherever it is by then.
    pub(crate) from_log_start: bool,
}

/// Where a fetch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Here, as all before it is there.
    At(Offset),
    /// Where the high watermark is when the first records come, but not behind this offset.
    AfterWait(Option<Offset>),
    /// With this offset, or never.
    Follow(Option<Offset>),
}

pub(crate) struct Reader {
    node: Arc<Node>,
    partition: Partition,
    located: Located,
    position: Offset,
    cursor: Option<Cursor>,
    /// What comes at the position and after it, if that is being read already.
    ahead: Option<Ahead>,
    end: End,
    /// Where the log goes to, whether or not this replica has it already.
    log_end: Offset,
    bytes_max: usize,
    wait: Duration,
    records_left: Option<u64>,
    from_log_start: bool,
    answered: bool,
}

/// Reading that goes on before anybody asks for it.
struct Ahead {
    /// Where what comes next begins.
    position: Offset,
    reads: mpsc::Receiver<Batches>,
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    pub(crate) fn new(
        node: Arc<Node>,
        partition: Partition,
        located: Located,
        options: &FetchOptions,
        span: Span,
    ) -> Self {
        Self {
            node,
            partition,
            located,
            position: span.start,
            cursor: None,
            ahead: None,
            end: end_of(options, span),
            log_end: span.log_end,
            bytes_max: options.bytes_max,
            wait: options.wait,
            records_left: options.records_max,
            from_log_start: span.from_log_start,
            answered: false,
        }
    }

    pub(crate) fn into_stream(
        self,
    ) -> impl Stream<Item = Result<v1::FetchResponse, Status>> + Send {
        futures::stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(answer)) => Some((Ok(answer), Some(reader))),
                Ok(None) => None,
                Err(error) => {
                    reader.node.meters.on_error(error.code);
                    Some((Err(error.into()), None))
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<v1::FetchResponse>, ApiError> {
        if self.answered && self.is_complete() {
            return Ok(None);
        }
        self.node.refuse_when_stopping()?;
        self.require_replica()?;
        if self.partition.high_watermark() <= self.position && !self.is_complete() {
            self.wait_for_records().await?;
        }
        // Found once for all: what is told as the log start is what can be read.
        let log_start = self.node.log_start(&self.partition, self.located.topic);
        let log_start = log_start.await?;
        if self.from_log_start && !self.answered {
            self.position = self.position.max(log_start);
        }
        self.answered = true;
        let start_offset = self.position.get();
        let batches = self.read(log_start).await?;
        Ok(Some(v1::FetchResponse {
            start_offset,
            partition: self.located.index.get(),
            log_start: log_start.get(),
            high_watermark: self.partition.high_watermark().get(),
            next_offset: self.position.get(),
            batches,
        }))
    }

    fn is_complete(&self) -> bool {
        let end = match self.end {
            End::At(end) => Some(end),
            End::AfterWait(end) | End::Follow(end) => end,
        };
        self.records_left == Some(0) || end.is_some_and(|end| self.position >= end)
    }

    /// There is nothing at the position, here or anywhere.
    async fn wait_for_records(&mut self) -> Result<(), ApiError> {
        let lags = self.position < self.log_end;
        match self.end {
            End::At(_) => self.wait_for_replica().await,
            // A first answer that waits would keep the client from learning where it is.
            End::Follow(_) if !self.answered => Ok(()),
            End::Follow(_) => self.wait_readable(self.wait).await.map(drop),
            End::AfterWait(_) if lags => self.wait_for_replica().await,
            End::AfterWait(end) => {
                self.wait_readable(self.wait).await?;
                let high_watermark = self.partition.high_watermark();
                let end = end.map_or(high_watermark, |end| end.min(high_watermark));
                self.end = End::At(end.max(self.position));
                Ok(())
            }
        }
    }

    /// The leader has more than this replica.
    async fn wait_for_replica(&self) -> Result<(), ApiError> {
        if self.wait_readable(LAG_LIMIT).await? {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::LeaderNotAvailable,
            "this replica does not catch up with the leader: go on at another node",
        ))
    }

    /// Waits until there is something at the position. False if there is not within `limit`.
    async fn wait_readable(&self, limit: Duration) -> Result<bool, ApiError> {
        let mut state = self.node.watch_state();
        let deleted = state.wait_for(|state| state.topic(self.located.topic).is_none());
        tokio::select! {
            readable = timeout(limit, self.partition.wait_readable(self.position)) => {
                return Ok(readable.is_ok());
            }
            () = self.node.stop.cancelled() => {}
            _ = deleted => {}
            () = self.partition.wait_stopped() => {}
        }
        self.node.refuse_when_stopping()?;
        self.require_replica()?;
        Ok(false)
    }

    /// Fails once the topic is deleted, or this node's replica is out of use or lives elsewhere.
    fn require_replica(&self) -> Result<(), ApiError> {
        self.node.require_existing(&self.located)?;
        if self.node.raft.is_parked(self.located.group) {
            return Err(errors::replica_damaged());
        }
        if !self.node.raft.has_opened(self.located.group) {
            return Err(errors::replica_moved());
        }
        Ok(())
    }

    async fn read(&mut self, log_start: Offset) -> Result<Pieces, ApiError> {
        if self.partition.high_watermark() <= self.position || self.is_complete() {
            return Ok(Pieces::new());
        }
        let mut read = match self.take_ahead(log_start).await {
            Some(read) => read,
            None => {
                let (position, cursor) = (self.position, self.cursor);
                let read = self
                    .partition
                    .read(position, cursor, self.bytes_max, log_start);
                read.await.map_err(errors::from_read)?
            }
        };
        if let Some(limit) = self.limit() {
            cut(&mut read, limit)?;
        }
        let record_count = read.next_offset.distance_from(self.position);
        self.records_left = self
            .records_left
            .map(|left| left.saturating_sub(record_count));
        self.position = read.next_offset;
        self.cursor = read.cursor;
        let batches: Pieces = read.batches.into_iter().collect();
        self.node.meters.on_fetched(record_count, batches.len());
        if self.ahead.is_none() && batches.len() >= self.bytes_max / 2 {
            self.read_ahead(log_start);
        }
        Ok(batches)
    }

    /// Begins to read what comes next, up to what is the end now. It ends early when a read fails: then
    /// it is done again when its turn comes, so that the failure is one of that time.
    fn read_ahead(&mut self, log_start: Offset) {
        let high_watermark = self.partition.high_watermark();
        let end = self.limit().unwrap_or(high_watermark).min(high_watermark);
        if end <= self.position {
            return;
        }
        let (partition, bytes_max) = (self.partition.clone(), self.bytes_max);
        let (mut position, mut cursor) = (self.position, self.cursor);
        let (output, reads) =
            mpsc::channel((READS_AHEAD_BYTES / bytes_max.max(1)).clamp(1, READS_AHEAD));
        let task = async move {
            while position < end
                && let Ok(read) = partition.read(position, cursor, bytes_max, log_start).await
            {
                (position, cursor) = (read.next_offset, read.cursor);
                if output.send(read).await.is_err() {
                    return;
                }
            }
        };
        self.ahead = Some(Ahead {
            position: self.position,
            reads,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        });
    }

    /// What was read ahead, if it is what is wanted now.
    async fn take_ahead(&mut self, log_start: Offset) -> Option<Batches> {
        let ahead = self.ahead.as_mut()?;
        let is_wanted = ahead.position == self.position && self.position >= log_start;
        let read = if is_wanted {
            ahead.reads.recv().await
        } else {
            None
        };
        match &read {
            Some(read) => ahead.position = read.next_offset,
            None => self.ahead = None,
        }
        read
    }

    /// No batch that begins here or behind it is wanted.
    fn limit(&self) -> Option<Offset> {
        let end = match self.end {
            End::At(end) => Some(end),
            End::AfterWait(end) | End::Follow(end) => end,
        };
        let by_count = self
            .records_left
            .map(|left| Offset::new(self.position.get().saturating_add(left)));
        match (end, by_count) {
            (Some(end), Some(by_count)) => Some(end.min(by_count)),
            (end, by_count) => end.or(by_count),
        }
    }
}

fn end_of(options: &FetchOptions, span: Span) -> End {
    if options.follow {
        return End::Follow(options.end_offset);
    }
    let nothing_there = span.start >= span.log_end;
    if nothing_there && !options.wait.is_zero() {
        return End::AfterWait(options.end_offset);
    }
    let end = options.end_offset.unwrap_or(span.log_end);
    End::At(end.min(span.log_end))
}

/// Drops the batches that begin at `limit` or behind it.
fn cut(read: &mut Batches, limit: Offset) -> Result<(), ApiError> {
    if read.next_offset <= limit {
        return Ok(());
    }
    for (position, bytes) in read.batches.iter().enumerate() {
        let batch = RecordBatch::parse_trusted(bytes.clone())?;
        if batch.end_offset() >= limit {
            read.next_offset = batch.end_offset();
            read.batches.truncate(position + 1);
            // It points behind what was dropped.
            read.cursor = None;
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;
