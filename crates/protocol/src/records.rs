//! Plain records and batch errors, between the proto and ours.

use flotilla_types::{BatchError, ErrorChain, Header};

use crate::{ApiError, v1};

impl From<v1::Header> for Header {
    fn from(header: v1::Header) -> Self {
        Self {
            key: header.key,
            value: header.value,
        }
    }
}

impl From<Header> for v1::Header {
    fn from(header: Header) -> Self {
        Self {
            key: header.key,
            value: header.value,
        }
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        Self::new(error.code(), ErrorChain(&error).to_string())
    }
}
