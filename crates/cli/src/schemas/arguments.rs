//! The arguments of `schema`.

use clap::{Args, Subcommand};
use flotilla_client::TopicName;

use crate::source::Source;

#[derive(Clone, Debug, Subcommand)]
pub enum SchemaCommand {
    /// Give a topic its first schema
    Create(GivenSchema),
    /// Give a topic that has a schema a new version of it
    Update(GivenSchema),
    /// Say whether a topic would take a schema, and change nothing
    Check(GivenSchema),
    /// List the versions of a topic's schema, or print one
    List(ListArgs),
}

/// A schema for a topic. On a terminal, what is missing is asked for.
#[derive(Args, Clone, Debug)]
pub struct GivenSchema {
    /// Name of the topic
    #[arg(value_name = "TOPIC", value_parser = TopicName::parse)]
    pub(super) topic: Option<TopicName>,
    /// File with the JSON Schema; - is stdin
    #[arg(short, long, value_name = "FILE", value_parser = Source::parse)]
    pub(super) file: Option<Source>,
}

#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Name of the topic
    #[arg(value_name = "TOPIC", value_parser = TopicName::parse)]
    pub(super) topic: TopicName,
    /// Print the schema of this version
    #[arg(long, value_name = "N")]
    pub(super) version: Option<u32>,
}
