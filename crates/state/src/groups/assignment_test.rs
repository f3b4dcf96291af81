use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{MemberId, PartitionId};
use proptest::prelude::*;

use super::assignment::assign;
use super::bodies::partition_id;
use super::test_commands::member_id;

type Shares = BTreeMap<MemberId, BTreeSet<PartitionId>>;

fn partitions(count: u32) -> BTreeSet<PartitionId> {
    (0..count)
        .map(|index| partition_id(1 + u64::from(index / 8), index % 8))
        .collect()
}

fn member(number: usize) -> MemberId {
    member_id(&format!("m{number:04}"))
}

/// Members from `start` to `end` that all want `count` partitions.
fn equal_wishes(members: std::ops::Range<usize>, count: u32) -> Shares {
    let wanted = partitions(count);
    members
        .map(|number| (member(number), wanted.clone()))
        .collect()
}

fn any_shares(members: usize, count: u32) -> impl Strategy<Value = Shares> {
    let all: Vec<_> = partitions(count).into_iter().collect();
    let length = all.len();
    let share = prop::sample::subsequence(all, 0..=length);
    let share = share.prop_map(|share| share.into_iter().collect());
    prop::collection::btree_map((0..members).prop_map(member), share, 0..=members)
}

/// Wishes by topic, as subscriptions make them: members that want the same, and topics of many
/// partitions beside those of one.
fn wishes_by_topic() -> impl Strategy<Value = Shares> {
    let share = prop::sample::subsequence((0_u64..5).collect::<Vec<_>>(), 0..=5);
    let share = share.prop_map(|topics| {
        let of = |topic: u64| (0..1 + 3 * topic as u32).map(move |at| partition_id(topic, at));
        topics.into_iter().flat_map(of).collect()
    });
    prop::collection::btree_map((0_usize..9).prop_map(member), share, 0..=9)
}

fn assert_complete(wanted: &Shares, assigned: &Shares) {
    assert!(wanted.keys().eq(assigned.keys()));
    let all: BTreeSet<_> = wanted.values().flatten().collect();
    let given: Vec<_> = assigned.values().flatten().collect();
    assert_eq!(given.len(), all.len(), "each partition goes to one member");
    assert_eq!(given.into_iter().collect::<BTreeSet<_>>(), all);
    for (member, share) in assigned {
        assert!(share.is_subset(&wanted[member]), "{member} did not want it");
    }
}

fn assert_even(wanted: &Shares, assigned: &Shares) {
    for (larger, share) in assigned {
        for (smaller, other) in assigned {
            if share.len() >= other.len() + 2 {
                let surplus = share.intersection(&wanted[smaller]).next();
                assert_eq!(surplus, None, "{larger} has more than {smaller}");
            }
        }
    }
}

/// How many partitions somebody had and does not have any more.
fn lost(before: &Shares, after: &Shares) -> usize {
    let nothing = BTreeSet::new();
    let lost = before.iter().map(|(member, share)| {
        let after = after.get(member).unwrap_or(&nothing);
        share.difference(after).count()
    });
    lost.sum()
}

/// The fewest partitions that members with equal wishes must lose so that their shares are even.
fn fewest_lost(current: &Shares, members: usize, count: usize) -> usize {
    let (quota, larger) = (count / members, count % members);
    let over: Vec<_> = current.values().map(BTreeSet::len).collect();
    let lost: usize = over.iter().map(|size| size.saturating_sub(quota)).sum();
    let may_keep_one_more = over.iter().filter(|size| **size > quota).count();
    lost - may_keep_one_more.min(larger)
}

