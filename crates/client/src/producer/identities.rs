//! Identities for idempotent producers: one for the whole producer, and others for partitions that
//! have to start over.
//!
//! A producer that writes for the owner of a job has the identity that belongs to the owner's token. A
//! partition accepts it once the owner is fenced in there, and says in which epoch: another one for each
//! producer of the owner, and each time it starts over.

use std::sync::Arc;

use flotilla_protocol::ApiError;
use flotilla_protocol::v1;
use flotilla_protocol::v1::metadata_client::MetadataClient;
use flotilla_protocol::v1::produce_client::ProduceClient;
use flotilla_types::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId, TopicName};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use super::config::ProducerOwner;
use super::window::Identity;
use crate::ClientError;
use crate::client::{Core, Repeat, within};

pub(super) struct Identities {
    core: Arc<Core>,
    owner: Option<ProducerOwner>,
    first: OnceCell<Identity>,
}

impl Identities {
    pub(super) fn new(core: Arc<Core>, owner: Option<ProducerOwner>) -> Self {
        Self {
            core,
            owner,
            first: OnceCell::new(),
        }
    }

    /// The identity with which a partition begins, or starts over if it has begun.
    pub(super) async fn next(
        &self,
        (topic, partition): (&TopicName, PartitionIndex),
        has_begun: bool,
        deadline: Instant,
    ) -> Result<Identity, ClientError> {
        match (&self.owner, has_begun) {
            (Some(owner), _) => self.fence(owner, (topic, partition), deadline).await,
            (None, false) => self.first(deadline).await,
            (None, true) => self.another(deadline).await,
        }
    }

    /// Makes this producer the only one that may append to the partition for any owner of the job.
    async fn fence(
        &self,
        owner: &ProducerOwner,
        (topic, partition): (&TopicName, PartitionIndex),
        deadline: Instant,
    ) -> Result<Identity, ClientError> {
        let request = v1::FenceProducerRequest {
            topic: topic.to_string(),
            partition: partition.get(),
            job: owner.job.to_string(),
            token: owner.token.get(),
            no_forward: false,
            instance: rand::random(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { ProduceClient::new(channel).fence_producer(request).await }
        };
        // An instance that is fenced in already stays so.
        let fenced = self.core.call_until(deadline, Repeat::Always, send).await?;
        Ok(Identity {
            id: ProducerId::owned(owner.token),
            epoch: read_epoch(fenced.producer_epoch)?,
        })
    }

    async fn first(&self, deadline: Instant) -> Result<Identity, ClientError> {
        let allocate = || self.another(deadline);
        let first = timeout_at(deadline, self.first.get_or_try_init(allocate)).await;
        // Whoever asks on behalf of this partition may have more time than it.
        let late = |_| {
            ApiError::new(
                ErrorCode::LeaderNotAvailable,
                "no node gives out producer ids",
            )
        };
        Ok(*first.map_err(late)??)
    }

    /// An identity that was never used.
    async fn another(&self, deadline: Instant) -> Result<Identity, ClientError> {
        let send = |channel, limit| {
            let request = within(limit, v1::AllocateProducerIdRequest {});
            async move {
                MetadataClient::new(channel)
                    .allocate_producer_id(request)
                    .await
            }
        };
        // An identity that is allocated twice is wasted, not wrong.
        let answer = self.core.call_until(deadline, Repeat::Always, send).await?;
        Ok(Identity {
            id: ProducerId::new(answer.producer_id),
            epoch: read_epoch(answer.producer_epoch)?,
        })
    }
}

fn read_epoch(epoch: u32) -> Result<ProducerEpoch, ApiError> {
    let read = u16::try_from(epoch).map(ProducerEpoch::new);
    read.map_err(|_| {
        let message = format!("producer epoch {epoch} is out of range");
        ApiError::new(ErrorCode::Internal, message)
    })
}
