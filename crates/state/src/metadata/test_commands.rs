//! Commands that the tests of this module share.

use flotilla_types::{KeyName, Lineage, NodeAddresses, NodeId, Timestamp, TopicName};

use super::{MetadataChange, MetadataCommand, MetadataOutcome, MetadataState, NodeDuty};
use crate::access::{AccessKey, AccessRule, KeyHash, KeyId};

pub(super) fn name(text: &str) -> TopicName {
    TopicName::parse(text).unwrap()
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

pub(super) fn register(id: u64, lineage: Lineage) -> MetadataCommand {
    MetadataCommand::RegisterNode {
        id: NodeId::new(id),
        lineage,
        addresses: NodeAddresses {
            client: format!("node{id}:7400"),
            peer: format!("node{id}:7401"),
        },
        duty_if_new: NodeDuty::Active,
    }
}

pub(super) fn create(topic: &str, partitions: u32, replication_factor: u32) -> MetadataCommand {
    MetadataCommand::CreateTopic {
        name: name(topic),
        partitions,
        replication_factor,
        config: Vec::new(),
    }
}

pub(super) fn delete(topic: &str) -> MetadataCommand {
    MetadataCommand::DeleteTopic { name: name(topic) }
}

pub(super) fn access(grant: &[&str], revoke: &[&str]) -> MetadataCommand {
    let read = |texts: &[&str]| {
        let rules = texts.iter().map(|text| AccessRule::parse(text).unwrap());
        rules.collect()
    };
    MetadataCommand::ChangeAccess {
        grant: read(grant),
        revoke: read(revoke),
    }
}

pub(super) fn key(name: &str, id: &str, hash: u8) -> AccessKey {
    AccessKey {
        name: KeyName::parse(name).unwrap(),
        id: KeyId::parse(id).unwrap(),
        hash: KeyHash::new([hash; 32]),
        created_at: Timestamp::from_millis(9),
    }
}

pub(super) fn add_key(name: &str, id: &str, hash: u8) -> MetadataCommand {
    MetadataCommand::AddKey {
        key: key(name, id, hash),
    }
}

/// A cluster of nodes 1 to `count`.
pub(super) fn cluster(count: u64) -> MetadataState {
    let mut state = MetadataState::new();
    for id in 1..=count {
        let _ = state.apply(&register(id, Lineage::first(1)));
    }
    state
}

/// Applies a command that has to have an effect.
pub(super) fn apply(
    state: &mut MetadataState,
    command: &MetadataCommand,
) -> (MetadataOutcome, MetadataChange) {
    let applied = state.apply(command);
    let change = applied.change.expect("the command has an effect");
    (applied.outcome, change)
}
