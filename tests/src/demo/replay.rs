//! Reading everything back, and comparing it with the input record for record.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use flotilla_client::{
    Client, ConsumerConfig, ConsumerRecord, Offset, OffsetSpec, PartitionIndex, TopicName, Until,
};
use tokio::time::Instant;

use super::account::grouped;
use super::feeding::{Feeding, NUMBER_HEADER};
use super::input::Input;

const POLL_RECORDS: usize = 10_000;

/// How what came out differs from what went in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) record_count: usize,
    pub(super) byte_count: usize,
    pub(super) elapsed: Duration,
    /// Records of the input that are not there.
    lost: usize,
    /// Records that are there once more.
    duplicated: usize,
    /// Records that come after a later one of the same key.
    out_of_order: usize,
    /// Records whose key or value differs, or that nobody sent.
    altered: usize,
    /// Records that are not where their acknowledgement said.
    misplaced: usize,
}

impl Comparison {
    pub(super) fn is_exact(&self) -> bool {
        let Self {
            lost,
            duplicated,
            out_of_order,
            altered,
            misplaced,
            ..
        } = self;
        lost + duplicated + out_of_order + altered + misplaced == 0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records, {} lost, {} duplicated, {} out of order, {} altered, {} misplaced",
            grouped(self.record_count),
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.altered,
            self.misplaced,
        )
    }
}

/// Reads every partition from its first record to its high watermark.
pub(super) async fn replay(
    client: &Client,
    topic: &TopicName,
    input: &Input,
    feeding: &Feeding,
) -> anyhow::Result<Comparison> {
    let config = ConsumerConfig {
        until: Until::HighWatermark,
        ..ConsumerConfig::default()
    };
    let begun = Instant::now();
    let mut consumer = client.consumer(config)?;
    consumer.assign_topic(topic, OffsetSpec::Earliest).await?;
    let mut comparing = Comparing::new(input, feeding);
    loop {
        let records = consumer.poll(POLL_RECORDS).await.context("cannot replay")?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            comparing.see(record);
        }
    }
    let mut comparison = comparing.finish();
    comparison.elapsed = begun.elapsed();
    Ok(comparison)
}

struct Comparing<'a> {
    input: &'a Input,
    /// Where each record of the input is, by its acknowledgement.
    places: Vec<Option<(PartitionIndex, Offset)>>,
    times_seen: Vec<u32>,
    /// The last record of each key.
    last_of_key: HashMap<Bytes, usize>,
    comparison: Comparison,
}

impl<'a> Comparing<'a> {
    fn new(input: &'a Input, feeding: &Feeding) -> Self {
        let mut places = vec![None; input.len()];
        for (partition, stored) in (0..).map(PartitionIndex::new).zip(&feeding.partitions) {
            for stored in stored {
                places[stored.number] = Some((partition, stored.offset));
            }
        }
        Self {
            input,
            places,
            times_seen: vec![0; input.len()],
            last_of_key: HashMap::new(),
            comparison: Comparison::default(),
        }
    }

    fn see(&mut self, record: &ConsumerRecord) {
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let comparison = &mut self.comparison;
        comparison.record_count += 1;
        comparison.byte_count += bytes(&record.key) + bytes(&record.value);
        let number = number_of(record);
        let sent = number.and_then(|number| Some((number, self.input.records().get(number)?)));
        let Some((number, sent)) = sent else {
            comparison.altered += 1;
            return;
        };
        if record.key.as_ref() != Some(&sent.key) || record.value.as_ref() != Some(&sent.value) {
            comparison.altered += 1;
        }
        self.times_seen[number] += 1;
        if self.times_seen[number] > 1 {
            comparison.duplicated += 1;
        } else if self.places[number] != Some((record.partition, record.offset)) {
            comparison.misplaced += 1;
        }
        let last = self.last_of_key.insert(sent.key.clone(), number);
        if last.is_some_and(|last| last > number) {
            comparison.out_of_order += 1;
        }
    }

    fn finish(mut self) -> Comparison {
        self.comparison.lost = self.times_seen.iter().filter(|times| **times == 0).count();
        self.comparison
    }
}

fn number_of(record: &ConsumerRecord) -> Option<usize> {
    let mut headers = record.headers.iter();
    let header = headers.find(|header| header.key == NUMBER_HEADER)?;
    std::str::from_utf8(header.value.as_ref()?)
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use flotilla_client::{Header, Timestamp};

    use super::super::feeding::Stored;
    use super::super::input::InputRecord;
    use super::*;

    const VALUES: [&str; 3] = ["one", "two", "three"];

    fn input() -> Input {
        let record = |value: &&'static str| InputRecord {
            key: "bash".into(),
            value: (*value).into(),
        };
        Input::of_records(VALUES.iter().map(record).collect())
    }

    fn record(number: usize, offset: u64) -> ConsumerRecord {
        ConsumerRecord {
            topic: TopicName::parse("t").unwrap(),
            partition: PartitionIndex::new(0),
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(0),
            key: Some("bash".into()),
            value: Some(VALUES[number].into()),
            headers: vec![Header {
                key: NUMBER_HEADER.to_owned(),
                value: Some(number.to_string().into()),
            }],
        }
    }

    fn compare(records: &[ConsumerRecord]) -> Comparison {
        let stored = |number: usize| Stored {
            number,
            offset: Offset::new(number as u64),
            sent_at: Instant::now(),
            at: Instant::now(),
        };
        let feeding = Feeding {
            partitions: vec![(0..3).map(stored).collect()],
            elapsed: Duration::ZERO,
        };
        let input = input();
        let mut comparing = Comparing::new(&input, &feeding);
        for record in records {
            comparing.see(record);
        }
        comparing.finish()
    }

    #[test]
    fn what_equals_the_input_is_exact() {
        let comparison = compare(&[record(0, 0), record(1, 1), record(2, 2)]);
        assert!(comparison.is_exact(), "{comparison}");
        assert_eq!(comparison.record_count, 3);
        assert_eq!(comparison.byte_count, 12 + 11);
    }

    #[test]
    fn a_record_that_is_missing_is_lost() {
        let comparison = compare(&[record(0, 0), record(2, 2)]);
        assert_eq!(comparison.lost, 1);
        assert!(!comparison.is_exact());
    }

    #[test]
    fn a_record_that_comes_again_is_a_duplicate() {
        let comparison = compare(&[record(0, 0), record(1, 1), record(2, 2), record(2, 3)]);
        assert_eq!((comparison.duplicated, comparison.lost), (1, 0));
        assert!(!comparison.is_exact());
    }

    #[test]
    fn swapped_records_are_out_of_order_and_not_where_they_were_acknowledged() {
        let comparison = compare(&[record(1, 0), record(0, 1), record(2, 2)]);
        assert_eq!((comparison.out_of_order, comparison.misplaced), (1, 2));
        assert!(!comparison.is_exact());
    }

    #[test]
    fn a_different_value_and_a_record_that_nobody_sent_are_noticed() {
        let mut altered = record(1, 1);
        altered.value = Some("tow".into());
        let mut stray = record(2, 3);
        stray.headers.clear();
        let comparison = compare(&[record(0, 0), altered, record(2, 2), stray]);
        assert_eq!(comparison.altered, 2);
        assert!(!comparison.is_exact());
    }
}
