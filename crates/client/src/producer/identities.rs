//! Identities for idempotent producers: one for the whole producer, and others for partitions that
//! have to start over.
//!
//! A producer that writes for the owner of a job has the identity that belongs to the owner's token. A
//! partition accepts it once the owner is fenced in there, and to start over is to go on in the next
//! epoch of the same identity.

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

/// Epochs are signed on the wire.
const EPOCH_MAX: u16 = i16::MAX as u16;

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

    /// The identity with which a partition begins, or goes on after `last`.
    pub(super) async fn next(
        &self,
        (topic, partition): (&TopicName, PartitionIndex),
        last: Option<Identity>,
        deadline: Instant,
    ) -> Result<Identity, ClientError> {
        match (&self.owner, last) {
            (Some(owner), last) => {
                self.fence(owner, (topic, partition), deadline).await?;
                let id = ProducerId::owned(owner.token);
                let epoch = last.map_or(Some(0), |last| last.epoch.get().checked_add(1));
                let epoch = epoch.filter(|epoch| *epoch <= EPOCH_MAX).ok_or_else(|| {
                    ApiError::new(
                        ErrorCode::ProducerFenced,
                        "the producer has started over too often: become the job's owner again",
                    )
                })?;
                let epoch = ProducerEpoch::new(epoch);
                Ok(Identity { id, epoch })
            }
            (None, None) => self.first(deadline).await,
            (None, Some(_)) => self.another(deadline).await,
        }
    }

    /// Makes the owner the only one of its job that may append to the partition.
    async fn fence(
        &self,
        owner: &ProducerOwner,
        (topic, partition): (&TopicName, PartitionIndex),
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let request = v1::FenceProducerRequest {
            topic: topic.to_string(),
            partition: partition.get(),
            job: owner.job.to_string(),
            token: owner.token.get(),
            no_forward: false,
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { ProduceClient::new(channel).fence_producer(request).await }
        };
        // An owner that is fenced in already stays so.
        let fenced = self.core.call_until(deadline, Repeat::Always, send).await;
        fenced.map(drop)
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
        let epoch = u16::try_from(answer.producer_epoch).map_err(|_| {
            ApiError::new(
                ErrorCode::Internal,
                format!("producer epoch {} is out of range", answer.producer_epoch),
            )
        })?;
        Ok(Identity {
            id: ProducerId::new(answer.producer_id),
            epoch: ProducerEpoch::new(epoch),
        })
    }
}
