//! `kbroker`: the command lines of those who come from KBroker, word by word.
//!
//! `topic` and `schema` are the same as without `kbroker` before them, but that `topic create` takes the
//! profile. What this version does not serve is understood and refused by its name.

use clap::{Args, Subcommand};
use flotilla_types::TopicProfile;

use crate::failure::Failure;
use crate::schemas::{self, SchemaCommand};
use crate::topics::{self, TopicCommand};
use crate::{Exit, GlobalOptions, Io};

#[derive(Clone, Debug, Subcommand)]
pub enum KbrokerCommand {
    /// As `topic`; `create` makes topics of the profile kbroker
    #[command(subcommand)]
    Topic(TopicCommand),
    /// As `schema`
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Push subscriptions, which are not served yet
    #[command(subcommand)]
    Subscription(SubscriptionCommand),
    /// Connectors, which are not served yet
    #[command(subcommand)]
    Connector(ConnectorCommand),
}

#[derive(Clone, Debug, Subcommand)]
pub enum SubscriptionCommand {
    /// Create a subscription
    Create(SubscriptionName),
    /// Deliver nothing for a while
    Pause(SubscriptionName),
    /// Go on with deliveries
    Resume(SubscriptionName),
    /// Show how far deliveries are behind
    Lag(SubscriptionName),
    /// Deliver messages of the last hours again
    Rewind {
        #[command(flatten)]
        name: SubscriptionName,
        /// How many hours
        hours: Option<u32>,
    },
    /// Deliver messages of the dead-letter topic again
    Redrive {
        #[command(flatten)]
        name: SubscriptionName,
        /// How many of them
        #[arg(long, value_name = "N")]
        max_messages: Option<u64>,
    },
}

#[derive(Args, Clone, Debug)]
pub struct SubscriptionName {
    /// Name of the subscription
    name: Option<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ConnectorCommand {
    /// Create a connector
    Create {
        /// Name of the connector
        name: Option<String>,
    },
}

pub(crate) async fn run(
    command: KbrokerCommand,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    match command {
        KbrokerCommand::Topic(command) => {
            topics::run(command.with_profile(TopicProfile::KBROKER), global, io).await
        }
        KbrokerCommand::Schema(command) => schemas::run(command, global, io).await,
        KbrokerCommand::Subscription(_) => Err(Failure::NotServed {
            what: "push subscriptions",
            hint: "until then, `consume TOPIC --group GROUP` reads a topic, and `group` shows its lag",
        }),
        KbrokerCommand::Connector(_) => Err(Failure::NotServed {
            what: "connectors",
            hint: "until then, `produce TOPIC` writes records from a file or from stdin",
        }),
    }
}
