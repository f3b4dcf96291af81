//! `bench consume`: reads a topic from its start and checks that nothing is missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flotilla_client::{
    Admin, ClientError, Consumer, ConsumerConfig, ConsumerRecord, Offset, OffsetSpec,
    PartitionIndex, TopicName, Until,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::arguments::BenchConsumeArgs;
use super::latencies::Latencies;
use super::report::{LatencyOf, Report, Throughput};
use super::supervise::{Clients, Ended};
use crate::failure::Failure;
use crate::{Exit, GlobalOptions, Io};

type Offsets = BTreeMap<PartitionIndex, Offset>;

pub(super) async fn run(
    mut args: BenchConsumeArgs,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let preparing = prepare(&mut args, global);
    let Prepared { readers, wanted } = io.interrupt.unless_raised(preparing).await?;
    let started = Instant::now();
    let Ended {
        results,
        was_interrupted,
    } = start(readers, wanted).join(io).await?;
    let elapsed = started.elapsed();
    let mut total = Reading::new(args.record_size);
    results.into_iter().for_each(|reading| total.add(reading));
    let report = Report {
        operation: "consume",
        topic: args.load.topic.to_string(),
        clients: args.load.clients,
        window: args.load.window,
        throughput: Throughput::new(total.records, total.bytes, elapsed),
        latency_ms: total.latencies.percentiles(),
        latency_of: LatencyOf::Poll,
        load: None,
        interrupted: was_interrupted,
    };
    report.print(global.output, &mut io.output)?;
    if let Some(error) = total.error {
        let doing = format!("read topic {}", args.load.topic);
        return Err(Failure::cluster(doing)(error));
    }
    if was_interrupted {
        return Ok(Exit::Interrupted);
    }
    match total.complaint(wanted) {
        None => Ok(Exit::Done),
        Some(message) => Err(Failure::Check { message }),
    }
}

struct Prepared {
    readers: Vec<Reader>,
    wanted: u64,
}

/// One client that reads.
struct Reader {
    consumer: Consumer,
    topic: TopicName,
    window: usize,
    reading: Reading,
}

/// What one client has read, or all of them.
struct Reading {
    records: u64,
    bytes: u64,
    /// Offset of the next record of each partition.
    expected: Offsets,
    expected_bytes: Option<usize>,
    /// Records that came with another offset than the one that follows the last.
    misplaced: u64,
    /// Records whose value has another size than it should.
    missized: u64,
    latencies: Latencies,
    error: Option<ClientError>,
}

/// Looks at the topic and connects as many clients as there are partitions for.
async fn prepare(args: &mut BenchConsumeArgs, global: &GlobalOptions) -> Result<Prepared, Failure> {
    let topic = &args.load.topic;
    let reading = || Failure::cluster(format!("read topic {topic}"));
    let first = global.connect().await?;
    let starts = offsets(&first.admin(), topic, OffsetSpec::Earliest).await?;
    let ends = offsets(&first.admin(), topic, OffsetSpec::Latest).await?;
    let available = starts.iter().map(|(partition, start)| {
        let end = ends.get(partition);
        end.map_or(0, |end| end.distance_from(*start))
    });
    let available: u64 = available.sum();
    let wanted = args.records.unwrap_or(available);
    if wanted > available {
        let message =
            format!("topic {topic} holds {available} records, which is less than {wanted}");
        return Err(Failure::Check { message });
    }
    let partition_count = u32::try_from(starts.len()).unwrap_or(u32::MAX).max(1);
    args.load.clients = args.load.clients.min(partition_count);
    let config = ConsumerConfig {
        until: Until::HighWatermark,
        retry_timeout: global.timeout,
        ..ConsumerConfig::default()
    };
    let mut readers = Vec::new();
    for client in 0..args.load.clients {
        let connection = global.connect().await?;
        let mut reader = Reader {
            consumer: connection.consumer(config.clone()).map_err(reading())?,
            topic: topic.clone(),
            window: args.load.window as usize,
            reading: Reading::new(args.record_size),
        };
        for (partition, start) in &starts {
            if partition.get() % args.load.clients == client {
                reader.reading.expected.insert(*partition, *start);
            }
        }
        readers.push(reader);
    }
    Ok(Prepared { readers, wanted })
}

async fn offsets(admin: &Admin, topic: &TopicName, spec: OffsetSpec) -> Result<Offsets, Failure> {
    let doing = || Failure::cluster(format!("look up offsets of topic {topic}"));
    let listed = admin
        .list_offsets(topic, &[], spec)
        .await
        .map_err(doing())?;
    let offsets = listed.into_iter().map(|listed| {
        let offset = listed.offset.map_err(doing())?;
        Ok((listed.partition, offset))
    });
    offsets.collect()
}

