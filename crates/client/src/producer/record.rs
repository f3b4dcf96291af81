//! A record to be written.

use bytes::Bytes;
use flotilla_types::{Header, PartitionIndex, Timestamp, TopicName};

/// A record and where it shall go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRecord {
    pub topic: TopicName,
    /// Where to write it. Default: the key decides, as with Kafka's clients; records without a key
    /// are spread, a batch at a time.
    pub partition: Option<PartitionIndex>,
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
    /// Default: now.
    pub timestamp: Option<Timestamp>,
}

impl ProducerRecord {
    /// A record without a key.
    pub fn new(topic: TopicName, value: impl Into<Bytes>) -> Self {
        Self {
            topic,
            partition: None,
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// A record that says that the key has no value any more.
    pub fn tombstone(topic: TopicName, key: impl Into<Bytes>) -> Self {
        Self {
            topic,
            partition: None,
            key: Some(key.into()),
            value: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    #[must_use]
    pub fn partition(mut self, partition: PartitionIndex) -> Self {
        self.partition = Some(partition);
        self
    }

    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header {
            key: key.into(),
            value: Some(value.into()),
        });
        self
    }

    #[must_use]
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// About what the record takes in a batch.
    pub(crate) fn bytes(&self) -> usize {
        /// Lengths, deltas and attributes of a record whose fields are of ordinary size.
        const OVERHEAD: usize = 16;
        let optional = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let header_bytes: usize = headers
            .map(|header| header.key.len() + optional(&header.value) + 4)
            .sum();
        optional(&self.key) + optional(&self.value) + header_bytes + OVERHEAD
    }
}
