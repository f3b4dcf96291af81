//! Who shall read what: computed by the leader of a coordinator, proposed, and kept only if the
//! membership is still the one that it was computed from.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_raft::Coordinator;
use flotilla_state::groups::{CoordinatorCommand, CoordinatorOutcome, Subscription, assignment};
use flotilla_state::metadata::{MetadataState, Topic};
use flotilla_types::{GroupId, MemberId, PartitionId, PartitionIndex};
use regex::{Regex, RegexBuilder};

use crate::node::Node;

/// Memory that a compiled pattern may take. Bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

type Shares = BTreeMap<MemberId, BTreeSet<PartitionId>>;
type Subscriptions = Vec<(MemberId, Subscription)>;

/// Distributes a group's partitions among its members, if that changes anything. False if it has to
/// be tried again, which is the keeper's business.
pub(crate) async fn rebalance(node: &Node, coordinator: &Coordinator, id: &GroupId) -> bool {
    let metadata = node.state();
    let read = coordinator.look(|state| {
        let group = state.group(id)?;
        let members = group.members().iter();
        let subscriptions: Subscriptions = members
            .map(|(member, known)| (member.clone(), known.subscription.clone()))
            .collect();
        let current = group.current_of_members();
        Some((group.membership_version(), subscriptions, current))
    });
    let Some((based_on, subscriptions, current)) = read else {
        return true;
    };
    let wanted = wanted(&metadata, &subscriptions);
    let shares = assignment::assign(&wanted, &current);
    if shares == current {
        return true;
    }
    let targets = shares
        .into_iter()
        .map(|(member, partitions)| (member, partitions.into_iter().collect()));
    let command = CoordinatorCommand::Assign {
        group: id.clone(),
        based_on,
        targets: targets.collect(),
        now: node.now(),
    };
    match coordinator.propose(&command).await {
        Ok(outcome) => {
            tracing::debug!(group = %id, ?outcome, "distributed a group's partitions");
            outcome != CoordinatorOutcome::Stale
        }
        Err(error) => {
            tracing::debug!(group = %id, %error, "cannot distribute a group's partitions");
            false
        }
    }
}

/// What each member subscribes to, as the topics are now.
fn wanted(metadata: &MetadataState, subscriptions: &Subscriptions) -> Shares {
    let mut matched: BTreeMap<&str, BTreeSet<PartitionId>> = BTreeMap::new();
    let wanted = subscriptions.iter().map(|(id, subscription)| {
        let partitions = match subscription {
            Subscription::Topics(topics) => {
                let topics = topics.iter().filter_map(|name| metadata.topic_named(name));
                topics.flat_map(partitions_of).collect()
            }
            // Many members have one pattern.
            Subscription::Pattern(pattern) => matched
                .entry(pattern)
                .or_insert_with(|| matching(metadata, pattern))
                .clone(),
        };
        (id.clone(), partitions)
    });
    wanted.collect()
}

fn matching(metadata: &MetadataState, pattern: &str) -> BTreeSet<PartitionId> {
    // It was checked when the member joined.
    let Ok(matcher) = matcher(pattern) else {
        return BTreeSet::new();
    };
    let topics = metadata.topics();
    let matching = topics.filter(|topic| matcher.is_match(topic.name.as_str()));
    matching.flat_map(partitions_of).collect()
}

fn partitions_of(topic: &Topic) -> impl Iterator<Item = PartitionId> {
    let id = topic.id;
    (0..topic.partition_count()).map(move |index| PartitionId {
        topic: id,
        index: PartitionIndex::new(index),
    })
}

/// A pattern that has to match a topic's whole name.
pub(super) fn matcher(pattern: &str) -> Result<Regex, regex::Error> {
    // By itself first: a parenthesis that closes what was never opened would end the group below.
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE_MAX)
        .build()?;
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(PATTERN_SIZE_MAX)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        let matcher = matcher("orders|refunds").unwrap();
        assert!(matcher.is_match("orders") && matcher.is_match("refunds"));
        assert!(!matcher.is_match("orders.eu") && !matcher.is_match("old-refunds"));
    }

    #[test]
    fn patterns_that_are_none_or_too_large_are_refused() {
        for wrong in ["(", "a)(?:b", "[z-a]", "(?<=a)b", "((a{100}){100}){100}"] {
            assert!(matcher(wrong).is_err(), "{wrong}");
        }
    }
}
