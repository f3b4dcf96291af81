//! Flotilla beside its peers, driven by the same generator.
//!
//! ```text
//!   rows ─► turns: ours, theirs, theirs, ours ... ─► readings ─► ratios of pairs, JSON, chart
//!             │ each run a log of its own, both clusters at rest before
//!             ├─ generator ─► Writer, Reader ─► Flotilla's public client
//!             │                               └► wire ─► a lean client of each peer's protocol
//!             └─ Peer: three server processes on loopback, files on the disk
//! ```
//!
//! The peers' clients are our own and do nothing but what is measured, so whatever a client costs is
//! cheaper for the peers. Two clusters are up at a time, Flotilla's and that of the peer, because one
//! that starts takes many seconds; how much processor time the one uses whose turn it is not is part of
//! every reading.

mod chart;
mod flotilla;
mod generator;
mod nats;
mod rabbitmq;
mod rows;
pub(crate) mod servers;
mod turns;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flotilla_tests::phase::phase;

pub use chart::draw;
pub use rows::{Row, System};

use self::chart::Chart;
use self::flotilla::Flotilla;
use self::generator::{Reader, Writer};
use self::nats::JetStream;
use self::rabbitmq::{QuorumQueues, RabbitMq, Streams};
use self::rows::{COMPARISONS, Comparison};
use self::turns::{Reading, Sizes, Turns, ratios};
use crate::arguments::CompareArgs;
use crate::machine::Machine;
use crate::report::{Figure, Report};
use crate::scenarios::Context;

/// What the longest runs leave on the disk at a time, on all nodes.
const ROOM_BYTES: u64 = 20 << 30;

/// A system with a cluster of three nodes that keeps three replicas.
trait Peer: Sync {
    type Writer: Writer;

    /// Makes a log, and waits until it can be written.
    async fn create(&self, log: &str) -> Result<()>;

    async fn writer(&self, log: &str) -> Result<Self::Writer>;

    async fn delete(&self, log: &str) -> Result<()>;

    /// Those that were started here. They may have children.
    fn processes(&self) -> Vec<u32>;
}

/// A system whose logs can be read as often as one likes.
trait Replayable: Peer {
    type Reader: Reader;

    async fn reader(&self, log: &str) -> Result<Self::Reader>;
}

/// Measures what is asked for. The report goes to `reports` even if a part of it fails.
pub async fn run(context: &Context, args: &CompareArgs, reports: &mut Vec<Report>) -> Result<()> {
    let comparisons = args.comparisons();
    ensure!(!comparisons.is_empty(), "no row has such a peer");
    context.scratch.ensure_room(ROOM_BYTES)?;
    let mut report = context.begin("compare").await?;
    ensure!(
        report.load.is_idle() || args.on_busy_machine,
        "{:.2} of {} cores are busy: this would measure whoever else works here. With \
         --on-busy-machine it runs all the same, and the results say so",
        report.load.busy_cores,
        report.load.cores
    );
    let mut session = Session {
        context,
        sizes: args.sizes(context),
        ours: Flotilla::start().await,
        readings: Vec::new(),
    };
    let mut failure = None;
    // One cluster serves both of RabbitMQ's.
    for peers in [
        &[System::JetStream][..],
        &[System::QuorumQueues, System::Streams],
        &[System::FlotillaWithoutFsync],
    ] {
        let of_these: Vec<_> = comparisons
            .iter()
            .filter(|comparison| peers.contains(&comparison.peer))
            .copied()
            .collect();
        if of_these.is_empty() {
            continue;
        }
        if let Err(error) = session.compare(&of_these).await {
            phase(format_args!("compare: FAILED: {error:#}"));
            report.notes.push(format!("failed: {error:#}"));
            failure = Some(error);
        }
    }
    let Session { readings, .. } = session;
    report.figures = figures(&readings, &comparisons);
    for reading in &readings {
        report.detail(reading)?;
    }
    report.notes.extend(notes(&readings, &args.sizes(context)));
    let chart = Chart::new(&readings, &Machine::this(), report.load);
    let path = args.svg.clone();
    let path = path.unwrap_or_else(|| context.common.results.join("compare.svg"));
    if !readings.is_empty() {
        save(&path, &chart.to_svg())?;
    }
    reports.push(report);
    failure.map_or(Ok(()), Err)
}

fn save(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    phase(format_args!("compare: drawn in {}", path.display()));
    Ok(())
}

/// Flotilla's cluster, which is up all the time.
struct Session<'a> {
    context: &'a Context,
    sizes: Sizes,
    ours: Flotilla,
    readings: Vec<Reading>,
}

