//! Which offsets belong to the ends of a log or to a moment.

use flotilla_protocol::v1::fetch_client::FetchClient;
use flotilla_protocol::{ApiError, OffsetSpec, v1};
use flotilla_types::{Offset, PartitionIndex, TopicName};

use super::Admin;
use crate::ClientError;
use crate::client::{Repeat, within};

/// One line of the answer to [`Admin::list_offsets`].
#[derive(Clone, Debug)]
pub struct PartitionOffset {
    pub partition: PartitionIndex,
    pub offset: Result<Offset, ClientError>,
}

impl Admin {
    /// The offsets that `spec` stands for in these partitions, or in all if none is named, each
    /// with its own outcome.
    pub async fn list_offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        spec: OffsetSpec,
    ) -> Result<Vec<PartitionOffset>, ClientError> {
        let request = v1::ListOffsetsRequest {
            topic: topic.to_string(),
            partitions: partitions.iter().map(|index| index.get()).collect(),
            spec: Some(spec.into()),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { FetchClient::new(channel).list_offsets(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        Ok(answer.offsets.into_iter().map(read_offset).collect())
    }
}

fn read_offset(answer: v1::PartitionOffset) -> PartitionOffset {
    let offset = match (answer.error, answer.offset) {
        (Some(error), _) => Err(ApiError::from(error).into()),
        (None, Some(offset)) => Ok(Offset::new(offset)),
        (None, None) => Err(ClientError::missing("an offset")),
    };
    PartitionOffset {
        partition: PartitionIndex::new(answer.partition),
        offset,
    }
}
