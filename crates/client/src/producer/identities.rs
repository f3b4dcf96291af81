//! Identities for idempotent producers: one for the whole producer, and others for partitions that
//! have to start over.

use std::sync::Arc;

use flotilla_protocol::ApiError;
use flotilla_protocol::v1;
use flotilla_protocol::v1::metadata_client::MetadataClient;
use flotilla_types::{ErrorCode, ProducerEpoch, ProducerId};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use super::window::Identity;
use crate::ClientError;
use crate::client::{Core, Repeat, within};

pub(super) struct Identities {
    core: Arc<Core>,
    first: OnceCell<Identity>,
}

impl Identities {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            first: OnceCell::new(),
        }
    }

    /// The identity with which partitions begin.
    pub(super) async fn first(&self, deadline: Instant) -> Result<Identity, ClientError> {
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
    pub(super) async fn another(&self, deadline: Instant) -> Result<Identity, ClientError> {
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
