use flotilla_types::limits::COORDINATOR_JOBS_MAX;
use flotilla_types::{ErrorCode, JobName, MemberId};

use super::{Job, JobCommand, JobOutcome, JobRejection, Jobs};
use crate::groups::test_commands::{at, member_id};
use crate::groups::{CoordinatorCommand, CoordinatorState};

pub(super) fn job_name(text: &str) -> JobName {
    JobName::parse(text).unwrap()
}

/// Every command here is about the job `j` and comes at the time 0 unless it takes another.
fn acquire(owner: &str) -> JobCommand {
    acquire_at("j", owner, 0)
}

pub(super) fn acquire_at(job: &str, owner: &str, now: i64) -> JobCommand {
    JobCommand::Acquire {
        job: job_name(job),
        owner: member_id(owner),
        client_name: format!("program of {owner}"),
        session_timeout_ms: 10_000,
        now: at(now),
    }
}

fn release(owner: &str, token_count: u64, now: i64) -> JobCommand {
    JobCommand::Release {
        job: job_name("j"),
        owner: member_id(owner),
        token_count,
        now: at(now),
    }
}

fn expire_owner(acquired: u64) -> JobCommand {
    JobCommand::ExpireOwner {
        job: job_name("j"),
        acquired,
        now: at(0),
    }
}

fn expire_jobs(now: i64, idle_ms: u64) -> JobCommand {
    let now = at(now);
    JobCommand::ExpireJobs { now, idle_ms }
}

fn the_job(jobs: &Jobs) -> &Job {
    jobs.job(&job_name("j")).unwrap()
}

fn owner_of(jobs: &Jobs) -> Option<&MemberId> {
    the_job(jobs).owner.as_ref().map(|owner| &owner.id)
}

fn acquired(token_count: u64) -> JobOutcome {
    JobOutcome::Acquired { token_count }
}

/// Applies a command that must have no effect.
fn without_effect(jobs: &mut Jobs, command: &JobCommand) -> JobOutcome {
    let before = jobs.clone();
    let outcome = jobs.apply(command);
    assert_eq!(*jobs, before);
    outcome
}

#[test]
fn the_first_owner_makes_the_job_and_gets_a_token() {
    let mut jobs = Jobs::default();
    assert_eq!(jobs.apply(&acquire_at("j", "a", 5)), acquired(1));
    let owner = the_job(&jobs).owner.as_ref().unwrap();
    assert_eq!(owner.client_name, "program of a");
    assert_eq!(owner.acquired_at, at(5));
    assert_eq!(jobs.jobs().count(), 1);
    assert_eq!(jobs.apply(&acquire_at("other", "a", 5)), acquired(2));
}

#[test]
fn a_job_is_not_given_to_a_second_owner_who_hears_of_the_first() {
    let mut jobs = Jobs::default();
    let _ = jobs.apply(&acquire("a"));
    let JobOutcome::Rejected(rejection) = without_effect(&mut jobs, &acquire("b")) else {
        panic!("it has two owners");
    };
    assert_eq!(rejection.code(), ErrorCode::JobHeld);
    assert_eq!(rejection.to_string(), "job j is owned by a (program of a)");
    assert_eq!(
        jobs.held_by_another(&job_name("j"), &member_id("b")),
        Some(rejection)
    );
    assert_eq!(jobs.held_by_another(&job_name("j"), &member_id("a")), None);
}

#[test]
fn to_ask_again_as_the_owner_gives_the_same_token() {
    let mut jobs = Jobs::default();
    let _ = jobs.apply(&acquire("a"));
    let again = JobCommand::Acquire {
        job: job_name("j"),
        owner: member_id("a"),
        client_name: "newer".to_owned(),
        session_timeout_ms: 5_000,
        now: at(9),
    };
    assert_eq!(jobs.apply(&again), acquired(1));
    let owner = the_job(&jobs).owner.as_ref().unwrap();
    assert_eq!(
        (owner.client_name.as_str(), owner.session_timeout_ms),
        ("newer", 5_000)
    );
    assert_eq!(owner.acquired_at, at(0));
}

#[test]
fn the_next_owner_has_a_greater_token() {
    let mut jobs = Jobs::default();
    let _ = jobs.apply(&acquire("a"));
    assert_eq!(jobs.apply(&release("a", 1, 3)), JobOutcome::Ended);
    assert_eq!((owner_of(&jobs), the_job(&jobs).changed_at), (None, at(3)));
    assert_eq!(jobs.apply(&acquire("b")), acquired(2));
    assert_eq!(jobs.apply(&expire_owner(2)), JobOutcome::Ended);
    assert_eq!(jobs.apply(&acquire("b")), acquired(3));
}