proptest! {
    #[test]
    fn every_wanted_partition_goes_to_one_member_evenly(
        (wanted, current) in (any_shares(8, 40), any_shares(10, 48)),
    ) {
        let assigned = assign(&wanted, &current);
        assert_complete(&wanted, &assigned);
        assert_even(&wanted, &assigned);
        prop_assert_eq!(assign(&wanted, &assigned), assigned, "what is even stays");
    }

    #[test]
    fn subscriptions_to_topics_are_served_evenly_from_any_distribution(
        (before, wanted) in (wishes_by_topic(), wishes_by_topic()),
    ) {
        let current = assign(&before, &Shares::new());
        let assigned = assign(&wanted, &current);
        assert_complete(&wanted, &assigned);
        assert_even(&wanted, &assigned);
        prop_assert_eq!(assign(&wanted, &assigned), assigned, "what is even stays");
    }

    #[test]
    fn with_equal_wishes_as_little_as_possible_moves(
        members in 1_usize..9,
        count in 0_u32..60,
        owners in prop::collection::vec(0_usize..12, 60),
    ) {
        let wanted = equal_wishes(0..members, count);
        let mut current = Shares::new();
        for (partition, owner) in partitions(count).into_iter().zip(owners) {
            if owner < members {
                current.entry(member(owner)).or_default().insert(partition);
            }
        }
        let assigned = assign(&wanted, &current);
        assert_complete(&wanted, &assigned);
        let sizes: BTreeSet<_> = assigned.values().map(BTreeSet::len).collect();
        prop_assert!(sizes.last().unwrap() - sizes.first().unwrap() <= 1, "{:?}", sizes);
        let fewest = fewest_lost(&current, members, count as usize);
        prop_assert_eq!(lost(&current, &assigned), fewest);
    }

    #[test]
    fn when_one_leaves_nobody_loses_anything(
        members in 2_usize..12,
        count in 0_u32..80,
        leaver in any::<prop::sample::Index>(),
    ) {
        let mut wanted = equal_wishes(0..members, count);
        let mut current = assign(&wanted, &Shares::new());
        let leaver = member(leaver.index(members));
        wanted.remove(&leaver);
        current.remove(&leaver);
        let assigned = assign(&wanted, &current);
        assert_even(&wanted, &assigned);
        prop_assert_eq!(lost(&current, &assigned), 0);
    }

    #[test]
    fn when_one_joins_only_its_quota_moves(members in 1_usize..12, count in 0_u32..80) {
        let current = assign(&equal_wishes(1..members + 1, count), &Shares::new());
        let wanted = equal_wishes(0..members + 1, count);
        let assigned = assign(&wanted, &current);
        assert_even(&wanted, &assigned);
        let quota = count as usize / (members + 1);
        prop_assert_eq!(assigned[&member(0)].len(), quota);
        prop_assert_eq!(lost(&current, &assigned), quota);
        for (member, share) in &current {
            let lost = share.difference(&assigned[member]).count();
            prop_assert_eq!(lost, share.len() - assigned[member].len(), "{} got others", member);
        }
    }
}

#[test]
fn members_and_partitions_of_nobody_are_no_trouble() {
    let nobody = Shares::new();
    assert_eq!(assign(&nobody, &equal_wishes(0..2, 5)), nobody);
    let idle = equal_wishes(0..2, 0);
    assert_eq!(assign(&idle, &equal_wishes(0..2, 5)), idle);
}

#[test]
fn a_member_that_has_just_taken_gives_to_one_that_could_not_take_before() {
    let of = |range: std::ops::Range<u32>| range.map(|index| partition_id(1, index)).collect();
    let wanted = Shares::from([
        (member(0), of(0..8)),
        (member(1), of(0..9)),
        (member(2), of(8..9)),
    ]);
    let current = Shares::from([(member(0), of(0..8)), (member(1), of(8..9))]);
    let assigned = assign(&wanted, &current);
    assert_complete(&wanted, &assigned);
    let sizes: Vec<_> = assigned.values().map(BTreeSet::len).collect();
    assert_eq!(sizes, [4, 4, 1]);
}

/// As large as a group of one topic can be. It would not end in a test's time if the work grew with
/// the square of either number.
#[test]
fn the_largest_group_is_distributed_and_joined() {
    let first = equal_wishes(0..1, 4_096);
    let current = assign(&first, &Shares::new());
    let wanted = equal_wishes(0..1_000, 4_096);
    let assigned = assign(&wanted, &current);
    assert_complete(&wanted, &assigned);
    assert!(assigned.values().all(|share| [4, 5].contains(&share.len())));
    assert_eq!(lost(&current, &assigned), 4_096 - 5);
}
