//! The arguments of `consume`.

use clap::Args;
use flotilla_client::{GroupId, PartitionIndex, TopicName};

use super::print_format::PrintFormat;
use super::start::Start;
use crate::values::parse_partition;

#[derive(Args, Clone, Debug)]
pub struct ConsumeArgs {
    /// Topic to read; with --group it can be several
    #[arg(
        value_name = "TOPIC",
        value_parser = TopicName::parse,
        required_unless_present = "pattern"
    )]
    pub(super) topics: Vec<TopicName>,
    /// Read as a member of this consumer group: share the partitions with the other members, go on
    /// where the group has committed, and commit what was printed. It waits for new records, until
    /// --count or an interruption
    #[arg(long, value_name = "GROUP", value_parser = GroupId::parse, conflicts_with = "partitions")]
    pub(super) group: Option<GroupId>,
    /// With --group: read all topics whose whole name matches this regular expression, now or later
    #[arg(
        long,
        value_name = "REGEX",
        requires = "group",
        conflicts_with = "topics"
    )]
    pub(super) pattern: Option<String>,
    /// A partition to read; can be repeated [default: all of them]
    #[arg(long = "partition", value_name = "N", value_parser = parse_partition)]
    pub(super) partitions: Vec<PartitionIndex>,
    /// Where to begin, with --group in partitions without a committed offset: start, end, an offset, a time as in 2024-05-01T12:00:00Z, @ and milliseconds
    /// since 1970, or a time before now such as -10m
    #[arg(
        long,
        value_name = "PLACE",
        value_parser = Start::parse,
        allow_hyphen_values = true,
        default_value = "start"
    )]
    pub(super) from: Start,
    /// Stop after this many records
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
    /// Wait for new records instead of stopping at the end of the log as of now
    #[arg(short, long)]
    pub(super) follow: bool,
    /// How a record is printed: %k key, %v value, %t topic, %p partition, %o offset, %T timestamp in
    /// ms, %h headers, %% percent; \n \t \r \0 \\ as usual [default: %v\n]
    #[arg(long, value_name = "FORMAT", value_parser = PrintFormat::parse)]
    pub(super) format: Option<PrintFormat>,
}
