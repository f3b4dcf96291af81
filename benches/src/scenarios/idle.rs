//! Memory and processor time of a fresh node that has nothing to do.

use std::time::Duration;

use anyhow::{Context as _, Result};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Context;
use crate::arguments::IdleArgs;
use crate::process::{Memory, Process};
use crate::report::{Figure, Judged, Report};

/// Memory that stays within these bounds for so long is what an idle node has.
const STABLE_TIME: Duration = Duration::from_secs(10);
const STABLE_TIME_QUICK: Duration = Duration::from_secs(2);
const STABLE_BYTES: u64 = 256 << 10;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A node whose memory still moves by then leaks or works.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn run(context: &Context, args: &IdleArgs) -> Result<Report> {
    let run_count = context.common.or(args.runs, 3, 1);
    let mut report = context.begin("idle").await?;
    let mut alone = Vec::new();
    for _ in 0..run_count {
        alone.extend(measure(context, 1).await?);
    }
    let of_three = measure(context, 3).await?;
    for (name, readings) in [("alone", &alone), ("one_of_three", &of_three)] {
        let add = |what: &str, unit, read: fn(&Idle) -> f64| {
            let samples = readings.iter().map(read).collect();
            Figure::new(format!("idle.{name}.{what}"), unit, samples)
        };
        let resident = add("resident", "MB", |idle| {
            idle.memory.resident_bytes as f64 / 1e6
        });
        let rest = [
            add("anonymous", "MB", |idle| {
                idle.memory.anonymous_bytes as f64 / 1e6
            }),
            add("cpu", "% of a core", |idle| 100.0 * idle.cores),
            add("threads", "", |idle| idle.memory.thread_count as f64),
        ];
        report
            .figures
            .push(resident.judged(Judged::Worst, 80.0, 30.0));
        report.figures.extend(rest);
    }
    for reading in alone.iter().chain(&of_three) {
        report.detail(reading)?;
    }
    report.notes.push(
        "resident is VmRSS, with the pages of the binary; anonymous is RssAnon, without them; read when \
         VmRSS has moved by less than 256 KiB for 10 s"
            .to_owned(),
    );
    Ok(report)
}

/// A node that does nothing.
#[derive(Debug, Serialize)]
struct Idle {
    memory: Memory,
    /// Busy meanwhile.
    cores: f64,
    seconds_until_stable: f64,
}

/// Starts fresh nodes without topics, and reads them when their memory is stable.
async fn measure(context: &Context, node_count: u64) -> Result<Vec<Idle>> {
    let cluster = Cluster::start(node_count).await;
    let mut readings = Vec::new();
    for node in cluster.nodes() {
        let process = Process::Other(node.process_id().context("the node runs")?);
        let time = context.common.or(None, STABLE_TIME, STABLE_TIME_QUICK);
        let idle = wait_until_stable(process, time).await?;
        phase(format_args!(
            "idle: {node_count} nodes: node {}: {:.1} MB resident, {:.1} MB anonymous, {:.2} % of a \
             core, {} threads",
            node.id(),
            idle.memory.resident_bytes as f64 / 1e6,
            idle.memory.anonymous_bytes as f64 / 1e6,
            idle.cores * 100.0,
            idle.memory.thread_count,
        ));
        readings.push(idle);
    }
    Ok(readings)
}

async fn wait_until_stable(process: Process, time: Duration) -> Result<Idle> {
    let begun = Instant::now();
    let mut since = begun;
    let mut cpu = process.cpu()?;
    let mut bounds: Option<(u64, u64)> = None;
    loop {
        let memory = process.memory()?;
        let resident = memory.resident_bytes;
        let (low, high) = bounds.map_or((resident, resident), |(low, high)| {
            (low.min(resident), high.max(resident))
        });
        if high - low >= STABLE_BYTES {
            (since, cpu, bounds) = (Instant::now(), process.cpu()?, Some((resident, resident)));
        } else {
            bounds = Some((low, high));
        }
        if since.elapsed() >= time {
            let used = process.cpu()?.since(cpu);
            return Ok(Idle {
                memory,
                cores: used.total() / since.elapsed().as_secs_f64(),
                seconds_until_stable: (since - begun).as_secs_f64(),
            });
        }
        anyhow::ensure!(
            begun.elapsed() < LIMIT,
            "the memory of an idle node does not settle"
        );
        // Another process cannot wake this one, so it is looked at again.
        sleep(LOOK_INTERVAL).await;
    }
}
