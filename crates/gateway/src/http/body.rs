//! Request bodies: read whole, within a size, a time, and the memory that all of them share.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use flotilla_client::ErrorCode;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::problem::{Problem, ProblemCode};

/// How much of the shared memory a body takes at a time.
const STEP: usize = 64 << 10;

/// Reads the bodies of all requests.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    limit: Duration,
    room: Arc<Semaphore>,
}

/// A body, with its share of the memory.
#[derive(Debug)]
pub(crate) struct ReadBody {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Bodies {
    /// A body may take this long to arrive, and all together this many bytes.
    pub(crate) fn new(limit: Duration, bytes_max: usize) -> Self {
        Self {
            limit,
            room: Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Reads a body of at most `max` bytes. The reason for the limit is part of the refusal.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        (max, reason): (usize, &str),
    ) -> Result<ReadBody, Problem> {
        let declared = declared_length(headers);
        if let Some(length) = declared.filter(|length| *length > max) {
            return Err(too_large(format!("{length} bytes: {reason}")));
        }
        let reading = self.collect(
            body.into_data_stream(),
            declared.unwrap_or(0),
            (max, reason),
        );
        match timeout(self.limit, reading).await {
            Ok(read) => read,
            Err(_) => Err(Problem::new(
                ProblemCode::BodyTimeout,
                format!("it takes longer than {} ms", self.limit.as_millis()),
            )),
        }
    }

    async fn collect(
        &self,
        chunks: BodyDataStream,
        declared: usize,
        (max, reason): (usize, &str),
    ) -> Result<ReadBody, Problem> {
        let mut chunks = pin!(chunks);
        let mut room = self.reserve(declared.max(1))?;
        let mut read = BytesMut::new();
        let mut first = None;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Problem::invalid("the request body was cut off"))?;
            let length = first.as_ref().map_or(read.len(), Bytes::len) + chunk.len();
            if length > max {
                return Err(too_large(format!("more than {max} bytes: {reason}")));
            }
            if length > room.num_permits() {
                room.merge(self.reserve((length - room.num_permits()).max(STEP))?);
            }
            // Most bodies come in one piece, and stay where they are.
            match first.take() {
                None if read.is_empty() => first = Some(chunk),
                before => {
                    if let Some(before) = before {
                        read.reserve(declared.max(before.len() + chunk.len()));
                        read.extend_from_slice(&before);
                    }
                    read.extend_from_slice(&chunk);
                }
            }
        }
        Ok(ReadBody {
            bytes: first.unwrap_or_else(|| read.freeze()),
            _room: room,
        })
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        room.map_err(|_| {
            let detail = "the node reads as many request bodies as it has memory for";
            Problem::of_code(ErrorCode::Overloaded, detail.to_owned())
        })
    }
}

/// How long the body is, if its sender says so.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn too_large(detail: String) -> Problem {
    Problem::new(ProblemCode::BodyTooLarge, detail)
}
