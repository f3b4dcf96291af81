//! The kinds of values that settings take.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::address::{HostPort, PartialAddress};
use super::written::Value;
use crate::telemetry::is_log_filter;

/// What a setting takes, and how it is read.
pub(crate) trait Kind {
    type Value;

    /// `None` if the value is of another kind or out of range.
    fn read(&self, value: &Value) -> Option<Self::Value>;

    /// What it takes, in words that fit after "it takes".
    fn takes(&self) -> String;

    /// The names in its tables, if it takes a list of tables.
    fn columns(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A whole number in a range.
pub(crate) struct Number {
    pub(crate) unit: &'static str,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// A whole number in a range, or `"off"`.
pub(crate) struct NumberOrOff(pub(crate) Number);

/// Text that is not empty.
pub(crate) struct Text {
    pub(crate) what: &'static str,
}

/// The name of a file or a directory.
pub(crate) struct FilePath;

/// The name of a file, or `"off"` for none.
pub(crate) struct FilePathOrOff;

/// One of a few words.
pub(crate) struct Choice(pub(crate) &'static [&'static str]);

/// On or off.
pub(crate) struct Switch;

/// What the log lets through.
pub(crate) struct LogFilter;

/// A port, a host or both.
pub(crate) struct Address;

/// Hosts with their ports, or `"off"` for none.
pub(crate) struct HostPortsOrOff;

/// The nodes of a cluster.
pub(crate) struct Nodes;

/// One node as it is written in `cluster.nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrittenNode {
    pub(crate) id: u64,
    pub(crate) peer: PartialAddress,
    pub(crate) client: Option<PartialAddress>,
}

impl Number {
    pub(crate) const fn bytes(min: u64, max: u64) -> Self {
        Self {
            unit: "bytes",
            min,
            max,
        }
    }

    pub(crate) const fn milliseconds(min: u64, max: u64) -> Self {
        Self {
            unit: "milliseconds",
            min,
            max,
        }
    }

    pub(crate) const fn count(min: u64, max: u64) -> Self {
        Self {
            unit: "a number",
            min,
            max,
        }
    }
}

impl Kind for Number {
    type Value = u64;

    fn read(&self, value: &Value) -> Option<u64> {
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok()?,
            Value::Text(text) => text.parse().ok()?,
            Value::Tables(_) | Value::Other(_) => return None,
        };
        (self.min..=self.max).contains(&number).then_some(number)
    }

    fn takes(&self) -> String {
        let Self { unit, min, max } = self;
        // TOML has no larger number, so there is nothing to say about it.
        if *max >= i64::MAX.unsigned_abs() {
            format!("{unit} from {min}")
        } else {
            format!("{unit} from {min} to {max}")
        }
    }
}

impl Kind for NumberOrOff {
    type Value = Option<u64>;

    fn read(&self, value: &Value) -> Option<Option<u64>> {
        match value {
            Value::Text(text) if text == "off" => Some(None),
            value => self.0.read(value).map(Some),
        }
    }

    fn takes(&self) -> String {
        format!("{}, or \"off\"", self.0.takes())
    }
}

impl Kind for Text {
    type Value = String;

    fn read(&self, value: &Value) -> Option<String> {
        match value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    fn takes(&self) -> String {
        self.what.to_owned()
    }
}

impl Kind for FilePath {
    type Value = PathBuf;

    fn read(&self, value: &Value) -> Option<PathBuf> {
        match value {
            Value::Text(text) if !text.is_empty() => Some(PathBuf::from(text)),
            _ => None,
        }
    }

    fn takes(&self) -> String {
        "a path".to_owned()
    }
}

impl Kind for FilePathOrOff {
    type Value = Option<PathBuf>;

    fn read(&self, value: &Value) -> Option<Option<PathBuf>> {
        match value {
            Value::Text(text) if text == "off" => Some(None),
            value => FilePath.read(value).map(Some),
        }
    }

    fn takes(&self) -> String {
        "a path, or \"off\"".to_owned()
    }
}

impl Kind for Choice {
    type Value = &'static str;

    fn read(&self, value: &Value) -> Option<&'static str> {
        match value {
            Value::Text(text) => self.0.iter().find(|choice| *choice == text).copied(),
            _ => None,
        }
    }

