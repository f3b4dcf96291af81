//! The arguments of `topic`.

use clap::{Args, Subcommand};
use flotilla_client::{Offset, PartitionIndex, TopicName};
use flotilla_types::TopicProfile;

use crate::values::{KeyValue, parse_key_value, parse_partition};

#[derive(Clone, Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic and wait until its partitions have leaders
    ///
    /// On a terminal and without a name, it asks for the name, for whom the topic is, the number of
    /// partitions and the profile.
    Create(CreateArgs),
    /// List all topics
    List,
    /// Show configuration, partitions, replicas and how far the logs go
    Describe(DescribeArgs),
    /// Change the configuration or add partitions
    Alter(AlterArgs),
    /// Delete a topic with its records; this cannot be undone
    Delete(DeleteArgs),
    /// Delete the oldest records of a topic, up to an offset; this cannot be undone
    DeleteRecords(DeleteRecordsArgs),
}

#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// Name of the topic
    #[arg(value_name = "NAME", value_parser = TopicName::parse)]
    pub(super) name: Option<TopicName>,
    /// Number of partitions [default: 1]
    #[arg(long, value_name = "N")]
    pub(super) partitions: Option<u32>,
    /// Replicas of each partition [default: 3, or the number of nodes if there are fewer]
    #[arg(long, value_name = "N")]
    pub(super) replication_factor: Option<u32>,
    /// Several keys of the configuration at once, which --config can override: kbroker is for messages
    /// up to 64 KiB that are kept for 7 days
    #[arg(long, value_name = "PROFILE", value_parser = TopicProfile::parse)]
    pub(super) profile: Option<TopicProfile>,
    /// For everybody: the topic takes no records before it has a schema
    #[arg(long, conflicts_with = "private")]
    pub(super) public: bool,
    /// For those who know one another: the topic may have a schema [default]
    #[arg(long)]
    pub(super) private: bool,
    /// A key of the configuration, such as retention_ms=3600000; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_key_value)]
    pub(super) config: Vec<KeyValue>,
    /// Accept a topic that exists, and leave it as it is
    #[arg(long)]
    pub(super) if_not_exists: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DescribeArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "NAME", value_parser = TopicName::parse)]
    pub(super) names: Vec<TopicName>,
}

#[derive(Args, Clone, Debug)]
pub struct AlterArgs {
    /// Name of the topic
    #[arg(value_name = "NAME", value_parser = TopicName::parse)]
    pub(super) name: TopicName,
    /// A key of the configuration and its new value; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_key_value)]
    pub(super) config: Vec<KeyValue>,
    /// A key of the configuration to put back to its default; can be repeated
    #[arg(long, value_name = "KEY")]
    pub(super) reset: Vec<String>,
    /// New number of partitions; it can only grow
    #[arg(long, value_name = "N")]
    pub(super) partitions: Option<u32>,
}

#[derive(Args, Clone, Debug)]
pub struct DeleteArgs {
    /// Name of the topic
    #[arg(value_name = "NAME", value_parser = TopicName::parse)]
    pub(super) name: TopicName,
}

#[derive(Args, Clone, Debug)]
pub struct DeleteRecordsArgs {
    /// Name of the topic
    #[arg(value_name = "NAME", value_parser = TopicName::parse)]
    pub(super) name: TopicName,
    /// The first offset that stays, or `end` to delete all that is there now
    #[arg(long, value_name = "OFFSET|end", value_parser = parse_before)]
    pub(super) before: Before,
    /// The partition; without it, `--before end` empties all of them
    #[arg(long, value_name = "N", value_parser = parse_partition)]
    pub(super) partition: Option<PartitionIndex>,
}

impl TopicCommand {
    /// The same command, where a new topic has this profile unless another one is named.
    pub(crate) fn with_profile(self, profile: TopicProfile) -> Self {
        match self {
            Self::Create(mut args) => {
                args.profile.get_or_insert(profile);
                Self::Create(args)
            }
            other => other,
        }
    }
}

/// Up to where records are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Offset(Offset),
    End,
}

fn parse_before(text: &str) -> Result<Before, String> {
    if text == "end" {
        return Ok(Before::End);
    }
    let offset = text
        .parse()
        .map(|offset| Before::Offset(Offset::new(offset)));
    offset.map_err(|_| "give an offset, such as 1000, or end".to_owned())
}