#[test]
fn only_the_present_ownership_is_released() {
    let mut jobs = Jobs::default();
    assert_eq!(
        without_effect(&mut jobs, &release("a", 1, 0)),
        JobOutcome::Stale
    );
    let _ = jobs.apply(&acquire("a"));
    let _ = jobs.apply(&release("a", 1, 0));
    assert_eq!(
        without_effect(&mut jobs, &release("a", 1, 9)),
        JobOutcome::Stale
    );
    let _ = jobs.apply(&acquire("b"));
    for stale in [release("a", 1, 0), release("a", 2, 0), release("b", 1, 0)] {
        assert_eq!(without_effect(&mut jobs, &stale), JobOutcome::Stale);
    }
    assert_eq!(owner_of(&jobs), Some(&member_id("b")));
}

#[test]
fn an_owner_that_asked_again_meanwhile_does_not_expire() {
    let mut jobs = Jobs::default();
    let _ = jobs.apply(&acquire("a"));
    let _ = jobs.apply(&acquire("a"));
    assert_eq!(
        without_effect(&mut jobs, &expire_owner(1)),
        JobOutcome::Stale
    );
    assert_eq!(jobs.apply(&expire_owner(2)), JobOutcome::Ended);
    assert_eq!(
        without_effect(&mut jobs, &expire_owner(2)),
        JobOutcome::Stale
    );
}

#[test]
fn a_job_that_was_forgotten_begins_with_a_greater_token() {
    let mut jobs = Jobs::default();
    let _ = jobs.apply(&acquire("a"));
    let expired = |count| JobOutcome::JobsExpired { count };
    assert_eq!(
        without_effect(&mut jobs, &expire_jobs(1_000, 10)),
        expired(0)
    );
    let _ = jobs.apply(&release("a", 1, 100));
    assert_eq!(without_effect(&mut jobs, &expire_jobs(109, 10)), expired(0));
    assert_eq!(jobs.apply(&expire_jobs(110, 10)), expired(1));
    assert_eq!(jobs.job(&job_name("j")), None);
    assert_eq!(jobs.apply(&acquire("a")), acquired(2));
}

#[test]
fn a_coordinator_holds_so_many_jobs_and_no_more() {
    let mut jobs = Jobs::default();
    for number in 0..COORDINATOR_JOBS_MAX {
        let _ = jobs.apply(&acquire_at(&format!("j{number}"), "a", 0));
    }
    let JobOutcome::Rejected(rejection) = without_effect(&mut jobs, &acquire("a")) else {
        panic!("it is one too many");
    };
    assert_eq!(
        rejection,
        JobRejection::CoordinatorFull { job: job_name("j") }
    );
    assert_eq!(rejection.code(), ErrorCode::CoordinatorFull);
    assert_eq!(
        jobs.apply(&acquire_at("j7", "a", 0)),
        acquired(8),
        "a job that is known is no new one"
    );
}

#[test]
fn commands_have_the_bytes_that_were_promised() {
    let encoded = |command| CoordinatorCommand::Job(command).encode();
    let (j, a) = ([0x61, b'j'], [0x61, b'a']);
    let acquire_bytes = [
        &[1, 0x82, 9, 0x81, 0x82, 0, 0x85][..],
        &j,
        &a,
        &[0x6c],
        b"program of a",
        &[0x19, 0x27, 0x10, 0],
    ];
    assert_eq!(encoded(acquire("a")), acquire_bytes.concat());
    let release_bytes = [&[1, 0x82, 9, 0x81, 0x82, 1, 0x84][..], &j, &a, &[7, 3]];
    assert_eq!(encoded(release("a", 7, 3)), release_bytes.concat());
    let expire_bytes = [&[1, 0x82, 9, 0x81, 0x82, 2, 0x83][..], &j, &[7, 0]];
    assert_eq!(encoded(expire_owner(7)), expire_bytes.concat());
    let expire_jobs_bytes = [1, 0x82, 9, 0x81, 0x82, 3, 0x82, 2, 3];
    assert_eq!(encoded(expire_jobs(2, 3)), expire_jobs_bytes);
}

#[test]
fn an_image_in_which_a_token_could_be_given_twice_is_refused() {
    let mut state = CoordinatorState::new();
    let _ = state.jobs.apply(&acquire("a"));
    let _ = state.jobs.apply(&acquire_at("k", "b", 0));
    let _ = state.jobs.apply(&acquire_at("k", "b", 0));
    assert_eq!(CoordinatorState::decode(&state.encode()).unwrap(), state);
    let spoilt: [fn(&mut Jobs); 5] = [
        |jobs| jobs.acquisitions = 2,
        |jobs| jobs.acquisitions = u64::MAX,
        |jobs| jobs.jobs.get_mut(&job_name("j")).unwrap().token_count = 0,
        |jobs| jobs.jobs.get_mut(&job_name("k")).unwrap().token_count = 1,
        |jobs| {
            let job = jobs.jobs.get_mut(&job_name("k")).unwrap();
            job.owner.as_mut().unwrap().acquired = 1;
        },
    ];
    for (nth, spoil) in spoilt.iter().enumerate() {
        let mut spoilt = state.clone();
        spoil(&mut spoilt.jobs);
        assert!(
            CoordinatorState::decode(&spoilt.encode()).is_err(),
            "number {nth}"
        );
    }
}
