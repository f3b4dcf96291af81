//! What the owner of a job may believe when things go well and when they do not.

use std::time::Duration;

use flotilla_client::{ErrorCode, JobConfig, JobName, JobOwnership};
use tokio::time::{Instant, timeout};

use crate::fake_cluster::FakeCluster;
use crate::fake_jobs::FakeJobs;

const JOB: &str = "export";
/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// The shortest that there is.
const SHORT: Duration = Duration::from_secs(1);

fn job() -> JobName {
    JobName::parse(JOB).unwrap()
}

fn config(session_timeout: Duration) -> JobConfig {
    JobConfig {
        client_name: "exporter".to_owned(),
        session_timeout,
        ..JobConfig::new(job())
    }
}

async fn acquire(cluster: &FakeCluster, session_timeout: Duration) -> JobOwnership {
    let jobs = cluster.client().await.jobs();
    let acquired = timeout(PATIENCE, jobs.acquire(config(session_timeout))).await;
    acquired.expect("the job is free").unwrap()
}

async fn until(cluster: &FakeCluster, condition: impl Fn(&FakeJobs) -> bool) {
    let mut changes = cluster.shared.changes();
    let met = timeout(
        PATIENCE,
        changes.wait_for(|_| condition(&cluster.state().jobs)),
    );
    assert!(met.await.is_ok(), "it does not come to that");
}

async fn lost(ownership: &JobOwnership) {
    let lost = timeout(PATIENCE, ownership.lost()).await;
    assert!(lost.is_ok() && ownership.is_lost());
}

#[tokio::test]
async fn an_owner_renews_until_it_releases_and_the_next_has_a_greater_token() {
    let cluster = FakeCluster::start(3, 1).await;
    let first = acquire(&cluster, SHORT).await;
    // For longer than one session timeout.
    until(&cluster, |jobs| jobs.renewed >= 5).await;
    assert!(!first.is_lost());
    let lost = first.lost();
    let (token, second) = tokio::join!(
        async {
            let token = first.token();
            first.release().await.unwrap();
            token
        },
        acquire(&cluster, Duration::from_secs(1_800))
    );
    timeout(PATIENCE, lost).await.unwrap();
    assert_eq!(second.job(), &job());
    assert!(second.token() > token);
    assert!(!second.is_lost());
}

#[tokio::test]
async fn an_owner_that_cannot_renew_stops_believing_in_time() {
    for is_silent in [false, true] {
        let cluster = FakeCluster::start(3, 1).await;
        let ownership = acquire(&cluster, SHORT).await;
        until(&cluster, |jobs| jobs.renewed >= 1).await;
        match is_silent {
            true => drop(cluster.shared.answering.send_replace(false)),
            false => cluster.change(|state| {
                state.jobs.failing = Some(ErrorCode::LeaderNotAvailable);
            }),
        }
        // The last renewal that can have succeeded had been asked for by now.
        let began = Instant::now();
        lost(&ownership).await;
        assert!(began.elapsed() < SHORT + SHORT / 2, "{:?}", began.elapsed());

        // It could be reached again, but what is lost stays lost.
        cluster.shared.answering.send_replace(true);
        cluster.change(|state| state.jobs.failing = None);
        let jobs = cluster.client().await.jobs();
        assert!(jobs.list().await.unwrap()[0].owner.is_some());
        assert!(ownership.is_lost());
        ownership.release().await.unwrap();
        assert_eq!(jobs.list().await.unwrap()[0].owner, None);
    }
}

#[tokio::test]
async fn trouble_that_passes_costs_nothing() {
    let cluster = FakeCluster::start(3, 1).await;
    let ownership = acquire(&cluster, Duration::from_secs(3)).await;
    cluster.change(|state| state.jobs.failing = Some(ErrorCode::ShuttingDown));
    until(&cluster, |jobs| jobs.failed >= 1).await;
    cluster.change(|state| state.jobs.failing = None);
    let renewed = cluster.state().jobs.renewed;
    until(&cluster, |jobs| jobs.renewed >= renewed + 2).await;
    assert!(!ownership.is_lost());
    assert_eq!(cluster.state().jobs.ownerships.len(), 1);
}

