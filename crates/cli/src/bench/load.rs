//! One client that writes: a window of records on their way, at a rate or as fast as it goes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flotilla_client::{ClientError, ProducerRecord, TopicName};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::latencies::Latencies;
use super::payloads::Payloads;
use crate::pace::Pace;
use crate::records::Sink;

/// The part of the load that one client takes.
pub(super) struct LoadClient<S> {
    pub(super) sink: S,
    pub(super) topic: TopicName,
    pub(super) payloads: Payloads,
    /// Ordinals of the records that this client sends, in the timetable of all.
    pub(super) ordinals: std::iter::StepBy<std::ops::Range<u64>>,
    pub(super) window: usize,
    /// `None` for a closed loop.
    pub(super) pace: Option<Pace>,
    pub(super) stop: CancellationToken,
    /// For progress, of all clients.
    pub(super) acknowledged: Arc<AtomicU64>,
}

/// What one client measured.
pub(super) struct Load {
    pub(super) acknowledged: u64,
    pub(super) bytes: u64,
    pub(super) failed: u64,
    pub(super) first_error: Option<ClientError>,
    pub(super) latencies: Latencies,
    /// How late records were sent. Empty in a closed loop.
    pub(super) lateness: Latencies,
    pub(super) last_acknowledged_at: Option<Instant>,
}

/// The fate of one record.
struct Settled {
    since: Instant,
    at: Instant,
    bytes: u64,
    result: Result<(), ClientError>,
}

type InFlight = FuturesUnordered<BoxFuture<'static, Settled>>;

impl<S: Sink> LoadClient<S>
where
    S::Delivery: 'static,
{
    /// Sends until all is sent, until it is told to stop or until a record fails. Then it waits for
    /// what is on its way.
    pub(super) async fn run(mut self) -> Load {
        let mut load = Load::new();
        let mut in_flight = InFlight::new();
        while let Some(ordinal) = self.next_ordinal(&load) {
            if in_flight.len() >= self.window {
                self.settle_some(&mut in_flight, &mut load).await;
            }
            let since = match self.pace {
                Some(pace) => {
                    let due = pace.due(ordinal);
                    self.settle_until(due, &mut in_flight, &mut load).await;
                    if self.stop.is_cancelled() {
                        break;
                    }
                    load.lateness.note(due.elapsed());
                    due
                }
                None => Instant::now(),
            };
            self.send(since, &mut in_flight, &mut load).await;
        }
        while !in_flight.is_empty() {
            self.settle_some(&mut in_flight, &mut load).await;
        }
        load
    }

    fn next_ordinal(&mut self, load: &Load) -> Option<u64> {
        if self.stop.is_cancelled() || load.failed > 0 {
            return None;
        }
        self.ordinals.next()
    }

    /// Hands a record over, and goes on taking acknowledgements while the producer has no room.
    async fn send(&mut self, since: Instant, in_flight: &mut InFlight, load: &mut Load) {
        let value = self.payloads.next();
        let bytes = value.len() as u64;
        let record = ProducerRecord::new(self.topic.clone(), value);
        let sent = {
            let mut sending = pin!(self.sink.send(record));
            loop {
                tokio::select! {
                    biased;
                    sent = &mut sending => break sent,
                    Some(settled) = in_flight.next() => self.on_settled(settled, load),
                }
            }
        };
        match sent {
            Ok(delivery) => in_flight.push(
                async move {
                    let result = delivery.await.map(|_| ());
                    let at = Instant::now();
                    Settled {
                        since,
                        at,
                        bytes,
                        result,
                    }
                }
                .boxed(),
            ),
            Err(error) => load.on_failed(error),
        }
    }

    /// Waits for at least one acknowledgement and takes all that are there, so that each is noted
    /// when it came and not when there was time.
    async fn settle_some(&self, in_flight: &mut InFlight, load: &mut Load) {
        let mut settled = in_flight.next().await;
        while let Some(record) = settled {
            self.on_settled(record, load);
            settled = in_flight.next().now_or_never().flatten();
        }
    }

    async fn settle_until(&self, due: Instant, in_flight: &mut InFlight, load: &mut Load) {
        let mut due = pin!(sleep_until(due));
        loop {
            tokio::select! {
                biased;
                Some(settled) = in_flight.next() => self.on_settled(settled, load),
                () = &mut due => return,
                () = self.stop.cancelled() => return,
            }
        }
    }

    fn on_settled(&self, settled: Settled, load: &mut Load) {
        match settled.result {
            Ok(()) => {
                load.acknowledged += 1;
                load.bytes += settled.bytes;
                load.latencies.note(settled.at - settled.since);
                load.last_acknowledged_at = Some(settled.at);
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => load.on_failed(error),
        }
    }
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            acknowledged: 0,
            bytes: 0,
            failed: 0,
            first_error: None,
            latencies: Latencies::new(),
            lateness: Latencies::new(),
            last_acknowledged_at: None,
        }
    }

    /// Takes in what another client measured.
    pub(super) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.bytes += other.bytes;
        self.failed += other.failed;
        self.first_error = self.first_error.take().or(other.first_error);
        self.latencies.add(&other.latencies);
        self.lateness.add(&other.lateness);
        self.last_acknowledged_at = self.last_acknowledged_at.max(other.last_acknowledged_at);
    }

    fn on_failed(&mut self, error: ClientError) {
        self.failed += 1;
        self.first_error.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::records::FakeSink;
    use crate::values::parse_rate;

    fn client(sink: &FakeSink, records: u64, pace: Option<Pace>) -> LoadClient<FakeSink> {
        LoadClient {
            sink: sink.clone(),
            topic: TopicName::parse("orders").unwrap(),
            payloads: Payloads::new(1, 100),
            ordinals: (0..records).step_by(1),
            window: 7,
            pace,
            stop: CancellationToken::new(),
            acknowledged: Arc::default(),
        }
    }

    #[tokio::test]
    async fn every_record_is_sent_acknowledged_and_measured() {
        let sink = FakeSink::default();
        let client = client(&sink, 100, None);
        let acknowledged = Arc::clone(&client.acknowledged);
        let load = client.run().await;
        assert_eq!(
            (load.acknowledged, load.bytes, load.failed),
            (100, 10_000, 0)
        );
        assert_eq!(acknowledged.load(Ordering::Relaxed), 100);
        assert_eq!(sink.taken().len(), 100);
        assert!(load.latencies.percentiles().is_some());
        assert!(load.lateness.percentiles().is_none());
    }

    #[tokio::test]
    async fn a_late_start_counts_as_latency_of_every_record_that_was_due() {
        let started = Instant::now() - Duration::from_secs(1);
        let pace = Pace::new(started, parse_rate("10").unwrap());
        let load = client(&FakeSink::default(), 5, Some(pace)).run().await;
        // The last of five was due 400 ms after the start.
        let latency = load.latencies.percentiles().unwrap();
        assert!(latency.p50 >= 600.0 && latency.max >= 1_000.0);
        let lateness = load.lateness.percentiles().unwrap();
        assert!(lateness.max >= 1_000.0);
    }

    #[tokio::test]
    async fn a_client_that_is_stopped_sends_no_more() {
        let sink = FakeSink::default();
        let client = client(&sink, u64::MAX, None);
        client.stop.cancel();
        assert_eq!(client.run().await.acknowledged, 0);
        assert!(sink.taken().is_empty());
    }
}
