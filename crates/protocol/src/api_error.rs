//! A failure on its way between a node and a client.
//!
//! [`ApiError`] travels in two ways that say the same: as a gRPC status with an encoded
//! `ErrorDetail`, or as an `ErrorDetail` inside an answer. A status without details was made by no
//! handler of ours: the transport failed, and the outcome of the call is unknown.

use bytes::Bytes;
use flotilla_types::{ErrorCode, LeaderEpoch, NodeId, Offset};
use prost::Message;
use tonic::{Code, Status};

use crate::v1;

/// Why a request was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub code: ErrorCode,
    /// For people. Nothing may depend on its wording.
    pub message: String,
    pub facts: ErrorFacts,
}

/// What a client needs to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ErrorFacts {
    #[default]
    None,
    /// With `NotLeader`.
    Leader(LeaderHint),
    /// With `OffsetOutOfRange`.
    Offsets(OffsetRange),
}

/// Who leads a partition, as far as the answering node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    pub node: NodeId,
    /// Address of the node's public API, `host:port`.
    pub client_address: String,
    /// Of two hints the one with the higher epoch is newer.
    pub leader_epoch: LeaderEpoch,
}

/// The offsets that can be read: from `log_start` (inclusive) to `high_watermark` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    pub log_start: Offset,
    pub high_watermark: Offset,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            facts: ErrorFacts::None,
        }
    }

    #[must_use]
    pub fn with_leader(mut self, leader: LeaderHint) -> Self {
        self.facts = ErrorFacts::Leader(leader);
        self
    }

    #[must_use]
    pub fn with_offsets(mut self, offsets: OffsetRange) -> Self {
        self.facts = ErrorFacts::Offsets(offsets);
        self
    }

    /// Who leads, if the error says so.
    pub fn leader(&self) -> Option<&LeaderHint> {
        match &self.facts {
            ErrorFacts::Leader(leader) => Some(leader),
            ErrorFacts::None | ErrorFacts::Offsets(_) => None,
        }
    }

    /// What can be read, if the error says so.
    pub fn offsets(&self) -> Option<OffsetRange> {
        match &self.facts {
            ErrorFacts::Offsets(offsets) => Some(*offsets),
            ErrorFacts::None | ErrorFacts::Leader(_) => None,
        }
    }

    /// Reads what a call ended with.
    pub fn from_status(status: &Status) -> Self {
        if status.details().is_empty() {
            return Self::from_bare_status(status);
        }
        match v1::ErrorDetail::decode(status.details()) {
            Ok(detail) => detail.into(),
            Err(_) => Self::from_bare_status(status),
        }
    }

    /// With another code of gRPC than this error usually has.
    pub fn into_status(self, code: Code) -> Status {
        let message = self.message.clone();
        let detail = v1::ErrorDetail::from(self).encode_to_vec();
        Status::with_details(code, message, Bytes::from(detail))
    }

    /// A status that no handler of ours made. Only the codes with which a request is turned away
    /// before a handler sees it say that nothing happened.
    fn from_bare_status(status: &Status) -> Self {
        let code = match status.code() {
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => {
                ErrorCode::InvalidArgument
            }
            Code::DeadlineExceeded => ErrorCode::Timeout,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => ErrorCode::ResultUnknown,
        };
        Self::new(code, status.message())
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let (_, code) = on_the_wire(error.code);
        error.into_status(code)
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        Self::from_status(&status)
    }
}

impl From<ApiError> for v1::ErrorDetail {
    fn from(error: ApiError) -> Self {
        let (code, _) = on_the_wire(error.code);
        let (leader, offsets) = match error.facts {
            ErrorFacts::None => (None, None),
            ErrorFacts::Leader(leader) => (Some(leader.into()), None),
            ErrorFacts::Offsets(offsets) => (None, Some(offsets.into())),
        };
        Self {
            code: code.into(),
            message: error.message,
            definite: error.code.is_definite(),
            retryable: error.code.is_retryable(),
            leader,
            offsets,
        }
    }
}

impl From<v1::ErrorDetail> for ApiError {
    fn from(detail: v1::ErrorDetail) -> Self {
        let code = read_code(&detail);
        let facts = match (detail.leader, detail.offsets) {
            (Some(leader), _) => ErrorFacts::Leader(leader.into()),
            (None, Some(offsets)) => ErrorFacts::Offsets(offsets.into()),
            (None, None) => ErrorFacts::None,
        };
        Self {
            code,
            message: detail.message,
            facts,
        }
    }
}

