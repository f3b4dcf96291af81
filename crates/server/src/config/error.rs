//! What is wrong with a node's settings, told so that the operator finds the place.

use std::io;
use std::path::PathBuf;

use super::Origin;

/// Why a node does not start with these settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not valid {language}: {detail}", file.display())]
    Syntax {
        file: PathBuf,
        language: &'static str,
        detail: String,
    },
    #[error("there is no setting {key} ({origin}){}", suggestion(nearest.as_deref()))]
    UnknownKey {
        key: String,
        origin: Origin,
        nearest: Option<String>,
    },
    #[error("{key} cannot be {found} ({origin}): {expected}")]
    Value {
        key: &'static str,
        found: String,
        origin: Origin,
        expected: String,
    },
    #[error("--set takes KEY=VALUE, not {found:?}")]
    SetSyntax { found: String },
    #[error("node {node} is listed twice in cluster.nodes")]
    NodeTwice { node: u64 },
    #[error(
        "node.id is {node}, but cluster.nodes lists only {listed}: the list names every node of the \
         cluster, this one included"
    )]
    NodeNotListed { node: u64, listed: String },
    #[error(
        "cluster.join is for a node that joins a running cluster, and cluster.nodes for those that a \
         cluster is born with: leave one of them out"
    )]
    JoinAndNodes,
    #[error(
        "{listen} is {address}, which is every interface of this machine: say what others shall \
         connect to with {advertise} (--{flag} HOST)"
    )]
    NoAddressForOthers {
        listen: &'static str,
        address: String,
        advertise: &'static str,
        flag: &'static str,
    },
    #[error("{first} and {second} are both {address}")]
    SamePort {
        first: &'static str,
        second: &'static str,
        address: String,
    },
    #[error(
        "{smaller} is {smaller_value}, but it must not be above {larger}, which is {larger_value}"
    )]
    Order {
        smaller: &'static str,
        smaller_value: u64,
        larger: &'static str,
        larger_value: u64,
    },
    #[error("{key} {detail}")]
    Unfit { key: &'static str, detail: String },
    #[error(transparent)]
    Tls(#[from] flotilla_net::TlsError),
    #[error("storage.{0}")]
    Storage(#[from] flotilla_storage::InvalidConfig),
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}
