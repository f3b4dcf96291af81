//! The gRPC API as Rust: code generated from `/proto` and the conversions at its edge.
//!
//! `v1` is the public API, `internal::v1` the links between nodes. Generated messages go no further
//! than the code that sends or receives them: everything else speaks in `flotilla_types`.
//! [`ApiError`] is the one way in which a failure crosses the network.
//!
//! This crate opens no connection and serves nothing. It is the only one that knows prost.

mod api_error;
mod bulk;
mod caller;
mod codec;
mod fetch_stream;
mod hello;
mod offset_spec;
mod pieces;
mod records;
pub mod topics;

pub use api_error::{ApiError, ErrorFacts, LeaderHint, OffsetRange};
pub use fetch_stream::{
    FETCH_PATH, FetchAnswers, fetch_request, fetch_response, read_fetch_request,
};
pub use offset_spec::OffsetSpec;
pub use pieces::{Pieces, PiecesWriter};

/// The public API.
#[allow(
    clippy::all,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    missing_docs,
    reason = "generated code"
)]
pub mod v1 {
    pub use crate::bulk::FetchResponse;

    tonic::include_proto!("flotilla.v1");

    /// Every file of the public API with its comments' subjects, for the reflection service.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/flotilla_v1_descriptors.bin"));
}

/// The API between the nodes of one cluster.
pub mod internal {
    pub use crate::hello::Hello;

    #[allow(
        clippy::all,
        clippy::too_many_lines,
        clippy::allow_attributes_without_reason,
        unreachable_pub,
        missing_docs,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("flotilla.internal.v1");
    }
}
