//! One look into a partition's log, without a consumer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf, Bytes};
use flotilla_protocol::{ApiError, FetchAnswers, OffsetSpec, Pieces, fetch_request, v1};
use flotilla_types::{BatchError, Offset, PartitionIndex, Record, RecordBatch, TopicName, limits};
use tokio::time::Instant;
use tonic::codegen::Service;
use tonic::{Response, Status};

use crate::client::{Core, Repeat};
use crate::{ClientError, ConsumerRecord, NodeChannel, deadline};

/// A node is asked to wait at most this long at a time, so that another one can be asked if it fails.
const WAIT_AT_A_TIME: Duration = Duration::from_secs(1);

/// What to read of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    pub topic: TopicName,
    pub partition: PartitionIndex,
    pub start: OffsetSpec,
    /// Most records that are returned. At least 1; default 1,000.
    pub records_max: usize,
    /// Keys, values and headers that are returned, in bytes; one record comes however large it is.
    /// 1 to 8,388,608; default 1 MiB.
    pub bytes_max: usize,
    /// How long to wait for the first record when there is none. Default: not at all.
    pub wait: Duration,
}

/// What was there to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedRecords {
    pub records: Vec<ConsumerRecord>,
    /// The offset that the start stands for.
    pub start: Offset,
    /// Where to go on.
    pub next: Offset,
    /// The first offset that can be read.
    pub log_start: Offset,
    /// All offsets below it can be read.
    pub high_watermark: Offset,
}

impl FetchOptions {
    /// The defaults, from this place on.
    pub fn new(topic: TopicName, partition: PartitionIndex, start: OffsetSpec) -> Self {
        Self {
            topic,
            partition,
            start,
            records_max: 1_000,
            bytes_max: limits::FETCH_BYTES_DEFAULT,
            wait: Duration::ZERO,
        }
    }

    fn validate(&self) -> Result<(), ClientError> {
        if self.records_max == 0 {
            return Err(ClientError::invalid("records_max must be at least 1"));
        }
        if !(1..=limits::FETCH_BYTES_MAX).contains(&self.bytes_max) {
            return Err(ClientError::invalid("bytes_max must be 1 to 8388608"));
        }
        Ok(())
    }

    fn request(&self, wait: Duration) -> v1::FetchRequest {
        v1::FetchRequest {
            topic: self.topic.to_string(),
            partition: self.partition.get(),
            start: Some(self.start.into()),
            max_bytes: self.bytes_max as u32,
            max_wait_ms: wait.as_millis() as u32,
            max_records: Some(self.records_max as u64),
            ..v1::FetchRequest::default()
        }
    }
}

pub(crate) async fn fetch(
    core: &Core,
    mut options: FetchOptions,
) -> Result<FetchedRecords, ClientError> {
    options.validate()?;
    let waits_until = deadline::after(Instant::now(), options.wait);
    loop {
        let left = waits_until.saturating_duration_since(Instant::now());
        let fetched = look(core, &options, left.min(WAIT_AT_A_TIME)).await?;
        if !fetched.records.is_empty() || left.is_zero() {
            return Ok(fetched);
        }
        // What the start stood for when the call began.
        options.start = OffsetSpec::Offset(fetched.next);
    }
}

async fn look(
    core: &Core,
    options: &FetchOptions,
    wait: Duration,
) -> Result<FetchedRecords, ClientError> {
    let send = |channel, _| async move {
        let answers = open(channel, &options.request(wait)).await?;
        let fetched = read_answers(options, answers).await?;
        Ok(Response::new(fetched))
    };
    core.call(Repeat::Always, send).await
}

/// Begins a stream of answers.
pub(crate) async fn open(
    mut channel: NodeChannel,
    request: &v1::FetchRequest,
) -> Result<FetchAnswers, Status> {
    let failed = |error: tonic::transport::Error| Status::from_error(error.into());
    let ready = poll_fn(|context| channel.poll_ready(context)).await;
    ready.map_err(failed)?;
    let response = channel.call(fetch_request(request)).await.map_err(failed)?;
    FetchAnswers::open(response, limits::GRPC_MESSAGE_BYTES_MAX)
}

/// The batches of an answer. A batch is copied only if it came in several pieces.
pub(crate) fn read_batches(mut pieces: Pieces) -> Result<VecDeque<RecordBatch>, BatchError> {
    let mut batches = VecDeque::new();
    while !pieces.is_empty() {
        let batch_bytes = match pieces.peek() {
            Some(head) => RecordBatch::declared_bytes(&head)?.min(pieces.len()),
            // Too few for a batch, which is for the parser to say.
            None => pieces.len(),
        };
        batches.push_back(RecordBatch::parse(pieces.copy_to_bytes(batch_bytes))?);
    }
    Ok(batches)
}

/// Reads until the stream ends or there is as much as was asked for.
async fn read_answers(
    options: &FetchOptions,
    mut answers: FetchAnswers,
) -> Result<FetchedRecords, Status> {
    let mut fetched: Option<FetchedRecords> = None;
    let mut room = options.bytes_max;
    'answers: while let Some(answer) = answers.message().await? {
        let fetched = fetched.get_or_insert_with(|| FetchedRecords {
            records: Vec::new(),
            start: Offset::new(answer.start_offset),
            next: Offset::new(answer.start_offset),
            log_start: Offset::new(answer.log_start),
            high_watermark: Offset::new(answer.high_watermark),
        });
        fetched.high_watermark = Offset::new(answer.high_watermark);
        let answer_end = Offset::new(answer.next_offset);
        for batch in read_batches(answer.batches).map_err(unsound)? {
            for record in batch.records().map_err(unsound)? {
                if record.offset < fetched.next {
                    continue;
                }
                let bytes = payload_bytes(&record);
                let is_full = fetched.records.len() == options.records_max || bytes > room;
                if is_full && !fetched.records.is_empty() {
                    break 'answers;
                }
                room = room.saturating_sub(bytes);
                fetched.next = record.offset.advance(1);
                let (topic, partition) = (options.topic.clone(), options.partition);
                let record = ConsumerRecord::new(topic, partition, record);
                fetched.records.push(record);
            }
        }
        fetched.next = fetched.next.max(answer_end);
    }
    fetched.ok_or_else(|| Status::internal("the node's answer lacks the place of its start"))
}

fn payload_bytes(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|header| header.key.len() + length(&header.value))
        .sum();
    length(&record.key) + length(&record.value) + headers
}

fn unsound(error: BatchError) -> Status {
    ApiError::from(error).into()
}
