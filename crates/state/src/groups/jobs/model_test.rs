//! Random commands about jobs against the promises of the module.

use std::collections::BTreeMap;

use flotilla_types::{JobName, MemberId, Timestamp};
use proptest::prelude::*;

use super::apply_test::job_name;
use super::{Job, JobCommand, JobOutcome, Jobs};
use crate::groups::test_commands::{at, member_id};
use crate::groups::{CoordinatorCommand, CoordinatorOutcome, CoordinatorState};

fn job() -> impl Strategy<Value = JobName> {
    prop::sample::select(vec!["j", "k"]).prop_map(job_name)
}

fn owner() -> impl Strategy<Value = MemberId> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(member_id)
}

fn now() -> impl Strategy<Value = Timestamp> {
    (0_i64..20).prop_map(at)
}

/// Commands of which some fit the states that they meet.
pub(in crate::groups) fn job_command() -> impl Strategy<Value = JobCommand> {
    let acquire = (job(), owner(), "[a-z]{0,3}", any::<u32>(), now());
    prop_oneof![
        6 => acquire.prop_map(|(job, owner, client_name, session_timeout_ms, now)| {
            JobCommand::Acquire {
                job,
                owner,
                client_name,
                session_timeout_ms,
                now,
            }
        }),
        2 => (job(), owner(), 0_u64..9, now()).prop_map(|(job, owner, token_count, now)| {
            JobCommand::Release {
                job,
                owner,
                token_count,
                now,
            }
        }),
        2 => (job(), 0_u64..9, now())
            .prop_map(|(job, acquired, now)| JobCommand::ExpireOwner { job, acquired, now }),
        1 => (now(), 0_u64..30)
            .prop_map(|(now, idle_ms)| JobCommand::ExpireJobs { now, idle_ms }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Command(JobCommand),
    /// By whoever owns it.
    ReleaseNow(JobName, Timestamp),
    ExpireNow(JobName, Timestamp),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => job_command().prop_map(Step::Command),
        2 => (job(), now()).prop_map(|(job, now)| Step::ReleaseNow(job, now)),
        1 => (job(), now()).prop_map(|(job, now)| Step::ExpireNow(job, now)),
    ]
}

impl Step {
    /// The command that this step is; a step for an owner that is not there is none.
    fn command(self, jobs: &Jobs) -> Option<JobCommand> {
        let known = |name: &JobName| {
            let known = jobs.job(name)?;
            Some((known.token_count, known.owner.clone()?))
        };
        Some(match self {
            Self::Command(command) => command,
            Self::ReleaseNow(job, now) => {
                let (token_count, owner) = known(&job)?;
                JobCommand::Release {
                    job,
                    owner: owner.id,
                    token_count,
                    now,
                }
            }
            Self::ExpireNow(job, now) => JobCommand::ExpireOwner {
                acquired: known(&job)?.1.acquired,
                job,
                now,
            },
        })
    }
}

/// Who owned a job under which token, in order, since there are jobs.
type Ownerships = Vec<(u64, MemberId)>;

/// Whoever owns it now does so under the last token, which is greater than all before.
fn follow(ownerships: &mut Ownerships, job: &Job) {
    let Some(owner) = &job.owner else {
        assert_eq!(ownerships.last().map(|last| last.0), Some(job.token_count));
        return;
    };
    match ownerships.last() {
        Some(last) if last.0 == job.token_count => assert_eq!(last.1, owner.id),
        last => {
            assert!(last.is_none_or(|last| last.0 < job.token_count));
            ownerships.push((job.token_count, owner.id.clone()));
        }
    }
}

/// What a command must be answered, by the jobs that it met.
fn assert_decision(before: &Jobs, command: &JobCommand, outcome: &JobOutcome) {
    let owner = |name: &JobName| before.job(name).and_then(|job| job.owner.as_ref());
    let ends = match command {
        JobCommand::Acquire {
            job, owner: asks, ..
        } => {
            let expected = match owner(job) {
                None => None,
                Some(known) if known.id == *asks => before.job(job).map(|job| job.token_count),
                Some(_) => return assert!(matches!(outcome, JobOutcome::Rejected(_))),
            };
            let JobOutcome::Acquired { token_count } = outcome else {
                panic!("a free job is refused: {outcome:?}");
            };
            return assert!(expected.is_none_or(|expected| expected == *token_count));
        }
        JobCommand::Release {
            job,
            owner,
            token_count,
            ..
        } => before.owner(job, owner, *token_count).is_some(),
        JobCommand::ExpireOwner { job, acquired, .. } => {
            owner(job).is_some_and(|owner| owner.acquired == *acquired)
        }
        JobCommand::ExpireJobs { .. } => return,
    };
    let expected = match ends {
        true => JobOutcome::Ended,
        false => JobOutcome::Stale,
    };
    assert_eq!(*outcome, expected);
}

pub(in crate::groups) fn is_without_effect(outcome: &JobOutcome) -> bool {
    matches!(
        outcome,
        JobOutcome::Rejected(_) | JobOutcome::Stale | JobOutcome::JobsExpired { count: 0 }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_job_has_one_owner_at_a_time_and_its_tokens_ascend(
        steps in prop::collection::vec(step(), 1..80),
        image_after in any::<prop::sample::Index>(),
    ) {
        let mut state = CoordinatorState::new();
        let mut other = state.clone();
        let mut ownerships = BTreeMap::<JobName, Ownerships>::new();
        let step_count = steps.len();
        for (position, step) in steps.into_iter().enumerate() {
            let Some(command) = step.command(state.jobs()) else {
                continue;
            };
            let before = state.clone();
            let whole = CoordinatorCommand::Job(command.clone());
            let CoordinatorOutcome::Job(outcome) = state.apply(&whole) else {
                panic!("a command about a job is answered as one");
            };
            assert_decision(before.jobs(), &command, &outcome);
            if is_without_effect(&outcome) {
                prop_assert_eq!(&state, &before, "{:?}", outcome);
            }
            for (name, job) in state.jobs().jobs() {
                // What became of a job that was forgotten still counts.
                follow(ownerships.entry(name.clone()).or_default(), job);
                let was_owned = before.jobs().job(name).and_then(|job| job.owner.clone());
                if let (Some(then), Some(now)) = (was_owned, &job.owner) {
                    prop_assert_eq!(&then.id, &now.id, "nobody takes it from its owner");
                }
            }

            prop_assert_eq!(&CoordinatorCommand::decode(&whole.encode()).unwrap(), &whole);
            let told = other.apply(&whole);
            prop_assert_eq!(told, CoordinatorOutcome::Job(outcome));
            prop_assert_eq!(&CoordinatorState::decode(&state.encode()).unwrap(), &state);
            if image_after.index(step_count) == position {
                other = CoordinatorState::decode(&other.encode()).unwrap();
            }
        }
        prop_assert_eq!(other, state);
    }
}
