//! The load: one loop for every system, so that all are driven alike.
//!
//! ```text
//!   fill the window ─► flush ─► wait for acknowledgements ─┐
//!        ▲                                                 │ each one frees a place
//!        └─────────────────────────────────────────────────┘
//! ```
//!
//! It runs in one task of its own, beside the client's. Values are made beforehand.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::payloads::Payloads;
use crate::summary::quantile_of_sorted;

/// Different values that take turns.
const VALUE_COUNT: usize = 4_096;
/// A system that acknowledges nothing, or gives nothing, for so long has failed.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// Writes to one log: a topic, a stream or a queue.
pub(super) trait Writer: Send + 'static {
    /// Takes a record. It may keep it until [`Self::flush`], to send it together with others. Records
    /// are numbered in the order of these calls, from 0 on.
    fn send(&mut self, value: &Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Sends whatever was kept.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Waits for at least one acknowledgement, and adds the numbers of all records whose
    /// acknowledgement is here.
    fn acknowledged(&mut self, numbers: &mut Vec<u64>) -> impl Future<Output = Result<()>> + Send;
}

/// Reads one log from its start.
pub(super) trait Reader: Send + 'static {
    /// Waits for at least one record, and takes all that are here.
    fn read(&mut self) -> impl Future<Output = Result<Volume>> + Send;
}

/// Records, and the bytes of their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Volume {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// What to write, and for how long.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct WriteLoad {
    pub(super) record_bytes: usize,
    /// Records on their way at a time.
    pub(super) window: usize,
    /// Before the measurement begins.
    pub(super) warm_up: Duration,
    pub(super) until: Until,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Until {
    /// Since the end of the warm-up.
    Elapsed(Duration),
    /// Altogether.
    Records(u64),
}

/// What came of it, without the warm-up.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Written {
    pub(super) volume: Volume,
    pub(super) seconds: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// What was read, again and again from the start.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Replayed {
    pub(super) volume: Volume,
    pub(super) seconds: f64,
}

impl Written {
    pub(super) fn records_per_second(&self) -> f64 {
        self.volume.records as f64 / self.seconds
    }
}

impl Replayed {
    pub(super) fn mb_per_second(&self) -> f64 {
        self.volume.bytes as f64 / self.seconds / 1e6
    }
}

impl std::ops::AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// Writes with a window that is always full.
pub(super) async fn write(writer: impl Writer, load: WriteLoad) -> Result<Written> {
    let values = Payloads::new(1, load.record_bytes).pool(VALUE_COUNT);
    // A task of its own is woken by the thread that reads the sockets, and not across threads as
    // the main task would be.
    tokio::spawn(Writing::begin(load).run(writer, values)).await?
}