/// A code of a newer node is read as one that promises no more than its two flags do.
fn read_code(detail: &v1::ErrorDetail) -> ErrorCode {
    let known = ErrorCode::ALL
        .iter()
        .copied()
        .find(|code| i32::from(on_the_wire(*code).0) == detail.code);
    known.unwrap_or(match (detail.definite, detail.retryable) {
        (true, true) => ErrorCode::Overloaded,
        (true, false) => ErrorCode::InvalidArgument,
        (false, true) => ErrorCode::ResultUnknown,
        (false, false) => ErrorCode::Internal,
    })
}

impl From<LeaderHint> for v1::LeaderHint {
    fn from(leader: LeaderHint) -> Self {
        Self {
            node_id: leader.node.get(),
            client_address: leader.client_address,
            leader_epoch: leader.leader_epoch.get(),
        }
    }
}

impl From<v1::LeaderHint> for LeaderHint {
    fn from(leader: v1::LeaderHint) -> Self {
        Self {
            node: NodeId::new(leader.node_id),
            client_address: leader.client_address,
            leader_epoch: LeaderEpoch::new(leader.leader_epoch),
        }
    }
}

impl From<OffsetRange> for v1::OffsetRange {
    fn from(range: OffsetRange) -> Self {
        Self {
            log_start: range.log_start.get(),
            high_watermark: range.high_watermark.get(),
        }
    }
}

impl From<v1::OffsetRange> for OffsetRange {
    fn from(range: v1::OffsetRange) -> Self {
        Self {
            log_start: Offset::new(range.log_start),
            high_watermark: Offset::new(range.high_watermark),
        }
    }
}

