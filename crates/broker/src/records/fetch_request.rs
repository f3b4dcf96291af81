//! A fetch request whose fields were read.

use std::time::Duration;

use flotilla_protocol::{ApiError, OffsetSpec, v1};
use flotilla_types::limits::{FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX};
use flotilla_types::{ErrorCode, Offset, PartitionIndex, TopicId, TopicName};

/// The longest silence of a stream that follows the log, unless the request says otherwise.
const FOLLOW_SILENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) struct FetchOptions {
    pub(crate) name: TopicName,
    /// Any topic of this name if there is none.
    pub(crate) topic: Option<TopicId>,
    pub(crate) index: PartitionIndex,
    pub(crate) start: OffsetSpec,
    pub(crate) bytes_max: usize,
    /// How long to wait for records.
    pub(crate) wait: Duration,
    pub(crate) follow: bool,
    pub(crate) end_offset: Option<Offset>,
    pub(crate) records_max: Option<u64>,
    pub(crate) no_forward: bool,
}

impl FetchOptions {
    pub(crate) fn read(request: &v1::FetchRequest) -> Result<Self, ApiError> {
        let bytes_max = match request.max_bytes as usize {
            0 => FETCH_BYTES_DEFAULT,
            bytes if bytes <= FETCH_BYTES_MAX => bytes,
            bytes => {
                return Err(invalid(format!(
                    "max_bytes of {bytes} is too large: it is at most {FETCH_BYTES_MAX}"
                )));
            }
        };
        let wait = match request.max_wait_ms {
            0 if request.follow => FOLLOW_SILENCE,
            millis if millis <= FETCH_WAIT_MS_MAX => Duration::from_millis(millis.into()),
            millis => {
                return Err(invalid(format!(
                    "max_wait_ms of {millis} is too long: it is at most {FETCH_WAIT_MS_MAX}"
                )));
            }
        };
        Ok(Self {
            name: TopicName::parse(&request.topic)?,
            topic: request.topic_id.map(TopicId::new),
            index: PartitionIndex::new(request.partition),
            start: OffsetSpec::parse(request.start)?,
            bytes_max,
            wait,
            follow: request.follow,
            end_offset: request.end_offset.map(Offset::new),
            records_max: request.max_records,
            no_forward: request.no_forward,
        })
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::FetchRequest {
        v1::FetchRequest {
            topic: "orders".to_owned(),
            start: Some(OffsetSpec::Earliest.into()),
            ..v1::FetchRequest::default()
        }
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let options = FetchOptions::read(&request()).unwrap();
        assert_eq!(options.bytes_max, FETCH_BYTES_DEFAULT);
        assert_eq!(options.wait, Duration::ZERO);
        let following = v1::FetchRequest {
            follow: true,
            ..request()
        };
        let options = FetchOptions::read(&following).unwrap();
        assert_eq!(options.wait, FOLLOW_SILENCE);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let refused = [
            v1::FetchRequest {
                max_bytes: FETCH_BYTES_MAX as u32 + 1,
                ..request()
            },
            v1::FetchRequest {
                max_wait_ms: FETCH_WAIT_MS_MAX + 1,
                ..request()
            },
            v1::FetchRequest {
                start: None,
                ..request()
            },
        ];
        for request in refused {
            let error = FetchOptions::read(&request).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
        }
    }
}
