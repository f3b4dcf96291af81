//! Throughput and latency of three nodes, as `flotilla bench` tells them: where later work begins.

use anyhow::{Context as _, Result, ensure};
use flotilla_tests::cluster::{Cluster, flotilla_binary};
use flotilla_tests::phase::phase;
use serde_json::Value;
use std::process::Stdio;
use tokio::process::Command;

use super::Context;
use crate::arguments::ThroughputArgs;
use crate::process::Process;
use crate::report::{Figure, Report};
use crate::scratch::settle_disk;

/// A load on a topic of its own.
struct Load {
    name: &'static str,
    record_bytes: u32,
    records: u64,
    window: u32,
    partitions: u32,
    /// Read it all back afterwards.
    consumes: bool,
}

const LOADS: [Load; 4] = [
    Load {
        name: "1KiB",
        record_bytes: 1_024,
        records: 400_000,
        window: 4_096,
        partitions: 12,
        consumes: true,
    },
    Load {
        name: "1KiB.one_partition",
        record_bytes: 1_024,
        records: 400_000,
        window: 4_096,
        partitions: 1,
        consumes: true,
    },
    Load {
        name: "128B",
        record_bytes: 128,
        records: 2_000_000,
        window: 16_384,
        partitions: 12,
        consumes: true,
    },
    Load {
        name: "1KiB.window_1",
        record_bytes: 1_024,
        records: 5_000,
        window: 1,
        partitions: 1,
        consumes: false,
    },
];

pub(super) async fn run(context: &Context, args: &ThroughputArgs) -> Result<Report> {
    let round_count = context.common.or(args.rounds, 3, 1);
    context.scratch.ensure_room(8 << 30)?;
    let mut report = context.begin("throughput").await?;
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    cluster.wait_for_leaders(&client).await;
    let mut samples: Vec<(String, &'static str, Vec<f64>)> = Vec::new();
    for round in 0..round_count {
        for load in &LOADS {
            let told = load.run(context, &cluster, round).await?;
            for (operation, told) in told {
                let (rate, p50) = (told.number("records_per_second")?, told.latency("p50")?);
                phase(format_args!(
                    "throughput: round {}: {operation} {}: {rate:.0} records/s, {:.1} MB/s, p50 {p50:.3} ms, \
                     p99 {:.3} ms",
                    round + 1,
                    load.name,
                    told.number("bytes_per_second")? / 1e6,
                    told.latency("p99")?,
                ));
                let readings = [
                    ("rate", "records/s", rate),
                    ("bytes", "MB/s", told.number("bytes_per_second")? / 1e6),
                    ("p50", "ms", p50),
                    ("p99", "ms", told.latency("p99")?),
                ];
                for (what, unit, value) in readings {
                    let name = format!("throughput.{operation}.{}.{what}", load.name);
                    match samples.iter_mut().find(|(known, ..)| *known == name) {
                        Some((.., values)) => values.push(value),
                        None => samples.push((name, unit, vec![value])),
                    }
                }
                report.detail(&told.0)?;
            }
        }
    }
    let figures = samples.into_iter();
    report.figures = figures
        .map(|(name, unit, values)| Figure::new(name, unit, values))
        .collect();
    let resident = cluster.nodes().iter().map(|node| {
        let process = Process::Other(node.process_id().context("the node runs")?);
        Ok(process.memory()?.resident_bytes as f64 / 1e6)
    });
    let resident = resident.collect::<Result<_>>()?;
    report.figures.push(Figure::new(
        "throughput.resident_afterwards",
        "MB",
        resident,
    ));
    report.notes.push(
        "three nodes and the client share this machine's cores; every acknowledgement follows a sync on \
         a majority; latencies are of a closed window, of one poll when consuming"
            .to_owned(),
    );
    Ok(report)
}

/// What `flotilla bench` printed.
pub(super) struct Told(Value);

impl Told {
    pub(super) fn number(&self, key: &str) -> Result<f64> {
        self.0[key]
            .as_f64()
            .with_context(|| format!("bench tells no {key}"))
    }

    pub(super) fn latency(&self, key: &str) -> Result<f64> {
        let latency = self.0["latency_ms"][key].as_f64();
        latency.with_context(|| format!("bench tells no latency {key}"))
    }
}

impl Load {
    async fn run(
        &self,
        context: &Context,
        cluster: &Cluster,
        round: usize,
    ) -> Result<Vec<(&'static str, Told)>> {
        let topic = format!("load-{}-{round}", self.name.replace('.', "-"));
        let records = match context.common.quick {
            true => self.records / 20,
            false => self.records,
        };
        let bootstrap = cluster.bootstrap_argument();
        let (topic_argument, records) =
            (format!("--topic={topic}"), format!("--records={records}"));
        let window = format!("--window={}", self.window);
        let size = format!("--record-size={}", self.record_bytes);
        let common = [
            "bench",
            "",
            &bootstrap,
            "-o=json",
            &topic_argument,
            &records,
            &window,
            &size,
        ];
        settle_disk();
        let mut produce = common.to_vec();
        let partitions = format!("--partitions={}", self.partitions);
        produce[1] = "produce";
        produce.extend([partitions.as_str(), "--replication-factor=3"]);
        let mut told = vec![("produce", flotilla_bench(&produce).await?)];
        if self.consumes {
            let mut consume = common.to_vec();
            consume[1] = "consume";
            told.push(("consume", flotilla_bench(&consume).await?));
        }
        // Its space is given back in the background, while the next load runs on another.
        let client = cluster.client().await;
        let name = flotilla_client::TopicName::parse(&topic)?;
        client.admin().delete_topic(&name).await?;
        Ok(told)
    }
}

pub(super) async fn flotilla_bench(arguments: &[&str]) -> Result<Told> {
    let mut command = Command::new(flotilla_binary());
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let output = command
        .kill_on_drop(true)
        .spawn()?
        .wait_with_output()
        .await?;
    ensure!(
        output.status.success(),
        "{arguments:?} ended with {}",
        output.status
    );
    let told = serde_json::from_slice(&output.stdout);
    Ok(Told(
        told.with_context(|| format!("{arguments:?} prints JSON"))?,
    ))
}
