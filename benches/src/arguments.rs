//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::compare::{Row, System};
use crate::engine::{RunPlan, Shape};

/// Measures what Flotilla costs and how fast it is, on this machine
///
/// Figures go to stdout and, with every reading behind them, to a file; progress goes to stderr.
/// Build first: `make bench` does, and runs everything.
#[derive(Debug, Parser)]
#[command(name = "flotilla-benches")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args, Clone, Debug)]
pub struct Common {
    /// How to print the figures
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Directory for the data of the runs, which is removed in the end [default: the system's
    /// directory for temporary files]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory for the results, as JSON
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results")
    )]
    pub results: PathBuf,
    /// Small and short: shows that everything works, and measures little
    #[arg(long, global = true)]
    pub quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Processor time of the journal engine beside a plain RocksDB engine, in turns
    Engine(EngineArgs),
    /// Bytes written to the disk for each byte accepted, sealing included
    WriteAmplification(WriteAmplificationArgs),
    /// Silence after the node that leads is killed
    Failover(FailoverArgs),
    /// Silence of a partition that is led by another node on request
    LeadershipMove(LeadershipMoveArgs),
    /// What a thousand partitions cost: time to create, processor and memory at rest, throughput
    Partitions(PartitionsArgs),
    /// A fourth node added to three that hold data, under load
    Grow(GrowArgs),
    /// How long a record takes to a consumer at the tail, alone and while another one replays
    Tail(TailArgs),
    /// From the start of a node that holds data to its first acknowledgements
    ColdStart(ColdStartArgs),
    /// Memory of a fresh node that does nothing
    Idle(IdleArgs),
    /// Throughput and latency of three nodes, as `flotilla bench` tells them
    Throughput(ThroughputArgs),
    /// How long the demo takes once everything is built
    Demo(DemoArgs),
    /// Flotilla beside NATS JetStream, RabbitMQ's quorum queues and RabbitMQ Streams, in turns
    ///
    /// The peers come from Debian, and `make compare` installs them. About 25 minutes, with --quick
    /// three.
    Compare(CompareArgs),
    /// Draws the chart of a comparison again, from its results
    Draw(DrawArgs),
    /// Everything but the comparison, with default settings
    All,
    /// One run of one engine, which prints its readings
    #[command(hide = true)]
    EngineRun(EngineRunArgs),
}

#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// Pairs of runs, one of each engine [default: 5]
    #[arg(long, value_name = "N")]
    pub pairs: Option<usize>,
    #[command(flatten)]
    pub volume: Volume,
    #[command(flatten)]
    pub shape: Shape,
}

#[derive(Args, Clone, Debug)]
pub struct WriteAmplificationArgs {
    /// Runs of each engine [default: 3]
    #[arg(long, value_name = "N")]
    pub runs: Option<usize>,
    #[command(flatten)]
    pub volume: Volume,
    #[command(flatten)]
    pub shape: Shape,
}

#[derive(Args, Clone, Debug, Default)]
pub struct Volume {
    /// MiB that a run writes [default: 2048]
    #[arg(long, value_name = "MIB")]
    pub mib: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub struct EngineRunArgs {
    /// Where the store is made
    #[arg(long)]
    pub directory: PathBuf,
    #[command(flatten)]
    pub plan: RunPlan,
}

#[derive(Args, Clone, Debug, Default)]
pub struct FailoverArgs {
    /// How often a node is killed [default: 20]
    #[arg(long, value_name = "N")]
    pub kills: Option<usize>,
    /// How often a node is frozen instead: it stays connected and does nothing [default: 3]
    #[arg(long, value_name = "N")]
    pub freezes: Option<usize>,
    /// Records per second and partition [default: 200]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Bytes of a record
    #[arg(long, value_name = "BYTES", default_value_t = 1_024)]
    pub record_size: usize,
    /// Partitions beside, which nobody uses [default: none]
    #[arg(long, value_name = "N")]
    pub idle_partitions: Option<u32>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct LeadershipMoveArgs {
    /// How often a partition gets another leader [default: 60]
    #[arg(long, value_name = "N")]
    pub moves: Option<usize>,
    /// Records per second and partition [default: 200]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct PartitionsArgs {
    /// Of the large topic [default: 1000]
    #[arg(long, value_name = "N")]
    pub partitions: Option<u32>,
    /// Pairs of fresh clusters, one with few partitions and one with many [default: 3]
    #[arg(long, value_name = "N")]
    pub pairs: Option<usize>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct GrowArgs {
    /// Clusters that grow, one after the other [default: 3]
    #[arg(long, value_name = "N")]
    pub runs: Option<usize>,
    /// Records per second meanwhile [default: 5000]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// MB that the cluster holds [default: 3000]
    #[arg(long, value_name = "MB")]
    pub megabytes: Option<u64>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct TailArgs {
    /// Pairs of runs, one alone and one beside a consumer that replays [default: 5]
    #[arg(long, value_name = "N")]
    pub pairs: Option<usize>,
    /// MB that are replayed [default: 2000]
    #[arg(long, value_name = "MB")]
    pub megabytes: Option<u64>,
    /// Records per second that are written and read at the tail [default: 1000]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct ColdStartArgs {
    /// Starts [default: 5]
    #[arg(long, value_name = "N")]
    pub starts: Option<usize>,
    /// [default: 100]
    #[arg(long, value_name = "N")]
    pub partitions: Option<u32>,
    /// MB stored before the first start [default: 1000]
    #[arg(long, value_name = "MB")]
    pub megabytes: Option<u64>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct IdleArgs {
    /// Fresh nodes, one after the other [default: 3]
    #[arg(long, value_name = "N")]
    pub runs: Option<usize>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct ThroughputArgs {
    /// Rounds of all loads [default: 3]
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// Runs [default: 1]
    #[arg(long, value_name = "N")]
    pub runs: Option<usize>,
}

#[derive(Args, Clone, Debug, Default)]
pub struct CompareArgs {
    /// Only these rows, with commas between them [default: all]
    #[arg(long, value_name = "ROWS", value_delimiter = ',')]
    pub rows: Vec<Row>,
    /// Only these peers, with commas between them [default: all]
    #[arg(long, value_name = "PEERS", value_delimiter = ',')]
    pub peers: Vec<System>,
    /// Pairs of runs, one of each system [default: 5]
    #[arg(long, value_name = "N")]
    pub pairs: Option<usize>,
    /// Of one run, after its warm-up [default: 8]
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Where to draw the chart [default: compare.svg beside the results]
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Measure while others work here, and mark the results
    #[arg(long)]
    pub on_busy_machine: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DrawArgs {
    /// The results of a comparison, as JSON
    pub results: PathBuf,
    /// The chart
    pub svg: PathBuf,
}

impl Common {
    /// What was asked for, else the size of a full run or of a quick one.
    pub fn or<T>(&self, asked: Option<T>, full: T, quick: T) -> T {
        asked.unwrap_or(if self.quick { quick } else { full })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn common_options_can_follow_the_command() {
        let line = [
            "flotilla-benches",
            "engine",
            "--pairs",
            "2",
            "--quick",
            "-o",
            "json",
        ];
        let parsed = Arguments::try_parse_from(line).unwrap();
        assert!(parsed.common.quick);
        assert_eq!(parsed.common.output, Format::Json);
        assert_eq!(parsed.common.or(None, 5, 1), 1);
        assert_eq!(parsed.common.or(Some(2), 5, 1), 2);
    }
}
