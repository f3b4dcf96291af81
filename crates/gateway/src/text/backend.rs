//! Who does what the text protocol asks for.

use std::time::Duration;

use flotilla_client::{
    ClientError, Offset, OffsetSpec, PartitionIndex, Publication, Published, TopicName,
};
use flotilla_net::RemoteCertificate;
use futures::future::BoxFuture;

use super::answer::TextRecord;
use super::error::TextError;

/// What the text protocol does is done by somebody else. Every future ends by itself, in bounded time,
/// also if nobody answers.
pub trait TextBackend: Send + Sync + 'static {
    /// Who speaks on a connection.
    type Caller: Clone + Send + Sync + 'static;

    /// Who speaks on a connection before it says more. Its certificate is there once something was read.
    fn newcomer(&self, certificate: &RemoteCertificate) -> Self::Caller;

    /// Who shows this. The error must not contain the token; it is usually
    /// [`Unauthenticated`](super::TextCode::Broker(ErrorCode::Unauthenticated)).
    fn authenticate(
        &self,
        token: String,
    ) -> impl Future<Output = Result<Self::Caller, TextError>> + Send;

    /// How many partitions the topic has. Asked before every record and many fetches, so the answer
    /// should come from memory, and `UNKNOWN_TOPIC` without a wait for somebody to create it.
    fn partitions(
        &self,
        caller: &Self::Caller,
        topic: &TopicName,
    ) -> impl Future<Output = Result<u32, ClientError>> + Send;

    /// Creates a topic with one partition. When this is done, records can be published to it.
    fn create_topic(
        &self,
        caller: &Self::Caller,
        topic: &TopicName,
    ) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Puts the record into a queue. This may wait for room there; when it is ready, the record has its
    /// place, and its [`Receipt`] becomes ready when it is stored. A connection publishes one record after
    /// the other, without a wait for receipts, so records of one partition must be stored in the order in
    /// which they were queued. Receipts are waited for together; a receipt that is dropped does not take
    /// the record back.
    fn publish(
        &self,
        caller: &Self::Caller,
        publication: Publication,
    ) -> impl Future<Output = Result<Receipt, ClientError>> + Send;

    /// Reads records. It is dropped half way when the node stops.
    fn fetch(
        &self,
        caller: &Self::Caller,
        query: TextFetch,
    ) -> impl Future<Output = Result<TextFetched, ClientError>> + Send;
}

/// Becomes ready when a record is stored, or surely is not, or nobody can tell.
pub type Receipt = BoxFuture<'static, Result<Published, ClientError>>;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFetch {
    pub topic: TopicName,
    pub partition: PartitionIndex,
    /// From the log start to the high watermark, inclusive; elsewhere it is `OFFSET_OUT_OF_RANGE`, best
    /// with the offsets that can be read.
    pub start: OffsetSpec,
    /// Most records, at least 1.
    pub records_max: usize,
    /// Most bytes of values, except that the first record always comes.
    pub bytes_max: usize,
    /// How long to wait if there is no record at the start yet. Zero does not wait.
    pub wait: Duration,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFetched {
    /// In the order of their offsets. Empty if there was none in time.
    pub records: Vec<TextRecord>,
    /// Where to go on.
    pub next_offset: Offset,
    pub log_start: Offset,
    pub high_watermark: Offset,
}
