//! Random commands against the invariants of the groups, and random bytes against decoding.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{
    Generation, GroupId, MemberId, Offset, PartitionId, Timestamp, TopicId, TopicName,
};
use proptest::prelude::*;

use super::assignment::assign;
use super::bodies::partition_id;
use super::jobs::{self, model_test::job_command};
use super::test_commands::{
    at, commit, coordinator, delete, distribute, expire, forget, group_id, join, leave, member_id,
    release,
};
use super::{
    CoordinatorCommand, CoordinatorOutcome, CoordinatorState, Group, Member, OffsetCommit,
    Subscription,
};

const INDEXES: u32 = 4;
const TOPICS: u64 = 2;

fn group() -> impl Strategy<Value = GroupId> {
    prop_oneof![4 => Just("g"), 1 => Just("other")].prop_map(group_id)
}

fn member() -> impl Strategy<Value = MemberId> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(member_id)
}

fn partition() -> impl Strategy<Value = PartitionId> {
    (1..=TOPICS, 0..INDEXES).prop_map(|(topic, index)| partition_id(topic, index))
}

fn now() -> impl Strategy<Value = Timestamp> {
    (0_i64..20).prop_map(at)
}

fn subscription() -> impl Strategy<Value = Subscription> {
    let topic = prop::sample::select(vec!["x", "y", "z"]);
    let topic = topic.prop_map(|topic| TopicName::parse(topic).unwrap());
    prop_oneof![
        4 => prop::collection::vec(topic, 0..4).prop_map(Subscription::Topics),
        1 => "[a-z.*]{0,5}".prop_map(Subscription::Pattern),
    ]
}

/// What a test does next. Numbers that only fit some states are filled in from the state that it
/// meets, most of the time, because invented ones would nearly always be refused.
#[derive(Clone, Debug)]
enum Step {
    Command(CoordinatorCommand),
    /// Gives each partition to the member that is chosen for it, if any.
    Distribute(GroupId, Vec<Option<prop::sample::Index>>, Timestamp),
    /// Distributes all partitions evenly.
    EvenOut(GroupId, Timestamp),
    /// A member gives up some of what it should.
    ReleaseSome(GroupId, MemberId, u8, Timestamp),
    ExpireNow(GroupId, MemberId, Timestamp),
    /// A member commits offsets of all that it has, and of one partition that it may not have.
    CommitOwn(GroupId, MemberId, OffsetCommit, Timestamp),
}

fn offset_commit() -> impl Strategy<Value = OffsetCommit> {
    (partition(), 0_u64..6, any::<u64>(), "[a-z]{0,3}").prop_map(
        |(partition, generation, offset, metadata)| OffsetCommit {
            partition,
            generation: Generation::new(generation),
            offset: Offset::new(offset),
            metadata,
        },
    )
}