#[tokio::test]
async fn an_owner_hears_at_its_next_renewal_that_it_is_none_any_more() {
    let cluster = FakeCluster::start(3, 1).await;
    let session_timeout = Duration::from_secs(6);
    let ownership = acquire(&cluster, session_timeout).await;
    cluster.change(|state| state.jobs.expire(JOB));
    let began = Instant::now();
    lost(&ownership).await;
    assert!(began.elapsed() < session_timeout / 2);
}

#[tokio::test]
async fn an_answer_that_is_lost_does_not_make_a_second_ownership() {
    let cluster = FakeCluster::start(3, 1).await;
    cluster.change(|state| state.jobs.answers_to_lose = 2);
    let ownership = acquire(&cluster, SHORT).await;
    assert!(!ownership.is_lost());
    let state = cluster.state();
    assert_eq!((state.jobs.asked, state.jobs.ownerships.len()), (3, 1));
    assert_eq!(ownership.token().get(), state.jobs.jobs[JOB].token);
}

#[tokio::test]
async fn whoever_comes_second_waits_as_long_as_it_wants() {
    let cluster = FakeCluster::start(3, 1).await;
    let first = acquire(&cluster, Duration::from_secs(1_800)).await;
    let jobs = cluster.client().await.jobs();
    for limit in [Duration::ZERO, Duration::from_millis(50)] {
        let none = jobs.acquire_within(config(SHORT), limit).await.unwrap();
        assert!(none.is_none());
    }
    let asked = cluster.state().jobs.asked;
    let second = acquire(&cluster, SHORT);
    let (second, ()) = tokio::join!(second, async {
        // It asks again and again, because no answer may come so late that it cannot be believed.
        until(&cluster, |jobs| jobs.asked >= asked + 3).await;
        first.release().await.unwrap();
    });
    assert!(!second.is_lost());
}

#[tokio::test]
async fn what_does_not_pass_ends_the_wait_for_a_job() {
    let cluster = FakeCluster::start(1, 1).await;
    let jobs = cluster.client().await.jobs();
    cluster.change(|state| state.jobs.failing = Some(ErrorCode::CoordinatorFull));
    let error = jobs.acquire(config(SHORT)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CoordinatorFull);
    cluster.change(|state| state.jobs.failing = Some(ErrorCode::LeaderNotAvailable));
    let limited = jobs.acquire_within(config(SHORT), Duration::from_millis(20));
    let error = limited.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.is_definite());
    let wrong = jobs.acquire(config(Duration::ZERO)).await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn an_ownership_that_is_dropped_is_not_renewed_any_more() {
    let cluster = FakeCluster::start(1, 1).await;
    let ownership = acquire(&cluster, SHORT).await;
    until(&cluster, |jobs| jobs.renewed >= 1).await;
    let lost = ownership.lost();
    drop(ownership);
    timeout(PATIENCE, lost).await.unwrap();
    assert!(cluster.state().jobs.jobs[JOB].owner.is_some());
}

#[tokio::test]
async fn the_list_shows_owners() {
    let cluster = FakeCluster::start(1, 1).await;
    let ownership = acquire(&cluster, SHORT).await;
    let jobs = cluster.client().await.jobs();
    let listed = jobs.list().await.unwrap().remove(0);
    assert_eq!((&listed.job, listed.token), (&job(), ownership.token()));
    let owner = listed.owner.unwrap();
    assert_eq!(owner.client_name, "exporter");
    assert_eq!(owner.session_timeout, SHORT);
    ownership.release().await.unwrap();
    assert_eq!(jobs.list().await.unwrap()[0].owner, None);
}
