//! Places in a log, as clients name them.

use flotilla_types::{ErrorCode, Offset, Timestamp};

use crate::ApiError;
use crate::v1::{self, offset_spec::Spec};

/// A place in a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// This offset, from the log start to the high watermark.
    Offset(Offset),
    /// The log start.
    Earliest,
    /// The high watermark: the next record that is produced.
    Latest,
    /// The first record that is at least as young; the high watermark if there is none.
    Timestamp(Timestamp),
}

impl From<OffsetSpec> for v1::OffsetSpec {
    fn from(spec: OffsetSpec) -> Self {
        let spec = match spec {
            OffsetSpec::Offset(offset) => Spec::Offset(offset.get()),
            OffsetSpec::Earliest => Spec::Earliest(v1::Earliest {}),
            OffsetSpec::Latest => Spec::Latest(v1::Latest {}),
            OffsetSpec::Timestamp(timestamp) => Spec::TimestampMs(timestamp.as_millis()),
        };
        Self { spec: Some(spec) }
    }
}

impl OffsetSpec {
    /// Reads the field of a request, which must be there.
    pub fn parse(spec: Option<v1::OffsetSpec>) -> Result<Self, ApiError> {
        match spec.and_then(|spec| spec.spec) {
            Some(Spec::Offset(offset)) => Ok(Self::Offset(Offset::new(offset))),
            Some(Spec::Earliest(_)) => Ok(Self::Earliest),
            Some(Spec::Latest(_)) => Ok(Self::Latest),
            Some(Spec::TimestampMs(millis)) => Ok(Self::Timestamp(Timestamp::from_millis(millis))),
            None => Err(ApiError::new(
                ErrorCode::InvalidArgument,
                "the request does not say from where: an offset, earliest, latest or a timestamp",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_read_what_they_write() {
        for spec in [
            OffsetSpec::Offset(Offset::new(7)),
            OffsetSpec::Earliest,
            OffsetSpec::Latest,
            OffsetSpec::Timestamp(Timestamp::from_millis(-1)),
        ] {
            assert_eq!(OffsetSpec::parse(Some(spec.into())), Ok(spec));
        }
    }

    #[test]
    fn a_missing_spec_is_refused() {
        for missing in [None, Some(v1::OffsetSpec { spec: None })] {
            let error = OffsetSpec::parse(missing).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
        }
    }
}
