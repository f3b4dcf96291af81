//! Runs in turns: ours and theirs, theirs and ours, and each begins when both clusters are at rest.

use std::time::Duration;

use anyhow::Result;
use flotilla_tests::phase::phase;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::generator::{Replayed, Until, Volume, WriteLoad, read, write};
use super::rows::{Comparison, Row, System};
use super::servers::families;
use super::{Peer, Replayable};
use crate::machine::busy_seconds;
use crate::process::Process;
use crate::report::Better;
use crate::scratch::settle_disk;

/// Cores that both clusters together may use at rest. JetStream and RabbitMQ are never quite idle.
const REST_CORES: f64 = 0.2;
const REST_TIME: Duration = Duration::from_millis(500);
/// What still works by then works for good.
const REST_LIMIT: Duration = Duration::from_secs(30);

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) pair_count: usize,
    pub(super) warm_up: Duration,
    /// Of one run, without the warm-up.
    pub(super) time: Duration,
    pub(super) replayed_records: u64,
}

/// One run of one system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reading {
    pub(super) row: Row,
    pub(super) system: System,
    /// Whom it took turns with.
    pub(super) beside: System,
    pub(super) pair: usize,
    /// In the unit of the row.
    pub(super) value: f64,
    pub(super) seconds: f64,
    pub(super) records: u64,
    pub(super) latency_p50_ms: Option<f64>,
    pub(super) latency_p99_ms: Option<f64>,
    pub(super) cores: Cores,
    /// False: one of the clusters was still at work when the run began.
    pub(super) was_at_rest: bool,
}

/// Who used the processor during a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Cores {
    pub(super) system: f64,
    /// The cluster whose turn it was not.
    pub(super) other: f64,
    pub(super) generator: f64,
    /// The rest of the machine: the kernel's own threads, and whoever else there was.
    pub(super) elsewhere: f64,
}

/// Both clusters, and what has been read.
pub(super) struct Turns<'a, A, B> {
    pub(super) ours: &'a A,
    pub(super) theirs: &'a B,
    pub(super) comparison: Comparison,
    pub(super) sizes: Sizes,
    pub(super) readings: &'a mut Vec<Reading>,
}

impl<A: Peer, B: Peer> Turns<'_, A, B> {
    /// Each run has a log of its own.
    pub(super) async fn produce(&mut self) -> Result<()> {
        for pair in 0..self.sizes.pair_count {
            if pair % 2 == 0 {
                self.produce_on(System::Flotilla, self.ours, pair).await?;
                self.produce_on(self.comparison.peer, self.theirs, pair)
                    .await?;
            } else {
                self.produce_on(self.comparison.peer, self.theirs, pair)
                    .await?;
                self.produce_on(System::Flotilla, self.ours, pair).await?;
            }
        }
        Ok(())
    }

    async fn produce_on<P: Peer>(&mut self, system: System, peer: &P, pair: usize) -> Result<()> {
        let row = self.comparison.row;
        let log = self.log_name(system, pair);
        peer.create(&log).await?;
        let was_at_rest = self.rest().await?;
        let writer = peer.writer(&log).await?;
        let load = WriteLoad {
            record_bytes: row.record_bytes(),
            window: row.window(),
            warm_up: self.sizes.warm_up,
            until: Until::Elapsed(self.sizes.time),
        };
        let watch = self.watch()?;
        let written = write(writer, load).await?;
        let cores = watch.end(system)?;
        peer.delete(&log).await?;
        let milliseconds = |us| us as f64 / 1e3;
        self.note(Reading {
            row,
            system,
            beside: self.beside(system),
            pair,
            value: match row {
                Row::OneAtATime => milliseconds(written.p50_us),
                _ => written.records_per_second(),
            },
            seconds: written.seconds,
            records: written.volume.records,
            latency_p50_ms: Some(milliseconds(written.p50_us)),
            latency_p99_ms: Some(milliseconds(written.p99_us)),
            cores,
            was_at_rest,
        });
        Ok(())
    }

    /// What a log is called: with nothing that means something to a system.
    fn log_name(&self, system: System, pair: usize) -> String {
        let Comparison { row, peer, .. } = self.comparison;
        format!("{}-{}-{}-{pair}", row.name(), peer.name(), system.name())
    }

    fn beside(&self, system: System) -> System {
        match system {
            System::Flotilla => self.comparison.peer,
            _ => System::Flotilla,
        }
    }

    fn note(&mut self, reading: Reading) {
        phase(format_args!("compare: {reading}"));
        self.readings.push(reading);
    }

    /// Waits until everything is on the disk and both clusters have done what they put off.
    async fn rest(&self) -> Result<bool> {
        settle_disk();
        let begun = Instant::now();
        loop {
            let watch = self.watch()?;
            // How busy a process is can only be had from two looks.
            sleep(REST_TIME).await;
            let cores = watch.end(System::Flotilla)?;
            if cores.system + cores.other <= REST_CORES {
                return Ok(true);
            }
            if begun.elapsed() > REST_LIMIT {
                return Ok(false);
            }
        }
    }

    fn watch(&self) -> Result<Watch> {
        Watch::begin(self.ours.processes(), self.theirs.processes())
    }
}