fn start(readers: Vec<Reader>, wanted: u64) -> Clients<Reading> {
    let mut clients = Clients::new();
    let left = Arc::new(AtomicU64::new(wanted));
    // Who takes the last record tells the others.
    let enough = clients.stop.child_token();
    for reader in readers {
        let read = reader.run(Arc::clone(&left), enough.clone(), Arc::clone(&clients.done));
        clients.running.spawn(read);
    }
    clients
}

impl Reader {
    /// Reads until `left` is used up, the end is reached or an error comes.
    async fn run(
        mut self,
        left: Arc<AtomicU64>,
        enough: CancellationToken,
        done: Arc<AtomicU64>,
    ) -> Reading {
        // Fetching begins here, so that all of it is measured.
        for (partition, start) in &self.reading.expected {
            let start = OffsetSpec::Offset(*start);
            self.consumer.assign(&self.topic, *partition, start);
        }
        while left.load(Ordering::Relaxed) > 0 {
            let asked_at = Instant::now();
            let polled = tokio::select! {
                polled = self.consumer.poll(self.window) => polled,
                () = enough.cancelled() => break,
            };
            let records = match polled {
                Ok(records) if records.is_empty() => break,
                Ok(records) => records,
                Err(error) => {
                    self.reading.error = Some(error);
                    break;
                }
            };
            self.reading.latencies.note(asked_at.elapsed());
            let taken = take(&left, records.len() as u64);
            for record in &records[..taken as usize] {
                self.reading.check(record);
            }
            done.fetch_add(taken, Ordering::Relaxed);
        }
        if left.load(Ordering::Relaxed) == 0 {
            enough.cancel();
        }
        self.reading
    }
}

/// Takes up to `count` off `left`.
fn take(left: &AtomicU64, count: u64) -> u64 {
    let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        Some(left.saturating_sub(count))
    });
    count.min(before.expect("the update always has a value"))
}

impl Reading {
    fn new(expected_bytes: Option<usize>) -> Self {
        Self {
            records: 0,
            bytes: 0,
            expected: Offsets::new(),
            expected_bytes,
            misplaced: 0,
            missized: 0,
            latencies: Latencies::new(),
            error: None,
        }
    }

    fn check(&mut self, record: &ConsumerRecord) {
        let value_bytes = record.value.as_ref().map_or(0, |value| value.len());
        self.records += 1;
        self.bytes += value_bytes as u64;
        let next = record.offset.advance(1);
        let expected = self.expected.insert(record.partition, next);
        self.misplaced += u64::from(expected != Some(record.offset));
        let has_size = self.expected_bytes.is_none_or(|bytes| bytes == value_bytes);
        self.missized += u64::from(!has_size);
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.misplaced += other.misplaced;
        self.missized += other.missized;
        self.latencies.add(&other.latencies);
        self.error = self.error.take().or(other.error);
    }

    /// What is wrong with what was read, if anything is.
    fn complaint(&self, wanted: u64) -> Option<String> {
        if self.records != wanted {
            let records = self.records;
            return Some(format!("{records} records came instead of {wanted}"));
        }
        if self.misplaced > 0 {
            let misplaced = self.misplaced;
            return Some(format!("{misplaced} records do not follow the one before"));
        }
        match self.missized {
            0 => None,
            missized => Some(format!("{missized} records have another size")),
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_client::Timestamp;

    use super::*;

    fn record(partition: u32, offset: u64) -> ConsumerRecord {
        ConsumerRecord {
            topic: TopicName::parse("orders").unwrap(),
            partition: PartitionIndex::new(partition),
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(0),
            key: None,
            value: Some("12345".into()),
            headers: Vec::new(),
        }
    }

    fn read(records: &[(u32, u64)], expected_bytes: Option<usize>) -> Reading {
        let mut reading = Reading::new(expected_bytes);
        for partition in [0, 1] {
            let partition = PartitionIndex::new(partition);
            reading.expected.insert(partition, Offset::new(10));
        }
        for (partition, offset) in records {
            reading.check(&record(*partition, *offset));
        }
        reading
    }

    #[test]
    fn records_without_a_gap_are_what_was_wanted() {
        let reading = read(&[(0, 10), (1, 10), (0, 11)], Some(5));
        assert_eq!(reading.complaint(3), None);
        assert_eq!(reading.bytes, 15);
    }

    #[test]
    fn gaps_repetitions_and_missing_records_are_noticed() {
        assert!(read(&[(0, 10), (0, 12)], None).complaint(2).is_some());
        assert!(read(&[(0, 10), (0, 10)], None).complaint(2).is_some());
        assert!(read(&[(0, 11)], None).complaint(1).is_some());
        assert!(read(&[(0, 10)], None).complaint(2).is_some());
        assert!(read(&[(0, 10)], Some(4)).complaint(1).is_some());
    }

    #[test]
    fn no_more_is_taken_than_is_left() {
        let left = AtomicU64::new(5);
        assert_eq!((take(&left, 3), take(&left, 3), take(&left, 3)), (3, 2, 0));
    }
}
