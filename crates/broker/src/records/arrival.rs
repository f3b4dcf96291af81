//! One produce request on its way, with the room that it takes up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_protocol::v1::produce_request::Payload;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::limits::{PRODUCE_TIMEOUT_MS_DEFAULT, PRODUCE_TIMEOUT_MS_MAX};
use flotilla_types::{ErrorCode, PartitionIndex, TopicName};
use metrics::Gauge;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::payload;

/// A request that waits for its outcome.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) correlation_id: u64,
    pub(crate) payload: Payload,
    pub(crate) no_forward: bool,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// Why the last attempt came to nothing, if there was one.
    pub(crate) last_error: Option<ApiError>,
    /// Given back, as all below, when the arrival is dropped, which is when its answer is on its way.
    pub(crate) room: Option<Room>,
    /// One of the requests that its stream may have in flight.
    pub(crate) _slot: OwnedSemaphorePermit,
    /// Tells that its lane is not idle.
    pub(crate) _lane: Arc<()>,
}

impl Arrival {
    /// Makes its lane answer with `error` when its turn comes: answers keep the order of requests.
    pub(crate) fn give_up(&mut self, error: ApiError) {
        self.payload = Payload::Batch(Bytes::new());
        self.deadline = self.started;
        self.last_error = Some(error);
    }
}

/// Bytes of the node's memory for produce requests.
#[derive(Debug)]
pub(crate) struct Room {
    permit: OwnedSemaphorePermit,
    gauge: Gauge,
}

impl Room {
    pub(crate) fn new(permit: OwnedSemaphorePermit, gauge: Gauge) -> Self {
        gauge.increment(permit.num_permits() as f64);
        Self { permit, gauge }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.gauge.decrement(self.permit.num_permits() as f64);
    }
}

/// A request whose fields were read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) name: TopicName,
    pub(crate) partition: Option<PartitionIndex>,
    pub(crate) payload: Payload,
    pub(crate) timeout: Duration,
    pub(crate) no_forward: bool,
}

impl Parsed {
    pub(crate) fn read(request: v1::ProduceRequest) -> Result<Self, ApiError> {
        let name = TopicName::parse(&request.topic)?;
        let timeout_ms = match request.timeout_ms {
            0 => PRODUCE_TIMEOUT_MS_DEFAULT,
            millis if millis <= PRODUCE_TIMEOUT_MS_MAX => millis,
            millis => {
                let message = format!(
                    "a timeout of {millis} ms is too long: it is at most {PRODUCE_TIMEOUT_MS_MAX}"
                );
                return Err(ApiError::new(ErrorCode::InvalidArgument, message));
            }
        };
        let payload = request.payload.ok_or_else(|| {
            let message = "a produce request needs records or a batch";
            ApiError::new(ErrorCode::InvalidArgument, message)
        })?;
        payload::refuse_senseless(&payload)?;
        Ok(Self {
            name,
            partition: request.partition.map(PartitionIndex::new),
            payload,
            timeout: Duration::from_millis(timeout_ms.into()),
            no_forward: request.no_forward,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::ProduceRequest {
        v1::ProduceRequest {
            topic: "orders".to_owned(),
            payload: Some(Payload::Batch(Bytes::new())),
            ..v1::ProduceRequest::default()
        }
    }

    fn code(request: v1::ProduceRequest) -> Option<ErrorCode> {
        Parsed::read(request).err().map(|error| error.code)
    }

    #[test]
    fn a_request_without_timeout_has_the_default() {
        let parsed = Parsed::read(request()).unwrap();
        let default = Duration::from_millis(PRODUCE_TIMEOUT_MS_DEFAULT.into());
        assert_eq!(parsed.timeout, default);
        assert_eq!(parsed.partition, None);
    }

    #[test]
    fn names_timeouts_and_payloads_out_of_range_have_their_codes() {
        for name in ["", "..", "a/b", "../etc"] {
            let request = v1::ProduceRequest {
                topic: name.to_owned(),
                ..request()
            };
            assert_eq!(code(request), Some(ErrorCode::InvalidTopicName));
        }
        let longest = v1::ProduceRequest {
            timeout_ms: PRODUCE_TIMEOUT_MS_MAX,
            ..request()
        };
        assert_eq!(code(longest.clone()), None);
        let too_long = v1::ProduceRequest {
            timeout_ms: PRODUCE_TIMEOUT_MS_MAX + 1,
            ..longest
        };
        assert_eq!(code(too_long), Some(ErrorCode::InvalidArgument));
        let empty = v1::ProduceRequest {
            payload: None,
            ..request()
        };
        assert_eq!(code(empty), Some(ErrorCode::InvalidArgument));
    }
}
