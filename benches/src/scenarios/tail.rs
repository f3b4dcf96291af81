//! How long a record takes to a consumer at the tail, alone and while another consumer replays.
//!
//! ```text
//!   producer ─► records at a fixed rate, each with the time when it was due ─► consumer at the tail
//!   `flotilla bench consume`, a process of its own ─► what was stored before, from the first record on
//! ```
//!
//! All of it is in one partition, so both consumers are served by the same node. A record's time counts
//! from when it was due, so no stall is left out.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use flotilla_client::{
    Client, Consumer, ConsumerConfig, NewTopic, OffsetSpec, PartitionIndex, Producer,
    ProducerConfig, ProducerRecord, TopicName,
};
use flotilla_tests::cluster::{Cluster, flotilla_binary};
use flotilla_tests::phase::phase;
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Context;
use crate::arguments::TailArgs;
use crate::payloads::Payloads;
use crate::report::{Figure, Judged, Report};
use crate::scratch::settle_disk;
use crate::summary::{Summary, quantile_of_sorted};

const RECORD_BYTES: usize = 1_024;
const RUN_TIME: Duration = Duration::from_secs(15);
const RUN_TIME_QUICK: Duration = Duration::from_secs(3);
/// A consumer that gets nothing for so long has failed.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// When a record was due, at the front of its value: microseconds since the run began.
const DUE_BYTES: usize = size_of::<u64>();
const RATIO_MUST: f64 = 3.0;
const PARTITION: PartitionIndex = PartitionIndex::new(0);