/// Reads `expected` and ends.
pub(super) async fn read(mut reader: impl Reader, expected: u64) -> Result<Replayed> {
    let reading = async move {
        let begun = Instant::now();
        let mut volume = Volume::default();
        while volume.records < expected {
            volume += timeout(SILENCE_LIMIT, reader.read()).await??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(
            volume.records == expected,
            "{} records came instead of {expected}",
            volume.records
        );
        Ok(Replayed { volume, seconds })
    };
    tokio::spawn(reading).await?
}

struct Writing {
    load: WriteLoad,
    begun: Instant,
    /// Of the records that are not settled, and of settled ones behind the first of them.
    sent_at: VecDeque<Option<Instant>>,
    /// The number of the first one in `sent_at`.
    first: u64,
    open: usize,
    measured: Volume,
    measured_since: Option<Instant>,
    last_at: Instant,
    latencies_us: Vec<u64>,
}

impl Writing {
    fn begin(load: WriteLoad) -> Self {
        let now = Instant::now();
        Self {
            load,
            begun: now,
            sent_at: VecDeque::with_capacity(2 * load.window),
            first: 0,
            open: 0,
            measured: Volume::default(),
            measured_since: None,
            last_at: now,
            latencies_us: Vec::with_capacity(1 << 20),
        }
    }

    async fn run(mut self, mut writer: impl Writer, values: Vec<Bytes>) -> Result<Written> {
        let mut values = values.iter().cycle();
        let mut numbers = Vec::with_capacity(self.load.window);
        loop {
            while self.open < self.load.window {
                let now = Instant::now();
                if !self.wants_more(now) {
                    break;
                }
                self.sent_at.push_back(Some(now));
                self.open += 1;
                let value = values.next().expect("a cycle has no end");
                writer.send(value).await?;
            }
            if self.open == 0 {
                return self.finish();
            }
            writer.flush().await?;
            timeout(SILENCE_LIMIT, writer.acknowledged(&mut numbers)).await??;
            let now = Instant::now();
            for number in numbers.drain(..) {
                self.on_acknowledged(number, now)?;
            }
            while let Some(None) = self.sent_at.front() {
                self.sent_at.pop_front();
                self.first += 1;
            }
        }
    }

    fn wants_more(&self, now: Instant) -> bool {
        match self.load.until {
            Until::Elapsed(time) => now < self.begun + self.load.warm_up + time,
            Until::Records(count) => self.first + (self.sent_at.len() as u64) < count,
        }
    }

    fn on_acknowledged(&mut self, number: u64, now: Instant) -> Result<()> {
        let position = number.checked_sub(self.first).map(|at| at as usize);
        let sent_at = position.and_then(|at| self.sent_at.get_mut(at)?.take());
        let Some(sent_at) = sent_at else {
            anyhow::bail!("record {number} was acknowledged twice, or before it was sent");
        };
        self.open -= 1;
        let since = *self
            .measured_since
            .get_or_insert_with(|| match self.load.warm_up {
                Duration::ZERO => self.begun,
                warm_up => self.begun + warm_up,
            });
        if now >= since {
            self.measured.records += 1;
            self.measured.bytes += self.load.record_bytes as u64;
            self.last_at = now;
            let latency = now.duration_since(sent_at).as_micros();
            self.latencies_us.push(u64::try_from(latency)?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Written> {
        ensure!(
            self.measured.records > 0,
            "nothing was acknowledged in time"
        );
        let since = self.measured_since.unwrap_or(self.begun);
        self.latencies_us.sort_unstable();
        let quantile = |share| quantile_of_sorted(&self.latencies_us, share).unwrap_or_default();
        Ok(Written {
            volume: self.measured,
            seconds: (self.last_at - since).as_secs_f64(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acknowledges every second record first.
    #[derive(Default)]
    struct Odd {
        next: u64,
        open: Vec<u64>,
        open_max: usize,
    }

    impl Writer for Odd {
        async fn send(&mut self, _: &Bytes) -> Result<()> {
            self.open.push(self.next);
            self.next += 1;
            self.open_max = self.open_max.max(self.open.len());
            assert!(self.open_max <= 7);
            Ok(())
        }

        async fn flush(&mut self) -> Result<()> {
            Ok(())
        }

        async fn acknowledged(&mut self, numbers: &mut Vec<u64>) -> Result<()> {
            let odd = self.open.iter().position(|number| number % 2 == 1);
            numbers.push(self.open.remove(odd.unwrap_or(0)));
            Ok(())
        }
    }

    fn load(until: Until) -> WriteLoad {
        WriteLoad {
            record_bytes: 100,
            window: 7,
            warm_up: Duration::ZERO,
            until,
        }
    }

    #[tokio::test]
    async fn every_record_is_counted_in_whatever_order_they_are_acknowledged() {
        let written = write(Odd::default(), load(Until::Records(100)))
            .await
            .unwrap();
        let volume = Volume {
            records: 100,
            bytes: 10_000,
        };
        assert_eq!(written.volume, volume);
    }

    #[tokio::test]
    async fn an_acknowledgement_that_comes_twice_is_an_error() {
        let mut writing = Writing::begin(load(Until::Records(2)));
        writing.sent_at.push_back(Some(Instant::now()));
        writing.open = 1;
        let now = Instant::now();
        writing.on_acknowledged(0, now).unwrap();
        assert!(writing.on_acknowledged(0, now).is_err());
        assert!(writing.on_acknowledged(1, now).is_err());
    }

    #[tokio::test]
    async fn records_too_many_are_an_error() {
        struct Threes;
        impl Reader for Threes {
            async fn read(&mut self) -> Result<Volume> {
                Ok(Volume {
                    records: 3,
                    bytes: 30,
                })
            }
        }
        assert_eq!(read(Threes, 6).await.unwrap().volume.bytes, 60);
        assert!(read(Threes, 7).await.is_err());
    }
}
