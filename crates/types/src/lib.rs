//! The words of Flotilla: names, ids, positions in a log, record batches, limits and error codes.
//!
//! Every other crate speaks in these types. This crate does no I/O, knows no clock and no async
//! runtime, and depends on nothing of ours.

pub mod batch;
mod cluster;
mod error_chain;
mod error_code;
mod ids;
mod key_hash;
pub mod limits;
mod lineage;
mod log;
mod memory;
mod message_id;
mod names;
mod principal;
mod schema_compatibility;
mod shown;
mod time;
mod topic_config;
mod topic_profile;

pub use batch::{
    BatchBuilder, BatchContents, BatchError, BatchProducer, Compression, Header, Record,
    RecordBatch, RecordFault,
};
pub use cluster::{NodeAddresses, NodeDuty, PartitionStatus};
pub use error_chain::ErrorChain;
pub use error_code::ErrorCode;
pub use ids::{
    ClusterId, FencingToken, Generation, LeaderEpoch, NodeId, PartitionId, PartitionIndex,
    ProducerEpoch, ProducerId, RaftGroupId, Sequence, Term, TopicId,
};
pub use key_hash::partition_of_key;
pub use lineage::{Incarnation, Lineage};
pub use log::{LogId, LogIndex, Offset};
pub use memory::keep_freed_memory;
pub use message_id::{MessageId, MessageIdError};
pub use names::{GroupId, JobName, KeyName, MemberId, NameError, NameFault, NameKind, TopicName};
pub use principal::{Principal, PrincipalError, PrincipalKind};
pub use schema_compatibility::{SchemaCompatibility, SchemaCompatibilityError};
pub use shown::{Shown, ShownCertificate, bearer};
pub use time::Timestamp;
pub use topic_config::{TopicConfig, TopicConfigError, Visibility};
pub use topic_profile::{TopicProfile, TopicProfileError};
