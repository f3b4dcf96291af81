//! What is done once the cluster is whole again: one more record into every partition, and everything read
//! that can be.
//!
//! The log of a partition is read through the node that leads it, and counts as that node's. Other replicas
//! cannot be asked by clients.

use std::time::Duration;

use flotilla_checker::history::{ClientKind, FinalRead, NodeNumber, Offset, SeenRecord, StoredLog};
use flotilla_client::{Client, ClientError, FetchOptions, OffsetSpec, PartitionIndex};
use tokio::time::{Instant, sleep, timeout_at};

use crate::recorder::{ProcessLog, Recorder};
use crate::workload::{Field, LoadedTopic, append_one, seen_record};

const PAUSE: Duration = Duration::from_millis(200);
const FETCH_BYTES: usize = 4 << 20;
const FETCH_RECORDS: usize = 50_000;

/// Tries every partition until it takes a record and shows all that it has, until `limit` has passed.
///
/// # Errors
///
/// If no client can be made.
pub(crate) async fn run(field: &Field, recorder: &Recorder, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    let log = recorder.process(ClientKind::Harness);
    let client = field.client()?;
    for topic in field.topics() {
        for index in topic.indexes() {
            append_one(field, &topic, index, deadline).await?;
            while !read_whole(&client, &log, &topic, index, deadline).await
                && Instant::now() < deadline
            {
                sleep(PAUSE).await;
            }
        }
    }
    Ok(())
}

async fn read_whole(
    client: &Client,
    log: &ProcessLog,
    topic: &LoadedTopic,
    index: PartitionIndex,
    deadline: Instant,
) -> bool {
    let invoked_at = log.now();
    let reading = timeout_at(deadline, fetch_all(client, topic, index)).await;
    let (node, stored) = match reading {
        Ok(Ok((node, stored))) => (node, Ok(stored)),
        Ok(Err(error)) => (0, Err(error.to_string())),
        Err(_) => (0, Err("it was not read in time".to_owned())),
    };
    let request = FinalRead {
        node: NodeNumber::new(node),
        partition: topic.partition(index),
    };
    let pending = log.begin_at(invoked_at, request);
    match stored {
        Ok(stored) => {
            pending.ok(stored);
            true
        }
        Err(reason) => {
            pending.failed(&reason);
            false
        }
    }
}

/// The whole log, and the node that leads it.
async fn fetch_all(
    client: &Client,
    topic: &LoadedTopic,
    index: PartitionIndex,
) -> Result<(u32, StoredLog), ClientError> {
    let described = client.admin().describe_topic(&topic.name).await?;
    let mut partitions = described.partitions.into_iter();
    let leader = partitions
        .find(|partition| partition.index == index)
        .and_then(|partition| partition.leader);
    let node = leader.map_or(0, |leader| u32::try_from(leader.node.get()).unwrap_or(0));
    let mut records: Vec<SeenRecord> = Vec::new();
    let mut start = OffsetSpec::Earliest;
    let mut log_start = None;
    loop {
        let mut options = FetchOptions::new(topic.name.clone(), index, start);
        (options.records_max, options.bytes_max) = (FETCH_RECORDS, FETCH_BYTES);
        let fetched = client.fetch(options).await?;
        log_start.get_or_insert(fetched.log_start);
        records.extend(fetched.records.iter().map(seen_record));
        if fetched.next >= fetched.high_watermark {
            let log_start = log_start.unwrap_or(fetched.log_start);
            let stored = StoredLog {
                log_start: Offset::new(log_start.get()),
                high_watermark: Offset::new(fetched.high_watermark.get()),
                records,
            };
            return Ok((node, stored));
        }
        start = OffsetSpec::Offset(fetched.next);
    }
}
