use flotilla_types::limits::{COORDINATOR_GROUPS_MAX, GROUP_MEMBERS_MAX, GROUP_OFFSETS_MAX};
use flotilla_types::{ErrorCode, Offset};

use super::test_commands::{
    at, commit, coordinator, delete, distribute, expire, generation, group_id, join, join_at,
    leave, member_id, partition, release, share, the_group, topics,
};
use super::{
    CommitFault, CoordinatorCommand, CoordinatorOutcome, CoordinatorState, GroupRejection,
    OffsetCommit, Subscription,
};

/// The rejection of a command, which must have left the state as it was.
fn rejected(state: &mut CoordinatorState, command: &CoordinatorCommand) -> GroupRejection {
    let before = state.clone();
    match state.apply(command) {
        CoordinatorOutcome::Rejected(rejection) => {
            assert_eq!(*state, before);
            rejection
        }
        other => panic!("not rejected: {other:?}"),
    }
}

fn committed(state: &CoordinatorState, index: u32) -> Option<u64> {
    let committed = the_group(state).offsets().get(&partition(index));
    committed.map(|committed| committed.offset.get())
}

fn expire_groups(now: i64, idle_ms: u64) -> CoordinatorCommand {
    let now = at(now);
    CoordinatorCommand::ExpireGroups { now, idle_ms }
}

#[test]
fn the_first_member_makes_the_group() {
    let mut state = CoordinatorState::new();
    assert_eq!(state.group(&group_id("g")), None);
    let subscription = topics(&["b", "a", "b"]);
    let outcome = state.apply(&join_at("m", subscription, 5));
    assert_eq!(outcome, CoordinatorOutcome::Joined);
    let group = the_group(&state);
    assert_eq!(group.active_at(), at(5));
    assert_eq!(group.generation(), generation(0));
    assert_eq!(group.membership_version(), 1);
    let member = group.member(&member_id("m")).unwrap();
    assert_eq!(member.subscription, topics(&["a", "b"]));
    assert_eq!((member.joined, member.assignment_version), (1, 1));
    assert_eq!(state.groups().count(), 1);
}

#[test]
fn a_member_that_joins_again_keeps_what_it_has() {
    let mut state = coordinator(&["a", "b"]);
    let _ = distribute(&mut state, &[("a", &[0]), ("b", &[1])]);
    let (before, membership) = (share(&state, "a"), the_group(&state).membership_version());
    let joined = |state: &CoordinatorState| the_group(state).members()[&member_id("a")].joined;
    let first = joined(&state);
    let _ = state.apply(&join("a"));
    assert_eq!(the_group(&state).membership_version(), membership);
    let _ = state.apply(&join_at("a", Subscription::Pattern("o.*".to_owned()), 0));
    assert_eq!(the_group(&state).membership_version(), membership + 1);
    assert_eq!(share(&state, "a"), before);
    assert_eq!((first, joined(&state)), (1, 4));
}

#[test]
fn only_the_membership_that_was_silent_expires() {
    let mut state = coordinator(&["a"]);
    let _ = state.apply(&join("a"));
    let before = state.clone();
    for late in [expire("a", 1), expire("b", 2)] {
        assert_eq!(state.apply(&late), CoordinatorOutcome::Stale);
    }
    assert_eq!(state, before);
    assert_eq!(state.apply(&expire("a", 2)), CoordinatorOutcome::Left);
    assert!(the_group(&state).members().is_empty());
    let _ = state.apply(&delete());
    assert_eq!(state.apply(&expire("a", 2)), CoordinatorOutcome::Stale);
    let _ = state.apply(&join("a"));
    assert_eq!(state.apply(&expire("a", 2)), CoordinatorOutcome::Stale);
}

#[test]
fn to_leave_twice_does_no_harm() {
    let mut state = coordinator(&["a"]);
    assert_eq!(state.apply(&leave("a")), CoordinatorOutcome::Left);
    let before = state.clone();
    assert_eq!(state.apply(&leave("a")), CoordinatorOutcome::Left);
    assert_eq!(state, before);
    assert_eq!(
        CoordinatorState::new().apply(&leave("a")),
        CoordinatorOutcome::Left
    );
}

#[test]
fn a_member_commits_what_it_holds_or_gives_up_in_that_generation() {
    let mut state = coordinator(&["a", "b"]);
    let _ = distribute(&mut state, &[("a", &[0, 1])]);
    let _ = distribute(&mut state, &[("a", &[0]), ("b", &[1])]);
    let by_a = commit(Some("a"), &[(0, 1, 5), (1, 1, 6), (0, 2, 7), (2, 2, 8)]);
    let stale = |number| {
        Err(CommitFault::StaleGeneration {
            generation: generation(number),
        })
    };
    let results = vec![Ok(()), Ok(()), stale(2), stale(2)];
    assert_eq!(
        state.apply(&by_a),
        CoordinatorOutcome::OffsetsCommitted(results)
    );
    let stored = [0, 1, 2].map(|index| committed(&state, index));
    assert_eq!(stored, [Some(5), Some(6), None]);

    let _ = state.apply(&release("a", &[(1, 1)]));
    let before = state.clone();
    let late = state.apply(&commit(Some("a"), &[(1, 1, 9), (1, 2, 9)]));
    let results = vec![stale(1), stale(2)];
    assert_eq!(late, CoordinatorOutcome::OffsetsCommitted(results));
    assert_eq!(state, before);
    let by_b = state.apply(&commit(Some("b"), &[(1, 2, 9)]));
    assert_eq!(by_b, CoordinatorOutcome::OffsetsCommitted(vec![Ok(())]));
    assert_eq!(committed(&state, 1), Some(9));
}