pub(super) async fn run(context: &Context, args: &TailArgs) -> Result<Report> {
    let pair_count = context.common.or(args.pairs, 5, 1);
    let megabytes = context.common.or(args.megabytes, 2_000, 200);
    let rate = context.common.or(args.rate, 1_000, 1_000);
    context.scratch.ensure_room(5 * megabytes * 1_000_000)?;
    let mut report = context.begin("tail").await?;
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = TopicName::parse("tail")?;
    let new = NewTopic::new(topic.clone()).partitions(1);
    let admin = client.admin();
    admin.create_topic(new.replication_factor(3)).await?;
    let stored = megabytes * 1_000_000 / RECORD_BYTES as u64;
    store(&client, &topic, stored).await?;
    phase(format_args!("tail: stored {stored} records"));
    let bench = Tail {
        period: Duration::from_secs(1) / rate,
        time: context.common.or(None, RUN_TIME, RUN_TIME_QUICK),
        bootstrap: cluster.bootstrap_argument(),
        client,
        topic,
        stored,
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for pair in 0..pair_count {
        let mut order = [Beside::Nobody, Beside::Replay];
        if pair % 2 == 1 {
            order.reverse();
        }
        for who in order {
            settle_disk();
            let reading = bench.measure(who).await?;
            phase(format_args!("tail: pair {}: {reading}", pair + 1));
            report.detail(&reading)?;
            match who {
                Beside::Nobody => alone.push(reading),
                Beside::Replay => beside.push(reading),
            }
        }
    }
    report.figures = figures(&alone, &beside);
    report.notes.push(format!(
        "{rate} records per second of {RECORD_BYTES} bytes to one partition with three replicas, each \
         measured from when it was due until the consumer has it; the other consumer replays \
         {megabytes} MB of the same partition, again and again; the goal is three times the latency \
         alone, or 20 ms more, whatever is larger"
    ));
    Ok(report)
}

async fn store(client: &Client, topic: &TopicName, count: u64) -> Result<()> {
    let producer = client.producer(ProducerConfig::default())?;
    let values = Payloads::new(1, RECORD_BYTES).pool(4_096);
    for value in values.iter().cycle().take(usize::try_from(count)?) {
        // `flush` tells of the first record that failed.
        drop(
            producer
                .send(ProducerRecord::new(topic.clone(), value.clone()))
                .await?,
        );
    }
    producer.flush().await?;
    producer.close().await?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Beside {
    Nobody,
    Replay,
}

struct Tail {
    client: Client,
    topic: TopicName,
    bootstrap: String,
    stored: u64,
    period: Duration,
    time: Duration,
}

/// One run.
#[derive(Debug, Serialize)]
struct Reading {
    beside: Beside,
    records: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of the other consumer, which may have begun again.
    replays: usize,
}

impl Tail {
    async fn measure(&self, beside: Beside) -> Result<Reading> {
        let mut consumer = self.client.consumer(ConsumerConfig::default())?;
        consumer.assign(&self.topic, PARTITION, OffsetSpec::Latest);
        let producer = self.client.producer(ProducerConfig::default())?;
        let begun = Instant::now();
        let stop = CancellationToken::new();
        let feed = Feed {
            producer: producer.clone(),
            topic: self.topic.clone(),
            period: self.period,
            begun,
            stop: stop.clone(),
        };
        let feeding = AbortOnDropHandle::new(tokio::spawn(feed.run()));
        // What was sent before the consumer knew where the tail is does not reach it.
        take(&mut consumer, begun).await?;
        let mut replay = match beside {
            Beside::Nobody => None,
            Beside::Replay => Some(self.replay()?),
        };
        let (mut micros, mut replays) = (Vec::new(), 0);
        let end = Instant::now() + self.time;
        while Instant::now() < end {
            micros.extend(take(&mut consumer, begun).await?);
            let ended = replay
                .as_mut()
                .and_then(|replay| replay.try_wait().transpose());
            if let Some(status) = ended {
                ensure!(status?.success(), "the other consumer failed");
                replays += 1;
                replay = Some(self.replay()?);
            }
        }
        if let Some(replay) = &mut replay {
            replay.kill().await?;
        }
        stop.cancel();
        feeding.await??;
        producer.close().await?;
        micros.sort_unstable();
        let at = |share| quantile_of_sorted(&micros, share).map(|micros| micros as f64 / 1e3);
        Ok(Reading {
            beside,
            records: micros.len(),
            p50_ms: at(0.5).context("records came")?,
            p99_ms: at(0.99).context("records came")?,
            max_ms: at(1.0).context("records came")?,
            replays,
        })
    }

    fn replay(&self) -> Result<Child> {
        let mut command = Command::new(flotilla_binary());
        let records = format!("--records={}", self.stored);
        let topic = format!("--topic={}", self.topic);
        command.args([
            "bench",
            "consume",
            &self.bootstrap,
            "-o=json",
            &topic,
            &records,
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command.stderr(Stdio::null()).kill_on_drop(true).spawn()?)
    }
}

struct Feed {
    producer: Producer,
    topic: TopicName,
    period: Duration,
    begun: Instant,
    stop: CancellationToken,
}

impl Feed {
    /// Sends at the fixed rate, whatever happens.
    async fn run(self) -> Result<()> {
        let mut payloads = Payloads::new(2, RECORD_BYTES);
        let mut ticks = interval_at(self.begun, self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            let due = tokio::select! {
                () = self.stop.cancelled() => break,
                due = ticks.tick() => due,
            };
            let mut value = payloads.make().to_vec();
            let micros = u64::try_from((due - self.begun).as_micros())?;
            value[..DUE_BYTES].copy_from_slice(&micros.to_be_bytes());
            let record = ProducerRecord::new(self.topic.clone(), Bytes::from(value));
            // `flush` tells of the first record that failed.
            drop(self.producer.send(record.partition(PARTITION)).await?);
        }
        self.producer.flush().await?;
        Ok(())
    }
}

/// Waits for records, and says how long after its due time each one came, in microseconds.
async fn take(consumer: &mut Consumer, begun: Instant) -> Result<Vec<u64>> {
    let polled = timeout(SILENCE_LIMIT, consumer.poll(1_000)).await;
    let records = polled.context("nothing comes to the tail")??;
    let now = u64::try_from(begun.elapsed().as_micros())?;
    let lateness = records.iter().map(|record| {
        let value = record.value.as_deref().unwrap_or_default();
        let due = value
            .first_chunk::<DUE_BYTES>()
            .context("a strange record")?;
        Ok(now.saturating_sub(u64::from_be_bytes(*due)))
    });
    lateness.collect()
}

impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let who = match self.beside {
            Beside::Nobody => "alone".to_owned(),
            Beside::Replay => format!("beside a replay, which ended {} times", self.replays),
        };
        write!(
            f,
            "{who}: {} records, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            self.records, self.p50_ms, self.p99_ms, self.max_ms
        )
    }
}

fn figures(alone: &[Reading], beside: &[Reading]) -> Vec<Figure> {
    let figure = |name: &str, unit, readings: &[Reading], read: fn(&Reading) -> f64| {
        Figure::new(name, unit, readings.iter().map(read).collect())
    };
    let p99 = |reading: &Reading| reading.p99_ms;
    let ratios = beside
        .iter()
        .zip(alone)
        .map(|(beside, alone)| beside.p99_ms / alone.p99_ms);
    let usual = Summary::of(&alone.iter().map(p99).collect::<Vec<_>>());
    let must = usual.map_or(RATIO_MUST, |usual| ratio_allowed(usual.median));
    vec![
        Figure::new("tail.p99_ratio", "beside/alone", ratios.collect()).judged(
            Judged::Median,
            must,
            1.3,
        ),
        figure("tail.p99_beside", "ms", beside, p99),
        figure("tail.p99_alone", "ms", alone, p99),
        figure("tail.p50_beside", "ms", beside, |reading| reading.p50_ms),
        figure("tail.p50_alone", "ms", alone, |reading| reading.p50_ms),
        figure("tail.replays", "", beside, |reading| reading.replays as f64),
    ]
}

/// How many times as long a p99 may become: three times, or 20 ms longer, whatever is more.
pub(super) fn ratio_allowed(alone_ms: f64) -> f64 {
    const MORE_MS: f64 = 20.0;
    RATIO_MUST.max((alone_ms + MORE_MS) / alone_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_latency_may_grow_by_more_than_three_times() {
        assert_eq!(ratio_allowed(2.0), 11.0);
        assert_eq!(ratio_allowed(100.0), 3.0);
    }
}
