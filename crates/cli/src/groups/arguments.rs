//! The arguments of `group`.

use clap::{Args, Subcommand};
use flotilla_client::{GroupId, PartitionIndex, TopicName};

use crate::records::Start;
use crate::values::parse_partition;

#[derive(Clone, Debug, Subcommand)]
pub enum GroupCommand {
    /// List all consumer groups
    List,
    /// Show the members of a group, its committed offsets and how far it is behind
    Describe(DescribeArgs),
    /// Delete a group without members, with its offsets; this cannot be undone
    Delete(DeleteArgs),
    /// Set where a group without members goes on
    Reset(ResetArgs),
}

#[derive(Args, Clone, Debug)]
pub struct DescribeArgs {
    /// Id of the group
    #[arg(value_parser = GroupId::parse)]
    pub(super) group: GroupId,
}

#[derive(Args, Clone, Debug)]
pub struct DeleteArgs {
    /// Id of the group
    #[arg(value_parser = GroupId::parse)]
    pub(super) group: GroupId,
}

#[derive(Args, Clone, Debug)]
pub struct ResetArgs {
    /// Id of the group; it begins to exist with its first committed offset
    #[arg(value_parser = GroupId::parse)]
    pub(super) group: GroupId,
    /// Topic whose offsets are set
    #[arg(long, value_name = "TOPIC", value_parser = TopicName::parse)]
    pub(super) topic: TopicName,
    /// A partition whose offset is set; can be repeated [default: all of the topic]
    #[arg(long = "partition", value_name = "N", value_parser = parse_partition)]
    pub(super) partitions: Vec<PartitionIndex>,
    /// Where to go on: earliest, latest, an offset, a time as in 2024-05-01T12:00:00Z, @ and
    /// milliseconds since 1970, or a time before now such as -10m
    #[arg(
        long,
        value_name = "PLACE",
        value_parser = parse_place,
        allow_hyphen_values = true
    )]
    pub(super) to: Start,
    /// Show what would be done, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Do it; without this or --dry-run the command ends with an error after it has shown the plan
    #[arg(long)]
    pub(super) yes: bool,
}

/// As `consume --from` reads it, with the words for offset resets.
fn parse_place(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        other => Start::parse(other).map_err(|_| {
            "expected earliest, latest, an offset, an RFC 3339 time, @ and milliseconds since \
             1970, or a time before now such as -10m"
                .to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use flotilla_client::Offset;

    use super::*;

    #[test]
    fn a_place_is_a_word_an_offset_or_a_time() {
        assert_eq!(parse_place("earliest"), Ok(Start::Earliest));
        assert_eq!(parse_place("latest"), Ok(Start::Latest));
        assert_eq!(parse_place("17"), Ok(Start::Offset(Offset::new(17))));
        assert_eq!(parse_place("-1h"), Ok(Start::Ago { millis: 3_600_000 }));
        assert!(parse_place("first").unwrap_err().contains("earliest"));
    }
}
