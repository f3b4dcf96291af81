//! The arguments of `produce`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use flotilla_client::{Compression, PartitionIndex, ProducerConfig, TopicName};

use super::input::InputFormat;
use crate::values::{
    KeyValue, Rate, parse_bytes, parse_compression, parse_duration, parse_key_value,
    parse_partition, parse_rate, parse_separator,
};

#[derive(Args, Clone, Debug)]
pub struct ProduceArgs {
    /// Topic to write to
    #[arg(value_parser = TopicName::parse)]
    pub(super) topic: TopicName,
    /// Read from here instead of stdin
    #[arg(long, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,
    /// What a line of the input holds
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: InputFormat,
    /// What divides key and value in a line, such as ':' or '\t'; only with the format lines
    #[arg(long, value_name = "TEXT", value_parser = parse_separator)]
    pub(super) key_separator: Option<String>,
    /// A header for every record; can be repeated
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = parse_key_value)]
    pub(super) headers: Vec<KeyValue>,
    /// Where to write records that name no partition [default: the key decides]
    #[arg(long, value_name = "N", value_parser = parse_partition)]
    pub(super) partition: Option<PartitionIndex>,
    /// Send at most this many records per second, such as 500 or 10k/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(super) rate: Option<Rate>,
    /// What to do after a line that is no record or that the cluster refuses for its content
    #[arg(long, value_enum, default_value_t)]
    pub(super) on_error: OnError,
    /// Print partition and offset of each record, in the order of the input
    #[arg(long)]
    pub(super) print_offsets: bool,
    #[command(flatten)]
    pub(super) batching: Batching,
}

/// How records travel.
#[derive(Args, Clone, Debug)]
pub(crate) struct Batching {
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", value_parser = parse_compression, default_value = "none")]
    pub(crate) compression: Compression,
    /// How long a batch waits for more records while another one is on its way [default: 5ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) linger: Option<Duration>,
    /// Size at which a batch is full, such as 64KiB [default: 128KiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) batch_bytes: Option<usize>,
    /// How long a record is tried before it counts as failed [default: 120s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) delivery_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// Read no further; what was sent before is waited for
    #[default]
    Stop,
    /// Report the line and go on with the next one
    Skip,
}

impl Batching {
    pub(crate) fn to_config(&self) -> ProducerConfig {
        let default = ProducerConfig::default();
        let delivery_timeout = self.delivery_timeout.unwrap_or(default.delivery_timeout);
        // One attempt must not outlast the time for all of them.
        let attempt = delivery_timeout.max(Duration::from_millis(1));
        ProducerConfig {
            compression: self.compression,
            linger: self.linger.unwrap_or(default.linger),
            batch_bytes: self.batch_bytes.unwrap_or(default.batch_bytes),
            request_timeout: default.request_timeout.min(attempt),
            delivery_timeout,
            ..default
        }
    }
}
