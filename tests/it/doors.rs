//! What the stories of the front doors have in common: a topic is read back as the Rust client sees it.

use std::collections::BTreeMap;

use flotilla_client::{
    Client, ConsumerRecord, FetchOptions, Offset, OffsetSpec, PartitionIndex, TopicName,
};
use flotilla_tests::http::HttpAnswer;

/// Every record of a partition.
pub(crate) async fn records(
    client: &Client,
    topic: &TopicName,
    partition: PartitionIndex,
) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    let mut start = Offset::ZERO;
    loop {
        let mut options = FetchOptions::new(topic.clone(), partition, OffsetSpec::Offset(start));
        options.records_max = 10_000;
        options.bytes_max = 8 << 20;
        let fetched = client.fetch(options).await.unwrap();
        records.extend(fetched.records);
        start = fetched.next;
        if start >= fetched.high_watermark {
            return records;
        }
    }
}

/// The payloads of a partition, as text.
pub(crate) async fn values(
    client: &Client,
    topic: &TopicName,
    partition: PartitionIndex,
) -> Vec<String> {
    let records = records(client, topic, partition).await;
    records.iter().map(value).collect()
}

pub(crate) fn value(record: &ConsumerRecord) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
}

/// Where each payload of a topic is. No payload is there twice.
///
/// # Panics
///
/// If one is.
pub(crate) async fn places(
    client: &Client,
    topic: &TopicName,
    partitions: u32,
) -> BTreeMap<String, (u32, u64)> {
    let mut places = BTreeMap::new();
    for partition in (0..partitions).map(PartitionIndex::new) {
        for record in records(client, topic, partition).await {
            let place = (partition.get(), record.offset.get());
            let before = places.insert(value(&record), place);
            assert_eq!(before, None, "{:?} is stored twice", value(&record));
        }
    }
    places
}

/// The place that a publish was answered with.
pub(crate) fn place(answer: &HttpAnswer) -> (u32, u64) {
    let body = answer.json();
    let number = |name: &str| body[name].as_u64().unwrap();
    (number("partition") as u32, number("offset"))
}

/// The record's header with this name.
pub(crate) fn header(record: &ConsumerRecord, name: &str) -> Option<String> {
    let mut headers = record.headers.iter();
    let found = headers.find(|header| header.key == name)?;
    let value = found.value.as_deref().unwrap_or_default();
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The answer is a problem with this status and code.
#[track_caller]
pub(crate) fn assert_problem(answer: &HttpAnswer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"));
    assert_eq!(answer.json()["code"], code, "{}", answer.text());
}