impl<A: Replayable, B: Replayable> Turns<'_, A, B> {
    /// Both logs are written once, read once as a warm-up, and then again and again.
    pub(super) async fn replay(&mut self) -> Result<()> {
        let ours = self.log_name(System::Flotilla, 0);
        let theirs = self.log_name(self.comparison.peer, 0);
        self.fill(self.ours, &ours).await?;
        self.fill(self.theirs, &theirs).await?;
        for pair in 0..self.sizes.pair_count {
            if pair % 2 == 0 {
                self.replay_on((System::Flotilla, self.ours), &ours, pair)
                    .await?;
                self.replay_on((self.comparison.peer, self.theirs), &theirs, pair)
                    .await?;
            } else {
                self.replay_on((self.comparison.peer, self.theirs), &theirs, pair)
                    .await?;
                self.replay_on((System::Flotilla, self.ours), &ours, pair)
                    .await?;
            }
        }
        self.ours.delete(&ours).await?;
        self.theirs.delete(&theirs).await
    }

    async fn fill<P: Replayable>(&self, peer: &P, log: &str) -> Result<()> {
        peer.create(log).await?;
        let load = WriteLoad {
            record_bytes: self.comparison.row.record_bytes(),
            window: self.comparison.row.window(),
            warm_up: Duration::ZERO,
            until: Until::Records(self.sizes.replayed_records),
        };
        write(peer.writer(log).await?, load).await?;
        self.rest().await?;
        let replayed = read(peer.reader(log).await?, self.sizes.replayed_records).await?;
        phase(format_args!(
            "compare: {log} for the first time: {:.0} MB/s",
            replayed.mb_per_second()
        ));
        Ok(())
    }

    /// Reads whole logs until the time is over.
    async fn replay_on<P: Replayable>(
        &mut self,
        (system, peer): (System, &P),
        log: &str,
        pair: usize,
    ) -> Result<()> {
        let was_at_rest = self.rest().await?;
        let mut total = Replayed {
            volume: Volume::default(),
            seconds: 0.0,
        };
        let watch = self.watch()?;
        while total.seconds < self.sizes.time.as_secs_f64() {
            let reader = peer.reader(log).await?;
            let replayed = read(reader, self.sizes.replayed_records).await?;
            total.volume += replayed.volume;
            total.seconds += replayed.seconds;
        }
        let cores = watch.end(system)?;
        self.note(Reading {
            row: self.comparison.row,
            system,
            beside: self.beside(system),
            pair,
            value: total.mb_per_second(),
            seconds: total.seconds,
            records: total.volume.records,
            latency_p50_ms: None,
            latency_p99_ms: None,
            cores,
            was_at_rest,
        });
        Ok(())
    }
}

/// Ours to theirs, pair by pair.
pub(super) fn ratios(readings: &[Reading], comparison: &Comparison) -> Vec<f64> {
    let value = |system, beside, pair| {
        let mut readings = readings.iter();
        let reading = readings.find(|reading| {
            reading.row == comparison.row
                && (reading.system, reading.beside, reading.pair) == (system, beside, pair)
        });
        reading.map(|reading| reading.value)
    };
    let pairs = 0..readings.len();
    let ratio = |pair| {
        let ours = value(System::Flotilla, comparison.peer, pair)?;
        Some(ours / value(comparison.peer, System::Flotilla, pair)?)
    };
    pairs.map_while(ratio).collect()
}

impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { row, value, .. } = self;
        let digits = match row.better() {
            Better::Lower => 3,
            Better::Higher => 0,
        };
        write!(
            f,
            "{}, pair {}: {}: {value:.digits$} {}",
            row.name(),
            self.pair + 1,
            self.system.label(),
            row.unit(),
        )?;
        if let (Some(p50), Some(p99)) = (self.latency_p50_ms, self.latency_p99_ms) {
            write!(f, ", p50 {p50:.2} ms, p99 {p99:.2} ms")?;
        }
        let Cores {
            system,
            other,
            generator,
            elsewhere,
        } = self.cores;
        write!(
            f,
            "; cores: {system:.2}, generator {generator:.2}, other cluster {other:.2}, elsewhere {elsewhere:.2}"
        )?;
        match self.was_at_rest {
            true => Ok(()),
            false => write!(f, "; NOT at rest before"),
        }
    }
}

/// Who has used how much processor time so far.
struct Watch {
    begun: Instant,
    ours: Vec<u32>,
    theirs: Vec<u32>,
    at_first: Used,
}

#[derive(Clone, Copy)]
struct Used {
    ours: f64,
    theirs: f64,
    generator: f64,
    machine: f64,
}

impl Watch {
    fn begin(ours: Vec<u32>, theirs: Vec<u32>) -> Result<Self> {
        let at_first = Used::so_far(&ours, &theirs)?;
        Ok(Self {
            begun: Instant::now(),
            ours,
            theirs,
            at_first,
        })
    }

    /// From the point of view of `system`, which is ours or the other.
    fn end(self, system: System) -> Result<Cores> {
        let now = Used::so_far(&self.ours, &self.theirs)?;
        let seconds = self.begun.elapsed().as_secs_f64();
        let cores = |read: fn(&Used) -> f64| (read(&now) - read(&self.at_first)) / seconds;
        let (ours, theirs) = (cores(|used| used.ours), cores(|used| used.theirs));
        let generator = cores(|used| used.generator);
        let (system, other) = match system {
            System::Flotilla => (ours, theirs),
            _ => (theirs, ours),
        };
        let elsewhere = cores(|used| used.machine) - ours - theirs - generator;
        Ok(Cores {
            system,
            other,
            generator,
            elsewhere: elsewhere.max(0.0),
        })
    }
}

impl Used {
    fn so_far(ours: &[u32], theirs: &[u32]) -> Result<Self> {
        let used = |roots: &[u32]| {
            let processes = families(roots).into_iter();
            // Small ones come and go.
            let times = processes.filter_map(|process| Process::Other(process).cpu().ok());
            times.map(|time| time.total()).sum()
        };
        Ok(Self {
            ours: used(ours),
            theirs: used(theirs),
            generator: Process::Own.cpu()?.total(),
            machine: busy_seconds()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(system: System, beside: System, (pair, value): (usize, f64)) -> Reading {
        Reading {
            row: Row::Produce1KiB,
            system,
            beside,
            pair,
            value,
            seconds: 1.0,
            records: 1,
            latency_p50_ms: None,
            latency_p99_ms: None,
            cores: Cores {
                system: 1.0,
                other: 0.0,
                generator: 0.5,
                elsewhere: 0.0,
            },
            was_at_rest: true,
        }
    }

    #[test]
    fn ratios_are_those_of_pairs() {
        let (us, them) = (System::Flotilla, System::Streams);
        let readings = [
            reading(us, System::JetStream, (0, 99.0)),
            reading(us, them, (0, 6.0)),
            reading(them, us, (0, 3.0)),
            reading(them, us, (1, 4.0)),
            reading(us, them, (1, 2.0)),
            reading(us, them, (2, 2.0)),
        ];
        let comparison = Comparison {
            row: Row::Produce1KiB,
            peer: them,
            must: 1.0,
            aim: 2.0,
        };
        assert_eq!(ratios(&readings, &comparison), [2.0, 0.5]);
    }
}
