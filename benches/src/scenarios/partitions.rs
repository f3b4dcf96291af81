//! What a thousand partitions cost: until they are there, while nothing happens, and under load.
//!
//! Every run has a cluster of its own, one with few partitions or one with many, in turns.

use std::time::Duration;

use anyhow::{Context as _, Result};
use flotilla_client::{NewTopic, TopicName};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Context;
use super::throughput::flotilla_bench;
use crate::arguments::PartitionsArgs;
use crate::process::Process;
use crate::report::{Better, Figure, Goal, Judged, Report};
use crate::scratch::settle_disk;

const NODE_COUNT: u64 = 3;
const FEW_PARTITIONS: u32 = 12;
const WINDOW: u32 = 4_096;
/// How long the nodes are left alone before they are watched, and how long they are watched.
const QUIET_TIME: Duration = Duration::from_secs(5);
const WATCH_TIME: Duration = Duration::from_secs(10);
const WATCH_TIME_QUICK: Duration = Duration::from_secs(2);
/// Partitions that have no leaders by then have none for another reason.
const CREATE_LIMIT: Duration = Duration::from_secs(180);

pub(super) async fn run(context: &Context, args: &PartitionsArgs) -> Result<Report> {
    let pair_count = context.common.or(args.pairs, 3, 1);
    let many_partitions = context.common.or(args.partitions, 1_000, 200);
    context.scratch.ensure_room(8 << 30)?;
    let mut report = context.begin("partitions").await?;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for pair in 0..pair_count {
        // Whoever is first in one pair is second in the next.
        let mut order = [FEW_PARTITIONS, many_partitions];
        if pair % 2 == 1 {
            order.reverse();
        }
        for partition_count in order {
            let run = Run::make(context, partition_count).await?;
            phase(format_args!("partitions: pair {}: {run}", pair + 1));
            report.detail(&run)?;
            if partition_count == FEW_PARTITIONS {
                few.push(run);
            } else {
                many.push(run);
            }
        }
    }
    report.figures = figures(&few, &many);
    report.notes.push(format!(
        "{many_partitions} partitions with three replicas on three nodes, beside {FEW_PARTITIONS}; \
         created: from the request until each has a leader; at rest: all three nodes together, \
         {} s after that and before any record; resident: the largest of the three, at rest; \
         rate: `flotilla bench produce`, 1 KiB, window {WINDOW}",
        QUIET_TIME.as_secs()
    ));
    Ok(report)
}

/// One cluster.
#[derive(Debug, Serialize)]
struct Run {
    partition_count: u32,
    created_seconds: f64,
    idle_cores: f64,
    resident_bytes_max: u64,
    records_per_second: f64,
    p99_ms: f64,
}

impl Run {
    async fn make(context: &Context, partition_count: u32) -> Result<Self> {
        settle_disk();
        let cluster = Cluster::start(NODE_COUNT).await;
        let client = cluster.client().await;
        let topic = TopicName::parse("many")?;
        let begun = Instant::now();
        let new = NewTopic::new(topic.clone()).partitions(partition_count);
        let admin = client.admin();
        admin.create_topic(new.replication_factor(3)).await?;
        until("every partition has a leader", CREATE_LIMIT, async || {
            let described = client.admin().describe_topic(&topic).await.ok()?;
            let mut partitions = described.partitions.iter();
            partitions
                .all(|partition| partition.leader.is_some())
                .then_some(())
        })
        .await;
        let created_seconds = begun.elapsed().as_secs_f64();

        let processes = cluster.nodes().iter();
        let processes = processes.map(|node| node.process_id().map(Process::Other));
        let processes: Vec<_> = processes.collect::<Option<_>>().context("all nodes run")?;
        // How busy an idle process is can only be had from two looks at it, when it has come to rest.
        sleep(QUIET_TIME).await;
        let (since, before) = (Instant::now(), cpu(&processes)?);
        // This is the time that is looked at.
        sleep(context.common.or(None, WATCH_TIME, WATCH_TIME_QUICK)).await;
        let idle_cores = (cpu(&processes)? - before) / since.elapsed().as_secs_f64();
        let mut resident_bytes_max = 0;
        for process in &processes {
            resident_bytes_max = resident_bytes_max.max(process.memory()?.resident_bytes);
        }

        let records = context.common.or(None, 600_000, 50_000);
        let told = flotilla_bench(&[
            "bench",
            "produce",
            &cluster.bootstrap_argument(),
            "-o=json",
            "--topic=many",
            &format!("--records={records}"),
            &format!("--window={WINDOW}"),
            "--record-size=1024",
        ])
        .await?;
        Ok(Self {
            partition_count,
            created_seconds,
            idle_cores,
            resident_bytes_max,
            records_per_second: told.number("records_per_second")?,
            p99_ms: told.latency("p99")?,
        })
    }
}

fn cpu(processes: &[Process]) -> Result<f64> {
    let times = processes.iter().map(|process| process.cpu());
    let times = times.map(|time| time.map(|time| time.total()));
    times.sum()
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} partitions: created in {:.2} s, {:.1} % of a core at rest, {:.0} MB, {:.0} records/s, \
             p99 {:.1} ms",
            self.partition_count,
            self.created_seconds,
            self.idle_cores * 100.0,
            self.resident_bytes_max as f64 / 1e6,
            self.records_per_second,
            self.p99_ms,
        )
    }
}

fn figures(few: &[Run], many: &[Run]) -> Vec<Figure> {
    let pairs = few.iter().zip(many);
    let ratios = pairs.map(|(few, many)| many.records_per_second / few.records_per_second);
    let figure = |name: &str, unit, runs: &[Run], read: fn(&Run) -> f64| {
        let name = format!("partitions.{name}");
        Figure::new(name, unit, runs.iter().map(read).collect())
    };
    let idle = |run: &Run| 100.0 * run.idle_cores;
    let resident = |run: &Run| run.resident_bytes_max as f64 / 1e6;
    let rate = |run: &Run| run.records_per_second;
    vec![
        Figure::new("partitions.rate_ratio", "many/few", ratios.collect()).judged_by(Goal {
            judged: Judged::Median,
            better: Better::Higher,
            must: 0.4,
            aim: 0.8,
        }),
        figure("created", "s", many, |run| run.created_seconds).judged(Judged::Worst, 60.0, 5.0),
        figure("idle_cpu", "% of a core", many, idle).judged(Judged::Median, 40.0, 10.0),
        figure("resident", "MB", many, resident).judged(Judged::Worst, 400.0, 150.0),
        figure("rate_many", "records/s", many, rate),
        figure("rate_few", "records/s", few, rate),
        figure("p99_many", "ms", many, |run| run.p99_ms),
        figure("p99_few", "ms", few, |run| run.p99_ms),
        figure("idle_cpu_few", "% of a core", few, idle),
        figure("resident_few", "MB", few, resident),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    #[test]
    fn the_rate_is_compared_within_a_pair() {
        let run = |records_per_second| Run {
            partition_count: 12,
            created_seconds: 1.0,
            idle_cores: 0.2,
            resident_bytes_max: 100_000_000,
            records_per_second,
            p99_ms: 1.0,
        };
        let figures = figures(&[run(10.0), run(100.0)], &[run(5.0), run(40.0)]);
        assert_eq!(figures[0].samples, [0.5, 0.4]);
        assert_eq!(figures[0].verdict, Some(Verdict::Reached));
        assert_eq!(figures[2].summary.median, 20.0);
    }
}