/// The code in the proto, and the gRPC status of a call that ends with it.
fn on_the_wire(code: ErrorCode) -> (v1::ErrorCode, Code) {
    match code {
        ErrorCode::BatchMalformed => (v1::ErrorCode::BatchMalformed, Code::InvalidArgument),
        ErrorCode::BatchTooLarge => (v1::ErrorCode::BatchTooLarge, Code::InvalidArgument),
        ErrorCode::ChecksumMismatch => (v1::ErrorCode::ChecksumMismatch, Code::InvalidArgument),
        ErrorCode::ClusterMismatch => (v1::ErrorCode::ClusterMismatch, Code::FailedPrecondition),
        ErrorCode::ConfigInvalid => (v1::ErrorCode::ConfigInvalid, Code::InvalidArgument),
        ErrorCode::CoordinatorFull => (v1::ErrorCode::CoordinatorFull, Code::ResourceExhausted),
        ErrorCode::CorruptData => (v1::ErrorCode::CorruptData, Code::DataLoss),
        ErrorCode::DiskFull => (v1::ErrorCode::DiskFull, Code::ResourceExhausted),
        ErrorCode::GroupFull => (v1::ErrorCode::GroupFull, Code::ResourceExhausted),
        ErrorCode::GroupNotEmpty => (v1::ErrorCode::GroupNotEmpty, Code::FailedPrecondition),
        ErrorCode::IdentityUnavailable => (v1::ErrorCode::IdentityUnavailable, Code::Unavailable),
        ErrorCode::Internal => (v1::ErrorCode::Internal, Code::Internal),
        ErrorCode::InvalidArgument => (v1::ErrorCode::InvalidArgument, Code::InvalidArgument),
        ErrorCode::InvalidGroupId => (v1::ErrorCode::InvalidGroupId, Code::InvalidArgument),
        ErrorCode::InvalidJobName => (v1::ErrorCode::InvalidJobName, Code::InvalidArgument),
        ErrorCode::InvalidTopicName => (v1::ErrorCode::InvalidTopicName, Code::InvalidArgument),
        ErrorCode::JobHeld => (v1::ErrorCode::JobHeld, Code::FailedPrecondition),
        ErrorCode::KeyExists => (v1::ErrorCode::KeyExists, Code::AlreadyExists),
        ErrorCode::LeaderNotAvailable => (v1::ErrorCode::LeaderNotAvailable, Code::Unavailable),
        ErrorCode::NotEnoughNodes => (v1::ErrorCode::NotEnoughNodes, Code::FailedPrecondition),
        ErrorCode::NotLeader => (v1::ErrorCode::NotLeader, Code::FailedPrecondition),
        ErrorCode::OffsetOutOfRange => (v1::ErrorCode::OffsetOutOfRange, Code::OutOfRange),
        ErrorCode::OutOfOrderSequence => {
            (v1::ErrorCode::OutOfOrderSequence, Code::FailedPrecondition)
        }
        ErrorCode::Overloaded => (v1::ErrorCode::Overloaded, Code::ResourceExhausted),
        ErrorCode::PermissionDenied => (v1::ErrorCode::PermissionDenied, Code::PermissionDenied),
        ErrorCode::ProducerFenced => (v1::ErrorCode::ProducerFenced, Code::FailedPrecondition),
        ErrorCode::RecordInvalid => (v1::ErrorCode::RecordInvalid, Code::InvalidArgument),
        ErrorCode::ResultUnknown => (v1::ErrorCode::ResultUnknown, Code::Unknown),
        ErrorCode::SchemaIncompatible => {
            (v1::ErrorCode::SchemaIncompatible, Code::FailedPrecondition)
        }
        ErrorCode::SchemaInvalid => (v1::ErrorCode::SchemaInvalid, Code::InvalidArgument),
        ErrorCode::SchemaRequired => (v1::ErrorCode::SchemaRequired, Code::FailedPrecondition),
        ErrorCode::ShuttingDown => (v1::ErrorCode::ShuttingDown, Code::Unavailable),
        ErrorCode::StaleGeneration => (v1::ErrorCode::StaleGeneration, Code::FailedPrecondition),
        ErrorCode::StaleToken => (v1::ErrorCode::StaleToken, Code::FailedPrecondition),
        ErrorCode::Timeout => (v1::ErrorCode::Timeout, Code::DeadlineExceeded),
        ErrorCode::TopicExists => (v1::ErrorCode::TopicExists, Code::AlreadyExists),
        ErrorCode::TopicProtected => (v1::ErrorCode::TopicProtected, Code::FailedPrecondition),
        ErrorCode::Unauthenticated => (v1::ErrorCode::Unauthenticated, Code::Unauthenticated),
        ErrorCode::UnknownCodec => (v1::ErrorCode::UnknownCodec, Code::InvalidArgument),
        ErrorCode::UnknownGroup => (v1::ErrorCode::UnknownGroup, Code::NotFound),
        ErrorCode::UnknownKey => (v1::ErrorCode::UnknownKey, Code::NotFound),
        ErrorCode::UnknownMember => (v1::ErrorCode::UnknownMember, Code::NotFound),
        ErrorCode::UnknownNode => (v1::ErrorCode::UnknownNode, Code::NotFound),
        ErrorCode::UnknownPartition => (v1::ErrorCode::UnknownPartition, Code::NotFound),
        ErrorCode::UnknownProducer => (v1::ErrorCode::UnknownProducer, Code::FailedPrecondition),
        ErrorCode::UnknownSchema => (v1::ErrorCode::UnknownSchema, Code::NotFound),
        ErrorCode::UnknownTopic => (v1::ErrorCode::UnknownTopic, Code::NotFound),
        ErrorCode::VersionConflict => (v1::ErrorCode::VersionConflict, Code::Aborted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proto_lists_exactly_our_error_codes() {
        for code in ErrorCode::ALL {
            let (wire, _) = on_the_wire(*code);
            assert_eq!(wire.as_str_name(), format!("ERROR_CODE_{code}"));
        }
        let listed = (0..).map_while(|number| v1::ErrorCode::try_from(number).ok());
        assert_eq!(listed.count(), ErrorCode::ALL.len() + 1, "and UNSPECIFIED");
    }

    #[test]
    fn every_error_survives_a_status() {
        let leader = LeaderHint {
            node: NodeId::new(3),
            client_address: "127.0.0.1:7400".to_owned(),
            leader_epoch: LeaderEpoch::new(7),
        };
        let offsets = OffsetRange {
            log_start: Offset::new(5),
            high_watermark: Offset::new(9),
        };
        for code in ErrorCode::ALL {
            for error in [
                ApiError::new(*code, "no"),
                ApiError::new(*code, "no").with_leader(leader.clone()),
                ApiError::new(*code, "no").with_offsets(offsets),
            ] {
                let status = Status::from(error.clone());
                assert_ne!(status.code(), Code::Ok);
                assert_eq!(ApiError::from(status), error);
            }
        }
    }

    #[test]
    fn a_transport_failure_leaves_the_outcome_unknown() {
        for status in [
            Status::unavailable("connection reset"),
            Status::internal("h2 protocol error"),
            Status::cancelled("stream gone"),
            Status::with_details(Code::Unknown, "garbage", Bytes::from_static(b"\xff\xff")),
        ] {
            let error = ApiError::from(status);
            assert_eq!(error.code, ErrorCode::ResultUnknown);
            assert!(!error.code.is_definite());
        }
    }

    #[test]
    fn a_code_of_a_newer_node_promises_no_more_than_its_flags() {
        for (definite, retryable) in [(false, false), (false, true), (true, false), (true, true)] {
            let error = ApiError::from(v1::ErrorDetail {
                code: 9_999,
                definite,
                retryable,
                ..v1::ErrorDetail::default()
            });
            assert_eq!(error.code.is_definite(), definite);
            assert_eq!(error.code.is_retryable(), retryable);
        }
    }
}
