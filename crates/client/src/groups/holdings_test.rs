//! The bookkeeping of a member.

use flotilla_types::{Generation, MemberId, Offset, PartitionIndex, TopicId, TopicName};

use super::assignment::{Assignment, HeldPartition};
use super::holdings::{Holdings, Membership};
use crate::PartitionName;

fn name(partition: u32) -> PartitionName {
    let topic = TopicName::parse("orders").unwrap();
    PartitionName::new(topic, PartitionIndex::new(partition))
}

fn held(partition: u32, generation: u64) -> HeldPartition {
    HeldPartition {
        name: name(partition),
        topic_id: TopicId::new(1),
        generation: Generation::new(generation),
    }
}

fn names(partitions: &[HeldPartition]) -> Vec<u32> {
    let partitions = partitions.iter().map(|held| held.name.partition.get());
    partitions.collect()
}

/// With the member, what it shall read, and what it shall give up.
fn membership(member: &str, read: &[HeldPartition], revoked: &[HeldPartition]) -> Membership {
    Membership {
        member: MemberId::parse(member).unwrap(),
        assignment: Assignment {
            version: 1,
            partitions: read.to_vec(),
            revoked: revoked.to_vec(),
        },
    }
}

/// Holds partitions 0 and 1 in generation 3, from offset 10 and from the start, which is 5.
fn reading() -> Holdings {
    let mut holdings = Holdings::default();
    let membership = membership("m1", &[held(0, 3), held(1, 3)], &[]);
    assert!(holdings.apply(Some(&membership)).is_empty());
    holdings.begin(&name(0), Some(Offset::new(10)));
    holdings.begin(&name(1), None);
    holdings.note_positions(|other| (*other == name(1)).then(|| Offset::new(5)));
    holdings
}

fn uncommitted(holdings: &Holdings) -> Vec<(u32, u64, u64)> {
    let commits = holdings.uncommitted().into_iter();
    commits
        .map(|commit| {
            let partition = commit.partition;
            let generation = partition.generation.get();
            (
                partition.name.partition.get(),
                generation,
                commit.offset.get(),
            )
        })
        .collect()
}

#[test]
fn a_new_partition_waits_for_its_start() {
    let mut holdings = Holdings::default();
    holdings.apply(Some(&membership("m1", &[held(0, 3), held(1, 3)], &[])));
    assert_eq!(names(&holdings.new_partitions()), [0, 1]);
    assert_eq!(uncommitted(&holdings), []);
    holdings.begin(&name(0), Some(Offset::new(10)));
    assert_eq!(names(&holdings.new_partitions()), [1]);
    assert_eq!(uncommitted(&holdings), [], "nothing was read yet");
    assert_eq!(holdings.names().count(), 2);
}

#[test]
fn positions_are_committed_once_with_their_generation() {
    let mut holdings = reading();
    assert_eq!(
        uncommitted(&holdings),
        [(1, 3, 5)],
        "a start that was looked up"
    );
    holdings.note_positions(|_| Some(Offset::new(12)));
    assert_eq!(uncommitted(&holdings), [(0, 3, 12), (1, 3, 12)]);
    let commits = holdings.uncommitted();
    holdings.note_committed(&commits[0]);
    assert_eq!(uncommitted(&holdings), [(1, 3, 12)]);
}

#[test]
fn a_revoked_partition_stops_is_committed_and_then_released() {
    let mut holdings = reading();
    holdings.note_positions(|_| Some(Offset::new(20)));
    let revoking = membership("m1", &[held(0, 3)], &[held(1, 3)]);
    assert_eq!(holdings.apply(Some(&revoking)), [name(1)]);
    assert_eq!(holdings.apply(Some(&revoking)), [], "it stops once");
    assert_eq!(holdings.names().collect::<Vec<_>>(), [&name(0)]);
    holdings.note_positions(|_| Some(Offset::new(99)));
    assert_eq!(uncommitted(&holdings), [(0, 3, 99), (1, 3, 20)]);
    let revoked = holdings.revoked();
    assert_eq!(names(&revoked), [1]);
    holdings.forget(&revoked);
    assert_eq!(uncommitted(&holdings), [(0, 3, 99)]);
    assert!(holdings.claim(&name(1)).is_none());
}

#[test]
fn a_partition_that_was_never_read_is_released_without_a_commit() {
    let mut holdings = Holdings::default();
    holdings.apply(Some(&membership("m1", &[held(0, 3)], &[])));
    let revoking = membership("m1", &[], &[held(0, 3), held(1, 2)]);
    assert_eq!(
        holdings.apply(Some(&revoking)),
        [],
        "nothing was being read"
    );
    assert_eq!(names(&holdings.revoked()), [0, 1]);
    assert_eq!(uncommitted(&holdings), []);
    assert!(holdings.new_partitions().is_empty());
}

#[test]
fn what_the_assignment_does_not_name_is_lost_and_never_committed() {
    let mut holdings = reading();
    let shrunk = membership("m1", &[held(0, 3)], &[]);
    assert_eq!(holdings.apply(Some(&shrunk)), [name(1)]);
    assert_eq!(uncommitted(&holdings), []);
    assert!(holdings.revoked().is_empty());
}

#[test]
fn another_generation_or_topic_is_another_claim() {
    for changed in [
        held(0, 4),
        HeldPartition {
            topic_id: TopicId::new(2),
            ..held(0, 3)
        },
    ] {
        let mut holdings = reading();
        let again = membership("m1", &[changed.clone(), held(1, 3)], &[]);
        assert_eq!(holdings.apply(Some(&again)), [name(0)]);
        assert_eq!(holdings.new_partitions(), [changed]);
        assert_eq!(uncommitted(&holdings), [(1, 3, 5)]);
    }
}

#[test]
fn nothing_is_kept_across_memberships() {
    for next in [None, Some(membership("m2", &[held(0, 3)], &[]))] {
        let mut holdings = reading();
        assert_eq!(holdings.apply(next.as_ref()), [name(0), name(1)]);
        assert_eq!(uncommitted(&holdings), []);
        let member = next.map(|next| next.member);
        assert_eq!(holdings.member(), member.as_ref());
    }
}

#[test]
fn an_interruption_that_the_consumer_does_not_see_changes_nothing() {
    let mut holdings = reading();
    let same = membership("m1", &[held(0, 3), held(1, 3)], &[]);
    assert!(holdings.apply(Some(&same)).is_empty());
    assert!(holdings.new_partitions().is_empty());
}

#[test]
fn a_revocation_that_is_taken_back_begins_anew() {
    let mut holdings = reading();
    let revoking = membership("m1", &[held(0, 3)], &[held(1, 3)]);
    holdings.apply(Some(&revoking));
    holdings.apply(Some(&membership("m1", &[held(0, 3), held(1, 3)], &[])));
    assert_eq!(names(&holdings.new_partitions()), [1]);
    assert!(holdings.revoked().is_empty());
}

#[test]
fn a_late_answer_does_not_touch_a_newer_claim() {
    let mut holdings = reading();
    let commits = holdings.uncommitted();
    holdings.apply(Some(&membership("m1", &[held(0, 3), held(1, 4)], &[])));
    holdings.begin(&name(1), Some(Offset::new(4)));
    holdings.note_positions(|_| Some(Offset::new(5)));
    holdings.note_committed(&commits[0]);
    assert!(uncommitted(&holdings).contains(&(1, 4, 5)));
}
