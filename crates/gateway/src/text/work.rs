//! Doing what a command says.

use std::time::Duration;

use bytes::Bytes;
use flotilla_client::{
    ClientError, ErrorCode, OffsetSpec, PartitionIndex, ProducerRecord, Publication, TopicName,
};

use super::answer::{Answer, TextRecord};
use super::backend::{Receipt, TextBackend, TextFetch, TextFetched};
use super::command::{Fetch, Publish, Start, Token};
use super::config::{FETCH_BYTES_MAX, FETCH_RECORDS_MAX, TextConfig, WAIT_MAX};
use super::error::{TextCode, TextError};

/// The work of a connection, on behalf of who speaks there.
pub(super) struct Work<'a, B: TextBackend> {
    pub(super) config: &'a TextConfig,
    pub(super) backend: &'a B,
    pub(super) caller: B::Caller,
}

/// A record that has its place in a queue.
pub(super) struct Queued {
    receipt: Receipt,
    /// The one partition that the peer can expect, because it named it or there is no other.
    expected: Option<PartitionIndex>,
}

impl<B: TextBackend> Clone for Work<'_, B> {
    fn clone(&self) -> Self {
        Self {
            config: self.config,
            backend: self.backend,
            caller: self.caller.clone(),
        }
    }
}

impl<B: TextBackend> Work<'_, B> {
    /// Who this token belongs to.
    pub(super) async fn authenticate(&self, token: &Token) -> Result<B::Caller, TextError> {
        let known = self.backend.authenticate(token.as_str().to_owned()).await;
        known.map_err(|mut error| {
            // Whatever the error was made of: nobody finds a token in an answer.
            error.text = error.text.replace(token.as_str(), "…");
            error
        })
    }

    pub(super) async fn queue(
        &self,
        publish: Publish,
        payload: Bytes,
    ) -> Result<Queued, TextError> {
        let partitions = self.partitions_to_publish(&publish).await;
        let partitions = partitions.map_err(|error| TextError::of_publish(&error))?;
        let only = (partitions <= 1).then_some(PartitionIndex::new(0));
        let mut record = ProducerRecord::new(publish.topic, payload);
        record.partition = publish.partition;
        record.key = publish.key.map(Bytes::from);
        let mut publication = Publication::new(record);
        publication.message_id = publish.id;
        match self.backend.publish(&self.caller, publication).await {
            Ok(receipt) => Ok(Queued {
                receipt,
                expected: publish.partition.or(only),
            }),
            Err(error) => Err(TextError::of_publish(&error)),
        }
    }

    pub(super) async fn fetch(&self, fetch: Fetch) -> Answer {
        match self.try_to_fetch(fetch).await {
            Ok(answer) => answer,
            Err(error) => Answer::Error(error),
        }
    }

    /// How many partitions the topic has. One that is not there is created, unless the peer expects it
    /// to have more than one.
    async fn partitions_to_publish(&self, publish: &Publish) -> Result<u32, ClientError> {
        let topic = &publish.topic;
        let fits_one = publish
            .partition
            .is_none_or(|partition| partition.get() == 0);
        match self.backend.partitions(&self.caller, topic).await {
            Err(error)
                if error.code() == ErrorCode::UnknownTopic
                    && self.config.create_topics
                    && fits_one => {}
            known => return known,
        }
        match self.backend.create_topic(&self.caller, topic).await {
            Ok(()) => Ok(1),
            // Somebody else was faster, and may have wanted more partitions.
            Err(error) if error.code() == ErrorCode::TopicExists => {
                self.backend.partitions(&self.caller, topic).await
            }
            Err(error) => Err(error),
        }
    }

    async fn try_to_fetch(&self, fetch: Fetch) -> Result<Answer, TextError> {
        let partition = self.partition_to_fetch(&fetch).await?;
        let count = fetch.count.map(|count| {
            let count = usize::try_from(count).unwrap_or(FETCH_RECORDS_MAX);
            count.min(FETCH_RECORDS_MAX)
        });
        let query = TextFetch {
            topic: fetch.topic,
            partition,
            start: OffsetSpec::from(fetch.start),
            records_max: count.unwrap_or(1),
            bytes_max: FETCH_BYTES_MAX,
            wait: Duration::from_millis(fetch.wait_ms).min(WAIT_MAX),
        };
        let fetched = self.backend.fetch(&self.caller, query).await;
        let fetched = fetched.map_err(|error| TextError::of_fetch(&error))?;
        match count {
            Some(count) => Ok(several(fetched, count)),
            None => one(fetched, fetch.start),
        }
    }

    async fn partition_to_fetch(&self, fetch: &Fetch) -> Result<PartitionIndex, TextError> {
        if let Some(partition) = fetch.partition {
            return Ok(partition);
        }
        let partitions = self.backend.partitions(&self.caller, &fetch.topic).await;
        match partitions.map_err(|error| TextError::of_fetch(&error))? {
            0 | 1 => Ok(PartitionIndex::new(0)),
            several => Err(partition_required(&fetch.topic, several)),
        }
    }
}

impl Queued {
    pub(super) async fn stored(self) -> Answer {
        match self.receipt.await {
            Ok(published) => {
                let partition = Some(published.partition);
                let news = partition.filter(|_| partition != self.expected);
                Answer::Stored(published.offset, news)
            }
            Err(error) => Answer::Error(TextError::of_publish(&error)),
        }
    }
}

fn partition_required(topic: &TopicName, partitions: u32) -> TextError {
    let last = partitions.saturating_sub(1);
    let text = format!(
        "topic {topic} has {partitions} partitions, each with offsets of its own: name one, from \
         {topic}/0 to {topic}/{last}"
    );
    TextError::new(TextCode::PartitionRequired, text)
}

fn one(fetched: TextFetched, start: Start) -> Result<Answer, TextError> {
    let is_wanted = |record: &TextRecord| match start {
        Start::Offset(offset) => record.offset == offset,
        Start::Earliest | Start::Latest => true,
    };
    let first = fetched.records.into_iter().next().filter(is_wanted);
    first.map(Answer::Record).ok_or_else(|| {
        let (start, end) = (fetched.log_start.get(), fetched.high_watermark.get());
        TextError::no_such_offset(start, end)
    })
}

/// Holds to the limits also if the backend does not.
fn several(fetched: TextFetched, count: usize) -> Answer {
    let TextFetched {
        mut records,
        mut next_offset,
        ..
    } = fetched;
    let mut bytes = 0;
    let within = records.iter().take(count).take_while(|record| {
        bytes += record.value.as_ref().map_or(0, Bytes::len);
        bytes <= FETCH_BYTES_MAX
    });
    let kept = within.count().max(1);
    if let Some(cut) = records.get(kept) {
        next_offset = cut.offset;
        records.truncate(kept);
    }
    Answer::Records(records, next_offset)
}
