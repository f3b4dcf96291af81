use flotilla_types::MemberId;

use super::test_commands::{
    coordinator, distribute, expire, forget, generation, join, leave, member_id, partition,
    release, share, the_group,
};
use super::{CoordinatorCommand, CoordinatorOutcome, CoordinatorState};

fn assigned(number: u64) -> CoordinatorOutcome {
    CoordinatorOutcome::Assigned {
        generation: generation(number),
    }
}

fn version(state: &CoordinatorState, member: &str) -> u64 {
    let member: MemberId = member_id(member);
    the_group(state).member(&member).unwrap().assignment_version
}

/// Two members; `a` has 0, 1 and 2 in generation 1 and is to give 2 to `b`.
fn handing_over() -> CoordinatorState {
    let mut state = coordinator(&["a", "b"]);
    assert_eq!(distribute(&mut state, &[("a", &[0, 1, 2])]), assigned(1));
    let targets: &[(&str, &[u32])] = &[("a", &[0, 1]), ("b", &[2, 3])];
    assert_eq!(distribute(&mut state, targets), assigned(2));
    state
}

#[test]
fn a_free_partition_is_held_at_once_and_a_taken_one_is_awaited() {
    let state = handing_over();
    let a = (vec![(0, 1), (1, 1)], vec![(2, 1)], vec![]);
    assert_eq!(share(&state, "a"), a);
    assert_eq!(share(&state, "b"), (vec![(3, 2)], vec![], vec![2]));
    let current = the_group(&state).current_of_members();
    let of = |member: &str| current[&member_id(member)].iter().copied();
    assert!(of("a").eq([partition(0), partition(1)]));
    assert!(of("b").eq([partition(2), partition(3)]));
}

#[test]
fn a_released_partition_goes_to_whoever_awaits_it() {
    let mut state = handing_over();
    let before = (version(&state, "a"), version(&state, "b"));
    let not_revoked = release("a", &[(0, 1), (2, 2), (9, 1)]);
    let released = CoordinatorOutcome::Released { count: 0 };
    let untouched = state.clone();
    assert_eq!(state.apply(&not_revoked), released);
    assert_eq!(state, untouched);
    let outcome = state.apply(&release("a", &[(2, 1), (2, 1)]));
    assert_eq!(outcome, CoordinatorOutcome::Released { count: 1 });
    assert_eq!(share(&state, "a"), (vec![(0, 1), (1, 1)], vec![], vec![]));
    assert_eq!(share(&state, "b"), (vec![(2, 2), (3, 2)], vec![], vec![]));
    assert!(before.0 < version(&state, "a") && before.1 < version(&state, "b"));
}

#[test]
fn a_revoked_partition_that_is_given_back_never_changed_hands() {
    let mut state = handing_over();
    let outcome = distribute(&mut state, &[("a", &[0, 1, 2]), ("b", &[3])]);
    assert_eq!(outcome, assigned(3));
    let a = (vec![(0, 1), (1, 1), (2, 1)], vec![], vec![]);
    assert_eq!(share(&state, "a"), a);
    assert_eq!(share(&state, "b"), (vec![(3, 2)], vec![], vec![]));
    let outcome = state.apply(&release("a", &[(2, 1)]));
    assert_eq!(outcome, CoordinatorOutcome::Released { count: 0 });
}

#[test]
fn the_one_that_awaits_may_change_before_the_release() {
    let mut state = handing_over();
    let _ = state.apply(&join("c"));
    let targets: &[(&str, &[u32])] = &[("a", &[0, 1]), ("b", &[3]), ("c", &[2])];
    assert_eq!(distribute(&mut state, targets), assigned(3));
    let _ = state.apply(&release("a", &[(2, 1)]));
    assert_eq!(share(&state, "b"), (vec![(3, 2)], vec![], vec![]));
    assert_eq!(share(&state, "c"), (vec![(2, 3)], vec![], vec![]));
}

#[test]
fn a_member_that_is_gone_leaves_its_partitions_to_those_that_await_them() {
    for gone in [leave("a"), expire("a", 1)] {
        let mut state = handing_over();
        let membership = the_group(&state).membership_version();
        assert_eq!(state.apply(&gone), CoordinatorOutcome::Left);
        assert_eq!(the_group(&state).membership_version(), membership + 1);
        assert_eq!(the_group(&state).members().len(), 1);
        assert_eq!(share(&state, "b"), (vec![(2, 2), (3, 2)], vec![], vec![]));
        assert_eq!(distribute(&mut state, &[("b", &[0, 1, 2, 3])]), assigned(3));
        let b = vec![(0, 3), (1, 3), (2, 2), (3, 2)];
        assert_eq!(share(&state, "b"), (b, vec![], vec![]));
    }
}

/// No sequence of commands leads there, so the state is made up.
#[test]
fn a_partition_of_a_member_that_is_gone_is_never_granted_in_its_generation() {
    let mut state = handing_over();
    let group = state.groups.values_mut().next().unwrap();
    let a = group.members.get_mut(&member_id("a")).unwrap();
    a.revoked.insert(partition(2), generation(2));
    let _ = state.apply(&leave("a"));
    assert_eq!(share(&state, "b"), (vec![(2, 3), (3, 2)], vec![], vec![]));
    assert_eq!(the_group(&state).generation(), generation(3));
}

#[test]
fn the_same_distribution_again_is_no_new_generation() {
    let mut state = handing_over();
    let before = state.clone();
    let targets: &[(&str, &[u32])] = &[("a", &[1, 0]), ("b", &[3, 2])];
    assert_eq!(
        distribute(&mut state, targets),
        CoordinatorOutcome::Unchanged
    );
    assert_eq!(state, before);
}

#[test]
fn a_distribution_that_does_not_fit_is_stale() {
    let mut state = handing_over();
    let before = state.clone();
    let to_two: &[(&str, &[u32])] = &[("a", &[0]), ("b", &[0])];
    for targets in [to_two, &[("c", &[0])]] {
        assert_eq!(distribute(&mut state, targets), CoordinatorOutcome::Stale);
    }
    let membership = the_group(&state).membership_version();
    for based_on in [membership - 1, membership + 1] {
        let late = super::test_commands::assign(based_on, &[("a", &[0])]);
        assert_eq!(state.apply(&late), CoordinatorOutcome::Stale);
        assert_eq!(
            CoordinatorState::new().apply(&late),
            CoordinatorOutcome::Stale
        );
    }
    assert_eq!(state, before);
}

#[test]
fn partitions_of_a_deleted_topic_are_gone_without_a_release() {
    let mut state = handing_over();
    let before = state.clone();
    assert_eq!(state.apply(&forget(&[2])), CoordinatorOutcome::Forgotten);
    assert_eq!(state, before);
    assert_eq!(state.apply(&forget(&[1])), CoordinatorOutcome::Forgotten);
    for member in ["a", "b"] {
        assert_eq!(share(&state, member), (vec![], vec![], vec![]));
        assert!(version(&state, member) > version(&before, member));
    }
}

#[test]
fn no_two_assignments_of_a_group_have_the_same_version() {
    let mut state = handing_over();
    let first = version(&state, "a");
    let other = version(&state, "b");
    let _ = state.apply(&leave("a"));
    let again: CoordinatorCommand = join("a");
    let _ = state.apply(&again);
    assert!(version(&state, "a") > first.max(other));
    let rejoined = version(&state, "a");
    let _ = state.apply(&again);
    assert_eq!(version(&state, "a"), rejoined, "its assignment is the same");
}