#[test]
fn offsets_are_set_without_a_member_while_there_is_none() {
    let mut state = CoordinatorState::new();
    let empty = state.apply(&commit(None, &[]));
    assert_eq!(empty, CoordinatorOutcome::OffsetsCommitted(Vec::new()));
    assert_eq!(state, CoordinatorState::new());
    let outcome = state.apply(&commit(None, &[(0, 7, 3), (0, 0, 2)]));
    let results = vec![Ok(()), Ok(())];
    assert_eq!(outcome, CoordinatorOutcome::OffsetsCommitted(results));
    assert_eq!(committed(&state, 0), Some(2));
    let _ = state.apply(&join("a"));
    let rejection = rejected(&mut state, &commit(None, &[(0, 0, 1)]));
    assert_eq!(rejection.code(), ErrorCode::GroupNotEmpty);
    let _ = state.apply(&leave("a"));
    let _ = state.apply(&commit(None, &[(0, 0, 1)]));
    assert_eq!(committed(&state, 0), Some(1));
}

#[test]
fn commands_for_what_is_not_there_are_refused() {
    let mut state = CoordinatorState::new();
    for command in [release("a", &[]), commit(Some("a"), &[(0, 0, 1)]), delete()] {
        let rejection = rejected(&mut state, &command);
        assert_eq!(rejection.code(), ErrorCode::UnknownGroup);
    }
    let _ = state.apply(&join("b"));
    for command in [release("a", &[]), commit(Some("a"), &[(0, 0, 1)])] {
        let rejection = rejected(&mut state, &command);
        assert_eq!(rejection.code(), ErrorCode::UnknownMember);
    }
    let rejection = rejected(&mut state, &delete());
    assert_eq!(rejection.code(), ErrorCode::GroupNotEmpty);
    let _ = state.apply(&leave("b"));
    assert_eq!(state.apply(&delete()), CoordinatorOutcome::Deleted);
    assert_eq!(state.group(&group_id("g")), None);
}

#[test]
fn a_group_that_nobody_touched_is_forgotten_unless_it_has_members() {
    let mut state = coordinator(&["a"]);
    let none = CoordinatorOutcome::GroupsExpired { count: 0 };
    assert_eq!(state.apply(&expire_groups(1_000_000, 1)), none);
    let _ = state.apply(&leave("a"));
    assert_eq!(state.apply(&expire_groups(99, 100)), none);
    let one = CoordinatorOutcome::GroupsExpired { count: 1 };
    assert_eq!(state.apply(&expire_groups(100, 100)), one);
    assert_eq!(state.groups().count(), 0);
}

#[test]
fn groups_and_coordinators_take_so_much_and_no_more() {
    let mut state = CoordinatorState::new();
    for number in 0..GROUP_MEMBERS_MAX {
        let _ = state.apply(&join(&format!("m{number}")));
    }
    let rejection = rejected(&mut state, &join("other"));
    assert_eq!(
        rejection,
        GroupRejection::GroupFull {
            group: group_id("g")
        }
    );
    assert_eq!(state.apply(&join("m0")), CoordinatorOutcome::Joined);

    let mut state = CoordinatorState::new();
    for number in 0..COORDINATOR_GROUPS_MAX {
        let one_more = CoordinatorCommand::CommitOffsets {
            group: group_id(&format!("g{number}")),
            member: None,
            commits: vec![offset_of(0)],
            now: at(0),
        };
        let _ = state.apply(&one_more);
    }
    for command in [join("a"), commit(None, &[(0, 0, 1)])] {
        let rejection = rejected(&mut state, &command);
        assert_eq!(rejection.code(), ErrorCode::GroupFull);
    }
}

#[test]
fn a_group_remembers_so_many_offsets() {
    let mut state = CoordinatorState::new();
    let most = u32::try_from(GROUP_OFFSETS_MAX).unwrap();
    let fill = CoordinatorCommand::CommitOffsets {
        group: group_id("g"),
        member: None,
        commits: (0..most).map(offset_of).collect(),
        now: at(0),
    };
    let _ = state.apply(&fill);
    let outcome = state.apply(&commit(None, &[(most, 0, 1), (0, 0, 1)]));
    let results = vec![Err(CommitFault::GroupFull), Ok(())];
    assert_eq!(outcome, CoordinatorOutcome::OffsetsCommitted(results));
    assert_eq!(CommitFault::GroupFull.code(), ErrorCode::GroupFull);
    assert_eq!(CoordinatorState::decode(&state.encode()).unwrap(), state);
}

fn offset_of(index: u32) -> OffsetCommit {
    OffsetCommit {
        partition: partition(index),
        generation: generation(0),
        offset: Offset::new(0),
        metadata: String::new(),
    }
}