impl Session<'_> {
    /// All comparisons with the peers of one cluster.
    async fn compare(&mut self, comparisons: &[Comparison]) -> Result<()> {
        let first = comparisons.first().context("there is a comparison")?;
        let directory = self.context.scratch.fresh(first.peer.name())?;
        phase(format_args!("compare: starting {}", first.peer.label()));
        match first.peer {
            System::JetStream => {
                let theirs = JetStream::start(directory.path()).await?;
                for comparison in comparisons {
                    let mut turns = self.turns(&theirs, *comparison);
                    match comparison.row {
                        Row::Replay => turns.replay().await?,
                        _ => turns.produce().await?,
                    }
                }
            }
            System::QuorumQueues | System::Streams => {
                let cluster = RabbitMq::start(directory.path()).await?;
                for comparison in comparisons {
                    match (comparison.peer, comparison.row) {
                        (System::QuorumQueues, _) => {
                            let theirs = QuorumQueues(&cluster);
                            self.turns(&theirs, *comparison).produce().await?;
                        }
                        (_, Row::Replay) => {
                            self.turns(&Streams(&cluster), *comparison).replay().await?;
                        }
                        _ => {
                            self.turns(&Streams(&cluster), *comparison)
                                .produce()
                                .await?
                        }
                    }
                }
            }
            System::Flotilla | System::FlotillaWithoutFsync => {
                let theirs = Flotilla::start_without_sync().await?;
                for comparison in comparisons {
                    self.turns(&theirs, *comparison).produce().await?;
                }
            }
        }
        Ok(())
    }

    fn turns<'a, B: Peer>(
        &'a mut self,
        theirs: &'a B,
        comparison: Comparison,
    ) -> Turns<'a, Flotilla, B> {
        Turns {
            ours: &self.ours,
            theirs,
            comparison,
            sizes: self.sizes,
            readings: &mut self.readings,
        }
    }
}

impl CompareArgs {
    fn comparisons(&self) -> Vec<Comparison> {
        let is_wanted = |comparison: &&Comparison| {
            let row = self.rows.is_empty() || self.rows.contains(&comparison.row);
            let peer = self.peers.is_empty() || self.peers.contains(&comparison.peer);
            row && peer
        };
        COMPARISONS.iter().filter(is_wanted).copied().collect()
    }

    fn sizes(&self, context: &Context) -> Sizes {
        let common = &context.common;
        Sizes {
            pair_count: common.or(self.pairs, 5, 1),
            warm_up: common.or(None, Duration::from_secs(2), Duration::from_millis(500)),
            time: Duration::from_secs(common.or(self.seconds, 8, 2)),
            replayed_records: common.or(None, 1_000_000, 100_000),
        }
    }
}

/// Ratios first, and then what they are made of.
fn figures(readings: &[Reading], comparisons: &[Comparison]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for comparison in comparisons {
        let ratios = ratios(readings, comparison);
        if !ratios.is_empty() {
            let figure = Figure::new(comparison.name(), "x", ratios);
            figures.push(figure.judged_by(comparison.goal()));
        }
    }
    let of: BTreeSet<_> = readings
        .iter()
        .map(|reading| (reading.row, reading.system))
        .collect();
    for (row, system) in of {
        let of_this = readings
            .iter()
            .filter(|reading| (reading.row, reading.system) == (row, system));
        let name = |what: &str| format!("compare.{}.{}{what}", row.name(), system.name());
        let values = of_this.clone().map(|reading| reading.value).collect();
        figures.push(Figure::new(name(""), row.unit(), values));
        let p99: Vec<_> = of_this
            .filter_map(|reading| reading.latency_p99_ms)
            .collect();
        if !p99.is_empty() {
            figures.push(Figure::new(name(".p99"), "ms", p99));
        }
    }
    figures
}

fn notes(readings: &[Reading], sizes: &Sizes) -> Vec<String> {
    let other = readings.iter().map(|reading| reading.cores.other);
    let elsewhere = readings.iter().map(|reading| reading.cores.elsewhere);
    let restless = readings.iter().filter(|reading| !reading.was_at_rest);
    vec![
        format!(
            "three server processes each, three replicas, files on the disk, one log; pairs of runs in \
             turns, {} s after {:.1} s of warm-up; ratios are ours to theirs of one pair",
            sizes.time.as_secs(),
            sizes.warm_up.as_secs_f64()
        ),
        format!(
            "the cluster whose turn it was not used up to {:.2} cores, and the machine, the kernel's own \
             threads included, up to {:.2}; {} of {} runs began before both clusters were at rest",
            other.fold(0.0, f64::max),
            elsewhere.fold(0.0, f64::max),
            restless.count(),
            readings.len()
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_peers_can_be_chosen() {
        let chosen = |rows: &[Row], peers: &[System]| {
            let args = CompareArgs {
                rows: rows.to_vec(),
                peers: peers.to_vec(),
                ..CompareArgs::default()
            };
            args.comparisons().len()
        };
        assert_eq!(chosen(&[], &[]), COMPARISONS.len());
        assert_eq!(chosen(&[Row::Produce1KiB], &[]), 3);
        assert_eq!(chosen(&[Row::Replay], &[System::Streams]), 1);
        assert_eq!(chosen(&[Row::Replay], &[System::QuorumQueues]), 0);
    }
}
