//! The stable error codes: one table for gRPC, HTTP, the text protocol, the CLI and the clients.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, retry: $retry:literal, definite: $definite:literal;)*) => {
        /// What went wrong, in a word that never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it is sent and printed.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The same request, sent again a moment later, may succeed without anybody doing anything.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$variant => $retry,)* }
            }

            /// The request surely changed nothing. Where this is false, it may have been applied.
            pub const fn is_definite(self) -> bool {
                match self { $(Self::$variant => $definite,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

error_codes! {
    /// A record batch does not parse: wrong length, magic, count or a field out of range.
    BatchMalformed = "BATCH_MALFORMED", retry: false, definite: true;
    /// A record batch or a record is larger than the topic allows.
    BatchTooLarge = "BATCH_TOO_LARGE", retry: false, definite: true;
    /// The checksum of a record batch does not match its bytes.
    ChecksumMismatch = "CHECKSUM_MISMATCH", retry: false, definite: true;
    /// The node belongs to another cluster than the request.
    ClusterMismatch = "CLUSTER_MISMATCH", retry: false, definite: true;
    /// A topic configuration has an unknown key or a value out of range.
    ConfigInvalid = "CONFIG_INVALID", retry: false, definite: true;
    /// The coordinator of the job takes no more jobs.
    CoordinatorFull = "COORDINATOR_FULL", retry: false, definite: true;
    /// Bytes on disk do not match their checksum; they are not served.
    CorruptData = "CORRUPT_DATA", retry: true, definite: true;
    /// The disk is too full to take more records.
    DiskFull = "DISK_FULL", retry: true, definite: true;
    /// The consumer group, or the coordinator that it would belong to, takes no more.
    GroupFull = "GROUP_FULL", retry: false, definite: true;
    /// The consumer group has members, and this is only done to one without.
    GroupNotEmpty = "GROUP_NOT_EMPTY", retry: false, definite: true;
    /// What the caller shows cannot be checked at the moment: the issuer of its token is out of reach.
    IdentityUnavailable = "IDENTITY_UNAVAILABLE", retry: true, definite: true;
    /// The node failed in a way that it cannot explain to a client. Its log says more.
    Internal = "INTERNAL", retry: false, definite: false;
    /// The request is not understood: a field is missing or out of range.
    InvalidArgument = "INVALID_ARGUMENT", retry: false, definite: true;
    /// A consumer group id is empty, too long or has a character that is not allowed.
    InvalidGroupId = "INVALID_GROUP_ID", retry: false, definite: true;
    /// A job name is empty, too long or has a character that is not allowed.
    InvalidJobName = "INVALID_JOB_NAME", retry: false, definite: true;
    /// A topic name is empty, too long or has a character that is not allowed.
    InvalidTopicName = "INVALID_TOPIC_NAME", retry: false, definite: true;
    /// Another process owns the job.
    JobHeld = "JOB_HELD", retry: true, definite: true;
    /// A key of this name exists.
    KeyExists = "KEY_EXISTS", retry: false, definite: true;
    /// No node can act as leader at the moment.
    LeaderNotAvailable = "LEADER_NOT_AVAILABLE", retry: true, definite: true;
    /// The cluster has fewer nodes than the replication factor asks for.
    NotEnoughNodes = "NOT_ENOUGH_NODES", retry: false, definite: true;
    /// This node does not lead the partition, and the client asked not to be forwarded.
    NotLeader = "NOT_LEADER", retry: true, definite: true;
    /// The offset is below the log start or above the high watermark.
    OffsetOutOfRange = "OFFSET_OUT_OF_RANGE", retry: false, definite: true;
    /// A batch came before the one that its producer sent first.
    OutOfOrderSequence = "OUT_OF_ORDER_SEQUENCE", retry: false, definite: true;
    /// The node has as many requests as it can hold.
    Overloaded = "OVERLOADED", retry: true, definite: true;
    /// No access rule allows the caller to do this.
    PermissionDenied = "PERMISSION_DENIED", retry: false, definite: true;
    /// A newer incarnation of the producer has written.
    ProducerFenced = "PRODUCER_FENCED", retry: false, definite: true;
    /// A record does not match the schema of its topic.
    RecordInvalid = "RECORD_INVALID", retry: false, definite: true;
    /// The leader changed or the link broke before the outcome was known.
    ResultUnknown = "RESULT_UNKNOWN", retry: true, definite: false;
    /// A schema would refuse what its predecessor took, or the other way round.
    SchemaIncompatible = "SCHEMA_INCOMPATIBLE", retry: false, definite: true;
    /// A text is not a JSON Schema that topics can have.
    SchemaInvalid = "SCHEMA_INVALID", retry: false, definite: true;
    /// The topic is public and has no schema yet, so it takes no records.
    SchemaRequired = "SCHEMA_REQUIRED", retry: false, definite: true;
    /// The node is shutting down.
    ShuttingDown = "SHUTTING_DOWN", retry: true, definite: true;
    /// The member does not hold the partition in that generation: another one may have it.
    StaleGeneration = "STALE_GENERATION", retry: false, definite: true;
    /// The ownership of the job was lost: it has ended, or another process has it.
    StaleToken = "STALE_TOKEN", retry: false, definite: true;
    /// The time limit passed before a majority answered. The write may still happen.
    Timeout = "TIMEOUT", retry: true, definite: false;
    /// A topic of this name exists.
    TopicExists = "TOPIC_EXISTS", retry: false, definite: true;
    /// The topic is protected against its deletion.
    TopicProtected = "TOPIC_PROTECTED", retry: false, definite: true;
    /// The caller has not proven who it is.
    Unauthenticated = "UNAUTHENTICATED", retry: false, definite: true;
    /// The compression codec is not one of none, gzip, snappy, lz4 and zstd.
    UnknownCodec = "UNKNOWN_CODEC", retry: false, definite: true;
    /// There is no consumer group of this id.
    UnknownGroup = "UNKNOWN_GROUP", retry: false, definite: true;
    /// There is no key of this name.
    UnknownKey = "UNKNOWN_KEY", retry: false, definite: true;
    /// The consumer group has no such member: it has left, or was silent for too long.
    UnknownMember = "UNKNOWN_MEMBER", retry: false, definite: true;
    /// There is no node of this id.
    UnknownNode = "UNKNOWN_NODE", retry: false, definite: true;
    /// The topic has no partition of this number.
    UnknownPartition = "UNKNOWN_PARTITION", retry: false, definite: true;
    /// The partition does not know the producer, and its batch is not the first one.
    UnknownProducer = "UNKNOWN_PRODUCER", retry: false, definite: true;
    /// The topic has no schema, or not that version of it.
    UnknownSchema = "UNKNOWN_SCHEMA", retry: false, definite: true;
    /// There is no topic of this name.
    UnknownTopic = "UNKNOWN_TOPIC", retry: false, definite: true;
    /// What was to be changed has changed since it was read.
    VersionConflict = "VERSION_CONFLICT", retry: false, definite: true;
}

impl ErrorCode {
    /// Whether such an error is about who calls, so that another node says the same.
    pub const fn concerns_the_caller(self) -> bool {
        matches!(self, Self::PermissionDenied | Self::Unauthenticated)
    }

    /// Whether such an error of a request with many records can be about one of them, while the others are
    /// good.
    pub const fn concerns_a_record(self) -> bool {
        matches!(
            self,
            Self::BatchMalformed
                | Self::BatchTooLarge
                | Self::InvalidArgument
                | Self::RecordInvalid
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_alphabetical_and_unique() {
        let texts: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(texts, sorted);
    }

    #[test]
    fn codes_read_what_they_write() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(*code));
        }
        assert_eq!(ErrorCode::parse("nonsense"), None);
    }
}