fn command() -> impl Strategy<Value = CoordinatorCommand> {
    let holding = (partition(), (0_u64..6).prop_map(Generation::new));
    let target = (member(), prop::collection::vec(partition(), 0..4));
    prop_oneof![
        8 => (group(), member(), "[a-z]{0,4}", any::<u32>(), subscription(), now()).prop_map(
            |(group, member, client_name, session_timeout_ms, subscription, now)| {
                CoordinatorCommand::Join {
                    group,
                    member,
                    client_name,
                    session_timeout_ms,
                    subscription,
                    now,
                }
            }
        ),
        2 => (group(), 0_u64..9, prop::collection::vec(target, 0..4), now()).prop_map(
            |(group, based_on, targets, now)| CoordinatorCommand::Assign {
                group,
                based_on,
                targets,
                now,
            }
        ),
        2 => (group(), member(), prop::collection::vec(holding, 0..4), now()).prop_map(
            |(group, member, partitions, now)| CoordinatorCommand::Release {
                group,
                member,
                partitions,
                now,
            }
        ),
        3 => (group(), member(), now())
            .prop_map(|(group, member, now)| CoordinatorCommand::Leave { group, member, now }),
        1 => (group(), member(), 0_u64..9, now()).prop_map(|(group, member, joined, now)| {
            CoordinatorCommand::Expire {
                group,
                member,
                joined,
                now,
            }
        }),
        2 => (
            group(),
            prop::option::of(member()),
            prop::collection::vec(offset_commit(), 0..4),
            now(),
        )
            .prop_map(|(group, member, commits, now)| CoordinatorCommand::CommitOffsets {
                group,
                member,
                commits,
                now,
            }),
        1 => group().prop_map(|group| CoordinatorCommand::DeleteGroup { group }),
        1 => prop::collection::vec((1..=TOPICS).prop_map(TopicId::new), 0..2)
            .prop_map(|topics| CoordinatorCommand::ForgetTopics { topics }),
        1 => (now(), 0_u64..30)
            .prop_map(|(now, idle_ms)| CoordinatorCommand::ExpireGroups { now, idle_ms }),
        2 => job_command().prop_map(CoordinatorCommand::Job),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let choices = (TOPICS as u32 * INDEXES) as usize;
    let chosen = prop::option::weighted(0.8, any::<prop::sample::Index>());
    prop_oneof![
        4 => command().prop_map(Step::Command),
        3 => (group(), prop::collection::vec(chosen, choices), now())
            .prop_map(|(group, chosen, now)| Step::Distribute(group, chosen, now)),
        1 => (group(), now()).prop_map(|(group, now)| Step::EvenOut(group, now)),
        3 => (group(), member(), any::<u8>(), now())
            .prop_map(|(group, member, which, now)| Step::ReleaseSome(group, member, which, now)),
        1 => (group(), member(), now())
            .prop_map(|(group, member, now)| Step::ExpireNow(group, member, now)),
        1 => (group(), member(), offset_commit(), now())
            .prop_map(|(group, member, other, now)| Step::CommitOwn(group, member, other, now)),
    ]
}

fn all_partitions() -> BTreeSet<PartitionId> {
    let of = |topic| (0..INDEXES).map(move |index| partition_id(topic, index));
    (1..=TOPICS).flat_map(of).collect()
}

impl Step {
    /// The command that this step is in `state`; a step for what is not there is none.
    fn command(self, state: &CoordinatorState) -> Option<CoordinatorCommand> {
        Some(match self {
            Self::Command(command) => command,
            Self::Distribute(id, chosen, now) => {
                let group = state.group(&id)?;
                let members: Vec<_> = group.members().keys().cloned().collect();
                let mut targets = BTreeMap::<_, Vec<_>>::new();
                for (partition, chosen) in all_partitions().into_iter().zip(chosen) {
                    if let Some(chosen) = chosen.filter(|_| !members.is_empty()) {
                        let member = chosen.get(&members).clone();
                        targets.entry(member).or_default().push(partition);
                    }
                }
                assign_command(id, group, targets, now)
            }
            Self::EvenOut(id, now) => {
                let group = state.group(&id)?;
                let members = group.members().keys().cloned();
                let wanted = members.map(|member| (member, all_partitions())).collect();
                let targets = assign(&wanted, &group.current_of_members());
                assign_command(id, group, targets, now)
            }
            Self::ReleaseSome(group, member, which, now) => {
                let revoked = &state.group(&group)?.member(&member)?.revoked;
                let chosen = revoked.iter().zip(0..);
                let chosen = chosen.filter(|(_, position)| which & (1 << position) != 0);
                CoordinatorCommand::Release {
                    group,
                    member,
                    partitions: chosen.map(|((of, since), _)| (*of, *since)).collect(),
                    now,
                }
            }
            Self::ExpireNow(group, member, now) => CoordinatorCommand::Expire {
                joined: state.group(&group)?.member(&member)?.joined,
                group,
                member,
                now,
            },
            Self::CommitOwn(group, member, other, now) => {
                let own = state.group(&group)?.member(&member)?.holdings();
                let own = own.map(|(partition, generation)| OffsetCommit {
                    partition,
                    generation,
                    ..other.clone()
                });
                CoordinatorCommand::CommitOffsets {
                    commits: own.chain([other.clone()]).collect(),
                    group,
                    member: Some(member),
                    now,
                }
            }
        })
    }
}

fn assign_command(
    id: GroupId,
    group: &Group,
    targets: BTreeMap<MemberId, impl IntoIterator<Item = PartitionId>>,
    now: Timestamp,
) -> CoordinatorCommand {
    let targets = targets.into_iter();
    CoordinatorCommand::Assign {
        group: id,
        based_on: group.membership_version(),
        targets: targets
            .map(|(member, partitions)| (member, partitions.into_iter().collect()))
            .collect(),
        now,
    }
}

/// What became of the partitions of one group, from when it began to exist until it was deleted.
#[derive(Default)]
struct History {
    /// Who holds what, or gives it up, at this moment.
    holders: BTreeMap<(PartitionId, Generation), MemberId>,
    /// What somebody held once and holds no more. Nobody ever may again.
    ended: BTreeSet<(PartitionId, Generation)>,
    /// Every assignment that a member had, by its version.
    assignments: BTreeMap<u64, (MemberId, Vec<(PartitionId, Generation)>)>,
}

impl History {
    fn follow(&mut self, group: &Group) {
        let mut holders = BTreeMap::new();
        for (id, member) in group.members() {
            for holding in member.holdings() {
                assert!(
                    !self.ended.contains(&holding),
                    "{holding:?} is {id}'s again"
                );
                holders.insert(holding, id.clone());
            }
            let mut assignment: Vec<_> = member.held.iter().map(|(of, at)| (*of, *at)).collect();
            assignment.extend(member.revoked.iter().map(|(of, at)| (*of, *at)));
            let known = self.assignments.entry(member.assignment_version);
            let known = known.or_insert_with(|| (id.clone(), assignment.clone()));
            assert_eq!(
                known,
                &(id.clone(), assignment),
                "one version, two assignments"
            );
        }
        for (holding, holder) in &self.holders {
            match holders.get(holding) {
                Some(now) => assert_eq!(now, holder, "{holding:?} changed hands"),
                None => assert!(self.ended.insert(*holding)),
            }
        }
        self.holders = holders;
    }
}

/// What must be true of every group.
fn assert_sound(group: &Group) {
    let mut holders = BTreeMap::new();
    for (id, member) in group.members() {
        for (partition, generation) in member.holdings() {
            assert!(generation <= group.generation());
            assert_eq!(
                holders.insert(partition, id),
                None,
                "{partition} is held twice"
            );
        }
    }
    let mut awaited = BTreeSet::new();
    for (id, member) in group.members() {
        for partition in &member.awaited {
            assert!(awaited.insert(partition), "{partition} is awaited twice");
            let holder = holders[partition];
            assert_ne!(holder, id);
            let revoked = group.members()[holder].revoked[partition];
            assert!(revoked < group.generation(), "it is granted in a later one");
        }
    }
    let joins: BTreeSet<_> = group
        .members()
        .values()
        .map(|member| member.joined)
        .collect();
    assert_eq!(joins.len(), group.members().len());
}

/// What a command may have done to one group, given its outcome.
fn assert_step(before: &Group, after: &Group, outcome: &CoordinatorOutcome) {
    assert!(after.membership_version() >= before.membership_version());
    let is_assigned = matches!(outcome, CoordinatorOutcome::Assigned { .. }) && before != after;
    let growth = after.generation().get() - before.generation().get();
    assert_eq!(growth, u64::from(is_assigned), "{outcome:?}");
    if !before.members().keys().eq(after.members().keys()) {
        assert!(after.membership_version() > before.membership_version());
    }
    for (id, member) in after.members() {
        let Some(known) = before.member(id) else {
            continue;
        };
        let is_other = (&known.held, &known.revoked) != (&member.held, &member.revoked);
        let has_grown = member.assignment_version > known.assignment_version;
        assert_eq!(has_grown, is_other);
        let is_kept = |partition: &PartitionId| member.holdings().any(|of| of.0 == *partition);
        if is_assigned {
            assert!(known.held.keys().all(is_kept), "lost without a release");
        }
    }
}

/// What a command of these kinds must be answered, by the state that it met.
fn assert_decision(
    before: &CoordinatorState,
    command: &CoordinatorCommand,
    outcome: &CoordinatorOutcome,
) {
    match command {
        CoordinatorCommand::Assign {
            group, based_on, ..
        } => {
            let known = before.group(group).map(Group::membership_version);
            let is_late = known != Some(*based_on);
            assert!(!is_late || *outcome == CoordinatorOutcome::Stale);
        }
        CoordinatorCommand::CommitOffsets {
            group,
            member: Some(member),
            commits,
            ..
        } => {
            let known = before.group(group).and_then(|group| group.member(member));
            let Some(known) = known else {
                return assert!(matches!(outcome, CoordinatorOutcome::Rejected(_)));
            };
            let CoordinatorOutcome::OffsetsCommitted(results) = outcome else {
                panic!("a member was refused: {outcome:?}");
            };
            let may = commits.iter().map(|commit| {
                let mut holdings = known.holdings();
                holdings.any(|holding| holding == (commit.partition, commit.generation))
            });
            assert!(may.eq(results.iter().map(Result::is_ok)));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_two_members_ever_hold_a_partition_in_one_generation(
        steps in prop::collection::vec(step(), 1..80),
        image_after in any::<prop::sample::Index>(),
    ) {
        let mut state = CoordinatorState::new();
        let mut other = state.clone();
        let mut histories = BTreeMap::<GroupId, History>::new();
        let step_count = steps.len();
        for (position, step) in steps.into_iter().enumerate() {
            let Some(command) = step.command(&state) else {
                continue;
            };
            let before = state.clone();
            let outcome = state.apply(&command);
            if is_without_effect(&outcome) {
                prop_assert_eq!(&state, &before, "{:?}", outcome);
            }
            assert_decision(&before, &command, &outcome);
            histories.retain(|id, _| state.group(id).is_some());
            for (id, group) in state.groups() {
                assert_sound(group);
                histories.entry(id.clone()).or_default().follow(group);
                if let Some(before) = before.group(id) {
                    assert_step(before, group, &outcome);
                }
            }

            let decoded = CoordinatorCommand::decode(&command.encode()).unwrap();
            prop_assert_eq!(&decoded, &command);
            prop_assert_eq!(other.apply(&decoded), outcome);
            prop_assert_eq!(&CoordinatorState::decode(&state.encode()).unwrap(), &state);
            if image_after.index(step_count) == position {
                other = CoordinatorState::decode(&other.encode()).unwrap();
            }
        }
        prop_assert_eq!(other.encode(), state.encode());
        prop_assert_eq!(other, state);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let framed = [&[1], &bytes[..]].concat();
        for bytes in [&bytes, &framed] {
            if let Ok(command) = CoordinatorCommand::decode(bytes) {
                let _ = handing_over().apply(&command);
            }
            let _ = CoordinatorState::decode(bytes);
        }
    }

    #[test]
    fn damaged_images_are_read_or_refused(
        position in any::<prop::sample::Index>(),
        flipped in 1_u8..=255,
        steps in prop::collection::vec(step(), 0..20),
    ) {
        let mut image = handing_over().encode();
        *position.get_mut(&mut image) ^= flipped;
        if let Ok(mut damaged) = CoordinatorState::decode(&image) {
            let again = CoordinatorState::decode(&damaged.encode()).unwrap();
            prop_assert_eq!(&again, &damaged);
            for step in steps {
                if let Some(command) = step.command(&damaged) {
                    let _ = damaged.apply(&command);
                }
                damaged.groups().for_each(|(_, group)| assert_sound(group));
            }
        }
    }

    #[test]
    fn damaged_commands_are_read_or_refused(
        command in command(),
        position in any::<prop::sample::Index>(),
        flipped in 1_u8..=255,
    ) {
        let mut bytes = command.encode();
        *position.get_mut(&mut bytes) ^= flipped;
        if let Ok(damaged) = CoordinatorCommand::decode(&bytes) {
            let mut state = handing_over();
            let _ = state.apply(&damaged);
            state.groups().for_each(|(_, group)| assert_sound(group));
        }
    }
}

fn is_without_effect(outcome: &CoordinatorOutcome) -> bool {
    match outcome {
        CoordinatorOutcome::Rejected(_)
        | CoordinatorOutcome::Stale
        | CoordinatorOutcome::Unchanged
        | CoordinatorOutcome::Released { count: 0 }
        | CoordinatorOutcome::GroupsExpired { count: 0 } => true,
        CoordinatorOutcome::Job(outcome) => jobs::model_test::is_without_effect(outcome),
        CoordinatorOutcome::OffsetsCommitted(results) => results.iter().all(Result::is_err),
        _ => false,
    }
}

/// A group with all that there can be: held, revoked and awaited partitions, and offsets.
fn handing_over() -> CoordinatorState {
    let mut state = CoordinatorState::new();
    let _ = state.apply(&commit(None, &[(0, 0, 7), (3, 0, 300)]));
    let _ = state.apply(&join("a"));
    let _ = state.apply(&join("b"));
    let _ = distribute(&mut state, &[("a", &[0, 1, 2])]);
    let _ = distribute(&mut state, &[("a", &[0, 1]), ("b", &[2, 3])]);
    let revoked = state
        .groups()
        .flat_map(|(_, group)| group.members().values());
    assert!(revoked.flat_map(Member::holdings).count() == 4);
    state
}

#[test]
fn commands_have_the_bytes_that_were_promised() {
    let g = [0x61, b'g'];
    let a = [0x61, b'a'];
    let join_bytes = [
        &[1, 0x82, 0, 0x86][..],
        &g,
        &a,
        &[0x64, b't', b'e', b's', b't', 0x19, 0x27, 0x10],
        &[0x82, 0, 0x81, 0x81, 0x66],
        b"orders",
        &[0],
    ];
    assert_eq!(join("a").encode(), join_bytes.concat());
    let targets: &[(&str, &[u32])] = &[("a", &[4])];
    let assign_bytes = [
        &[1, 0x82, 1, 0x84][..],
        &g,
        &[7, 0x81, 0x82],
        &a,
        &[0x81, 0x82, 1, 4, 0],
    ];
    let assign_command = super::test_commands::assign(7, targets);
    assert_eq!(assign_command.encode(), assign_bytes.concat());
    let release_bytes = [&[1, 0x82, 2, 0x84][..], &g, &a, &[0x81, 0x83, 1, 4, 9, 0]];
    assert_eq!(release("a", &[(4, 9)]).encode(), release_bytes.concat());
    let leave_bytes = [&[1, 0x82, 3, 0x83][..], &g, &a, &[0]];
    assert_eq!(leave("a").encode(), leave_bytes.concat());
    let expire_bytes = [&[1, 0x82, 4, 0x84][..], &g, &a, &[5, 0]];
    assert_eq!(expire("a", 5).encode(), expire_bytes.concat());
    let commit_bytes = [
        &[1, 0x82, 5, 0x84][..],
        &g,
        &[0xf6, 0x81, 0x85, 1, 4, 9, 20, 0x60, 0],
    ];
    assert_eq!(commit(None, &[(4, 9, 20)]).encode(), commit_bytes.concat());
    assert_eq!(delete().encode(), [1, 0x82, 6, 0x81, 0x61, b'g']);
    assert_eq!(forget(&[3]).encode(), [1, 0x82, 7, 0x81, 0x81, 3]);
    let now = at(2);
    let expire_groups = CoordinatorCommand::ExpireGroups { now, idle_ms: 3 };
    assert_eq!(expire_groups.encode(), [1, 0x82, 8, 0x82, 2, 3]);
    for refused in [
        &[1, 0x82, 6, 0x81, 0x61, b'/'][..],
        &[2, 0x82, 6, 0x81, 0x61, b'g'],
        &[1, 0x82, 6, 0x81, 0x61, b'g', 0],
        &[],
    ] {
        assert!(CoordinatorCommand::decode(refused).is_err());
    }
}

#[test]
fn an_image_is_compact() {
    let mut state = CoordinatorState::new();
    for number in 0..1_000 {
        let commits = (0..100).map(|index| OffsetCommit {
            partition: partition_id(10, index),
            generation: Generation::new(0),
            offset: Offset::new(1_000_000),
            metadata: String::new(),
        });
        let command = CoordinatorCommand::CommitOffsets {
            group: group_id(&format!("group-{number}")),
            member: None,
            commits: commits.collect(),
            now: at(1_700_000_000_000),
        };
        let _ = state.apply(&command);
    }
    let image = state.encode();
    assert!(image.len() < 100_000 * 20, "{} bytes", image.len());
    assert_eq!(CoordinatorState::decode(&image).unwrap(), state);
    assert_eq!(coordinator(&[]).encode(), [1, 0x83, 0, 0x80, 0x82, 0, 0x80]);
}
