//! Topics for the stories.

use flotilla_client::{Client, NewTopic, PartitionIndex, TopicDescription, TopicName};

pub(crate) const FIRST: PartitionIndex = PartitionIndex::new(0);

pub(crate) fn name(text: &str) -> TopicName {
    TopicName::parse(text).unwrap()
}

/// A new topic with these numbers of partitions and replicas.
pub(crate) async fn create(
    client: &Client,
    name: &TopicName,
    partitions: u32,
    replication_factor: u32,
) -> TopicDescription {
    let topic = NewTopic::new(name.clone())
        .partitions(partitions)
        .replication_factor(replication_factor);
    client.admin().create_topic(topic).await.unwrap()
}