    fn takes(&self) -> String {
        let quoted: Vec<_> = self.0.iter().map(|choice| format!("{choice:?}")).collect();
        quoted.join(" or ")
    }
}

impl Kind for Switch {
    type Value = bool;

    fn read(&self, value: &Value) -> Option<bool> {
        match value {
            Value::Text(text) | Value::Other(text) => match text.as_str() {
                "on" | "true" => Some(true),
                "off" | "false" => Some(false),
                _ => None,
            },
            Value::Integer(_) | Value::Tables(_) => None,
        }
    }

    fn takes(&self) -> String {
        "\"on\" or \"off\"".to_owned()
    }
}

impl Kind for LogFilter {
    type Value = String;

    fn read(&self, value: &Value) -> Option<String> {
        match value {
            Value::Text(text) if is_log_filter(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn takes(&self) -> String {
        "error, warn, info, debug, trace or off, or directives like \"info,flotilla_raft=debug\""
            .to_owned()
    }
}

impl Kind for Address {
    type Value = PartialAddress;

    fn read(&self, value: &Value) -> Option<PartialAddress> {
        match value {
            Value::Text(text) => PartialAddress::parse(text),
            Value::Integer(port) => PartialAddress::parse(&port.to_string()),
            Value::Tables(_) | Value::Other(_) => None,
        }
    }

    fn takes(&self) -> String {
        "a port, \"host\" or \"host:port\"".to_owned()
    }
}

impl Kind for HostPortsOrOff {
    type Value = Vec<HostPort>;

    fn read(&self, value: &Value) -> Option<Vec<HostPort>> {
        let Value::Text(text) = value else {
            return None;
        };
        if text == "off" {
            return Some(Vec::new());
        }
        let addresses = text.split(',').map(|address| {
            let PartialAddress { host, port } = PartialAddress::parse(address.trim())?;
            Some(HostPort::new(host?, port?))
        });
        addresses.collect()
    }

    fn takes(&self) -> String {
        "\"host:port\", several of them with commas between, or \"off\"".to_owned()
    }
}

impl Kind for Nodes {
    type Value = Vec<WrittenNode>;

    fn read(&self, value: &Value) -> Option<Vec<WrittenNode>> {
        let nodes = match value {
            Value::Tables(tables) => tables.iter().map(WrittenNode::from_table).collect(),
            Value::Text(text) => text.split(',').map(WrittenNode::parse).collect(),
            Value::Integer(_) | Value::Other(_) => None,
        };
        nodes.filter(|nodes: &Vec<_>| !nodes.is_empty())
    }

    fn takes(&self) -> String {
        "a list of {id = 1, peer = \"host:port\", client = \"host:port\"} in which client may be \
         left out; in a variable or a flag, 1=host:port/host:port,2=.."
            .to_owned()
    }

    fn columns(&self) -> &'static [&'static str] {
        &["id", "peer", "client"]
    }
}

impl WrittenNode {
    fn from_table(table: &BTreeMap<String, Value>) -> Option<Self> {
        let client = match table.get("client") {
            Some(client) => Some(Address.read(client)?),
            None => None,
        };
        Self::checked(
            NODE_ID.read(table.get("id")?)?,
            Address.read(table.get("peer")?)?,
            client,
        )
    }

    /// Reads `1=host:port/host:port`.
    fn parse(text: &str) -> Option<Self> {
        let (id, addresses) = text.trim().split_once('=')?;
        let id = NODE_ID.read(&Value::Text(id.to_owned()))?;
        let (peer, client) = match addresses.split_once('/') {
            Some((peer, client)) => (peer, Some(PartialAddress::parse(client)?)),
            None => (addresses, None),
        };
        Self::checked(id, PartialAddress::parse(peer)?, client)
    }

    fn checked(id: u64, peer: PartialAddress, client: Option<PartialAddress>) -> Option<Self> {
        // A port alone says nothing about where the node is.
        peer.host.is_some().then_some(Self { id, peer, client })
    }
}

/// What a node may be called.
pub(crate) const NODE_ID: Number = Number::count(1, i64::MAX.unsigned_abs());
