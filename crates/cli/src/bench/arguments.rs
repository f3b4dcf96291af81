//! The arguments of `bench`.

use clap::{Args, Subcommand};
use flotilla_client::TopicName;

use crate::records::Batching;
use crate::values::{Rate, parse_bytes, parse_rate};

#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Write records and measure until each one is acknowledged
    ///
    /// Without --rate, each client keeps --window records on their way and sends the next one when
    /// one is acknowledged: a closed loop. It finds the highest throughput, and its latencies are
    /// those from handing a record over to its acknowledgement. A cluster that stalls stops the loop
    /// too, so the stall is counted once for each record of the window only.
    ///
    /// With --rate, records are due at fixed times, and latencies count from those times, however
    /// late the records were sent: no stall is left out. How late they were is reported beside. The
    /// timer's own lateness, up to about a millisecond, is part of both.
    #[command(verbatim_doc_comment)]
    Produce(BenchProduceArgs),
    /// Read records from the start and check that none is missing
    ///
    /// Latencies are those of one poll, which gives up to --window records.
    Consume(BenchConsumeArgs),
}

#[derive(Args, Clone, Debug)]
pub struct BenchProduceArgs {
    #[command(flatten)]
    pub(super) load: LoadArgs,
    /// Records to write, by all clients together
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(super) records: u64,
    /// Bytes of a record's value, of which one half is random
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "1024")]
    pub(super) record_size: usize,
    /// Send at this rate, all clients together, such as 500 or 10k/s [default: as fast as it goes]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(super) rate: Option<Rate>,
    /// Create the topic with this many partitions if it does not exist
    #[arg(long, value_name = "N")]
    pub(super) partitions: Option<u32>,
    /// With --partitions: replicas of each partition
    #[arg(long, value_name = "N", requires = "partitions")]
    pub(super) replication_factor: Option<u32>,
    #[command(flatten)]
    pub(super) batching: Batching,
}

#[derive(Args, Clone, Debug)]
pub struct BenchConsumeArgs {
    #[command(flatten)]
    pub(super) load: LoadArgs,
    /// Records to read, by all clients together [default: all that there are now]
    #[arg(long, value_name = "N")]
    pub(super) records: Option<u64>,
    /// Check that each value has this many bytes
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(super) record_size: Option<usize>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct LoadArgs {
    /// Topic to write to or to read
    #[arg(long, value_parser = TopicName::parse)]
    pub(super) topic: TopicName,
    /// Records on their way, or in one poll, for each client; 1 is one at a time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4_096,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(super) window: u32,
    /// Clients, each with connections of its own
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1_024)
    )]
    pub(super) clients: u32,
}
