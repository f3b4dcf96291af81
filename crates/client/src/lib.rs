//! The public Rust API of Flotilla: write records, read them alone or as a member of a consumer
//! group, do jobs as one process at a time, manage topics and groups.
//!
//! The client finds the leaders and goes straight to them. It tries again where that is safe, and
//! says clearly whether something surely did not happen where it is not.
//!
//! ```no_run
//! # use flotilla_client::*;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new(["localhost:7400"])).await?;
//! let topic = TopicName::parse("orders")?;
//!
//! let producer = client.producer(ProducerConfig::default())?;
//! let record = ProducerRecord::new(topic.clone(), "paid").key("order-1");
//! let delivery = producer.send(record).await?; // in the buffer
//! let delivered = delivery.await?; // on disk on a majority of the replicas
//! println!("{}/{}", delivered.partition, delivered.offset);
//!
//! let mut consumer = client.consumer(ConsumerConfig::default())?;
//! consumer.assign_topic(&topic, OffsetSpec::Earliest).await?;
//! for record in consumer.poll(100).await? {
//!     println!("{}: {:?}", record.offset, record.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What several processes may send again goes with a message id, and what only one of them may write
//! goes through the producer of a job's owner:
//!
//! ```no_run
//! # use flotilla_client::*;
//! # async fn example(client: Client, orders: TopicName) -> Result<(), ClientError> {
//! let paid = ProducerRecord::new(orders.clone(), "paid");
//! let paid = Publication::new(paid).message_id("payment-17");
//! for published in client.publish(vec![paid]).await {
//!     println!("{:?}", published?); // the first one's place, for 10 minutes, whoever sends it again
//! }
//!
//! let job = JobName::parse("sync-orders").expect("a job name");
//! let ownership = client.jobs().acquire(JobConfig::new(job)).await?;
//! let producer = client.producer(ProducerConfig {
//!     owner: Some(ownership.producer_owner()), // once another process owns the job, all its sends fail
//!     ..ProducerConfig::default()
//! })?;
//! # drop(producer);
//! # Ok(())
//! # }
//! ```
//!
//! It knows the gRPC API and nothing of what is behind it. It makes no threads; its tasks end with
//! the handle that started them.

mod admin;
mod backoff;
mod channels;
mod client;
mod cluster_view;
mod config;
mod consumer;
mod deadline;
mod error;
mod fetch;
mod groups;
mod identity;
mod jobs;
mod metadata;
mod node_channel;
mod partition_name;
mod producer;
mod publish;

pub use admin::{
    AccessAnswer, AccessQuestion, Admin, AppliedManifest, ApplyOptions, ChangedRules,
    CheckedSchema, ClusterDescription, DutyChange, ExportedManifest, FieldChange, GroupDescription,
    GroupMember, GroupSummary, KeySummary, Manifest, MoveSubject, NewTopic, NodeDescription,
    NodeHoldings, PartitionDescription, PartitionLag, PartitionLeader, PartitionOffset,
    PlacementChange, PlacementGoal, PlacementMove, PlacementOptions, RegisteredSchema,
    ReplicaDescription, SchemaVersion, TokenExplanation, TokenFinding, TopicChange,
    TopicChangeKind, TopicDescription, TopicPartition, TopicSpec, TopicSummary,
};
pub use channels::{ChannelFactory, endpoint};
pub use client::Client;
pub use config::{ClientConfig, Credentials, Routing};
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord, OutOfRange, Until};
pub use error::ClientError;
pub use fetch::{FetchOptions, FetchedRecords};
pub use groups::{CommittedOffset, GroupConfig, GroupConsumer, HeldPartition, Subscription};
pub use jobs::{JobConfig, JobDescription, JobOwner, JobOwnership, Jobs};
pub use node_channel::{LocalNode, NodeChannel};
pub use partition_name::PartitionName;
pub use producer::{Delivered, Delivery, Producer, ProducerConfig, ProducerOwner, ProducerRecord};
pub use publish::{Publication, Published};

pub use flotilla_net::{ClientTls, ClientTlsFiles, KeyFiles, TlsError};
pub use flotilla_protocol::{ApiError, ErrorFacts, LeaderHint, OffsetRange, OffsetSpec};
pub use flotilla_types::{
    Compression, ErrorCode, FencingToken, Generation, GroupId, Header, JobName, MemberId, NodeDuty,
    NodeId, Offset, PartitionIndex, Principal, Shown, Timestamp, TopicConfig, TopicId, TopicName,
    bearer, keep_freed_memory,
};
