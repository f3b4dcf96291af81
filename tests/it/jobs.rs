//! Jobs: of several processes one at a time owns one, while processes and nodes come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flotilla_client::{
    Client, ErrorCode, FencingToken, JobConfig, JobDescription, JobName, JobOwnership,
};
use flotilla_protocol::v1::jobs_client::JobsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::raw_api::RawNode;

const LIMIT: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an owner that says nothing.
const SILENCE_MS: u32 = 3_000;
/// The keeper looks a few times a second, and whoever waits then has to be told. Generous, for tests
/// that run side by side.
const SLACK: Duration = Duration::from_secs(5);

fn job(name: &str) -> JobName {
    JobName::parse(name).unwrap()
}

fn config(name: &str, client_name: &str) -> JobConfig {
    JobConfig {
        client_name: client_name.to_owned(),
        session_timeout: SESSION_TIMEOUT,
        ..JobConfig::new(job(name))
    }
}

async fn acquire(client: &Client, name: &str, client_name: &str) -> JobOwnership {
    let jobs = client.jobs();
    let acquired = tokio::time::timeout(LIMIT, jobs.acquire(config(name, client_name))).await;
    acquired.expect("the job is free in time").unwrap()
}

async fn try_acquire(client: &Client, name: &str, limit: Duration) -> Option<JobOwnership> {
    let jobs = client.jobs();
    let acquired = jobs.acquire_within(config(name, "another"), limit).await;
    acquired.unwrap()
}

async fn listed(client: &Client, name: &str) -> JobDescription {
    let jobs = client.jobs().list().await.unwrap();
    let found = jobs.into_iter().find(|listed| listed.job == job(name));
    found.expect("the job is listed")
}

/// Goal: a job goes from owner to owner, each with a greater token: at once if it is released, and
/// within a session timeout and a little if the owner is silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_one_owner_at_a_time_with_ascending_tokens() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    assert_eq!(client.jobs().list().await.unwrap(), []);

    phase("the first one owns it, and the second one does not");
    let first = acquire(&client, "export", "first").await;
    let none = try_acquire(&client, "export", Duration::from_millis(300)).await;
    assert!(none.is_none());
    let of_another_job = acquire(&client, "import", "importer").await;

    phase("it is handed over when it is released");
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { acquire(&client, "export", "second").await })
    };
    let first_token = first.token();
    let none = try_acquire(&client, "export", SESSION_TIMEOUT * 2).await;
    assert!(none.is_none(), "the first one is renewed");
    assert!(!first.is_lost() && !waiting.is_finished());
    let began = Instant::now();
    first.release().await.unwrap();
    let second = waiting.await.unwrap();
    assert!(began.elapsed() < SESSION_TIMEOUT, "{:?}", began.elapsed());
    assert!(second.token() > first_token);

    phase("the second one dies without a word");
    let (second_token, began) = (second.token(), Instant::now());
    drop(second);
    let third = acquire(&client, "export", "third").await;
    let took = began.elapsed();
    assert!(took > SESSION_TIMEOUT / 2, "it was renewed: {took:?}");
    assert!(took < SESSION_TIMEOUT + SLACK, "{took:?}");
    assert!(third.token() > second_token);

    phase("the list");
    let jobs = client.jobs().list().await.unwrap();
    let names: Vec<_> = jobs.iter().map(|job| job.job.as_str()).collect();
    assert_eq!(names, ["export", "import"]);
    let owner = jobs[0].owner.as_ref().unwrap();
    assert_eq!(owner.client_name, "third");
    assert_eq!(owner.session_timeout, SESSION_TIMEOUT);
    assert_eq!(jobs[0].token, third.token());
    of_another_job.release().await.unwrap();
    let released = listed(&client, "import").await;
    assert_eq!(released.owner, None);
}

/// Goal: an ownership survives that the nodes are killed, one after the other, the one that leads its
/// coordinator among them: it goes on being renewed and nobody else gets the job. It is shown after
/// all of them were killed at once, too, and the next owner's token is greater still.
#[tokio::test(flavor = "multi_thread")]
async fn an_ownership_outlives_the_nodes() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let steady = JobConfig {
        session_timeout: Duration::from_secs(20),
        ..config("export", "steady")
    };
    let ownership = client.jobs().acquire(steady).await.unwrap();
    let token = ownership.token();

    let nodes: Vec<_> = cluster.nodes().iter().map(|node| node.id()).collect();
    for node in nodes {
        phase(format_args!("kill node {node}"));
        cluster.node_mut(node).kill();
        let none = try_acquire(&client, "export", SESSION_TIMEOUT).await;
        assert!(none.is_none(), "it has an owner");
        assert!(!ownership.is_lost());
        cluster.start_all().await;
        let listed = listed(&client, "export").await;
        assert_eq!(listed.token, token);
        assert_eq!(listed.owner.unwrap().client_name, "steady");
    }

    phase("all nodes at once");
    cluster.kill_all();
    cluster.start_all().await;
    until("all coordinators are back", LIMIT, async || {
        client.jobs().list().await.ok()
    })
    .await;
    let listed = listed(&client, "export").await;
    assert_eq!(listed.token, token);
    ownership.release().await.unwrap();
    let next = acquire(&client, "export", "next").await;
    assert!(next.token() > token);
}

/// What the contenders of one job have seen.
#[derive(Default)]
struct Turns {
    /// Who believes to own the job at this moment.
    owners: usize,
    tokens: Vec<FencingToken>,
}

/// Owns the job for a moment, again and again, until there were enough turns.
async fn take_turns(client: Client, turns: Arc<Mutex<Turns>>, enough: usize) -> usize {
    let (jobs, mut own_turns) = (client.jobs(), 0);
    while turns.lock().tokens.len() < enough {
        let ownership = acquire(&client, "export", "contender").await;
        {
            let mut turns = turns.lock();
            assert_eq!(turns.owners, 0, "two own it at a time");
            assert!(turns.tokens.last() < Some(&ownership.token()));
            turns.owners += 1;
            turns.tokens.push(ownership.token());
        }
        own_turns += 1;
        tokio::select! {
            () = ownership.lost() => {}
            // Something that takes a moment.
            _ = jobs.list() => {}
        }
        turns.lock().owners -= 1;
        // Where that fails, the session has to run out.
        drop(ownership.release().await);
    }
    own_turns
}

/// Goal: those who want one job take turns, never two at a time, each turn with a greater token than
/// the one before, while nodes are killed.
#[tokio::test(flavor = "multi_thread")]
async fn contenders_take_turns_while_nodes_die() {
    let mut cluster = Cluster::start(3).await;
    let turns = Arc::new(Mutex::new(Turns::default()));
    let mut contenders = JoinSet::new();
    for _ in 0..4 {
        contenders.spawn(take_turns(cluster.client().await, turns.clone(), 120));
    }
    let nodes: Vec<_> = cluster.nodes().iter().map(|node| node.id()).collect();
    for (node, so_many) in nodes.into_iter().zip([30, 60, 90]) {
        until("the job has changed hands", LIMIT, async || {
            (turns.lock().tokens.len() >= so_many).then_some(())
        })
        .await;
        phase(format_args!("kill node {node} after {so_many} turns"));
        cluster.node_mut(node).kill();
        cluster.start_all().await;
    }
    let own_turns = contenders.join_all().await;
    assert!(own_turns.iter().all(|count| *count > 0), "{own_turns:?}");
}

/// Goal: who was away too long has lost the job for good, whatever it sends, through whichever node;
/// and what makes no sense is refused.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_silent_too_long_owns_nothing_any_more() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let callers: Vec<_> = cluster.nodes().iter().map(RawNode::of).collect();
    let caller = |nth: usize| Caller {
        jobs: JobsClient::new(callers[nth].channel()),
    };
    let first = caller(0).acquire("paused", SILENCE_MS).await.unwrap();
    assert_eq!(caller(1).acquire("paused", SILENCE_MS).await, Ok(first));
    assert_eq!(caller(2).renew("paused", first).await, Ok(()));
    let held = caller(2).acquire("successor", SILENCE_MS).await;
    assert_eq!(held, Err(ErrorCode::JobHeld));

    phase("it says nothing any more, and another one takes over");
    let successor = acquire(&client, "export", "successor").await;
    assert!(successor.token() > first);

    phase("it wakes up");
    for nth in 0..3 {
        let late = caller(nth).renew("paused", first).await;
        assert_eq!(late, Err(ErrorCode::StaleToken));
        assert_eq!(caller(nth).release("paused", first).await, Ok(()));
        let guessed = caller(nth).renew("paused", successor.token()).await;
        assert_eq!(guessed, Err(ErrorCode::StaleToken));
        let held = caller(nth).acquire("paused", SILENCE_MS).await;
        assert_eq!(held, Err(ErrorCode::JobHeld));
    }
    assert!(!successor.is_lost());
    assert_eq!(listed(&client, "export").await.token, successor.token());

    phase("nonsense");
    for (owner, session_timeout_ms) in [("", SILENCE_MS), ("a b", SILENCE_MS), ("a", 999)] {
        let refused = caller(0).acquire(owner, session_timeout_ms).await;
        assert_eq!(refused, Err(ErrorCode::InvalidArgument));
    }
    let request = v1::RenewJobRequest {
        job: "../export".to_owned(),
        ..v1::RenewJobRequest::default()
    };
    let refused = caller(0).jobs.renew_job(request).await.unwrap_err();
    assert_eq!(ApiError::from(refused).code, ErrorCode::InvalidJobName);
}

/// Speaks about the job `export` without a client's renewals.
struct Caller {
    jobs: JobsClient<tonic::transport::Channel>,
}

impl Caller {
    async fn acquire(
        mut self,
        owner: &str,
        session_timeout_ms: u32,
    ) -> Result<FencingToken, ErrorCode> {
        let request = v1::AcquireJobRequest {
            job: "export".to_owned(),
            owner_id: owner.to_owned(),
            session_timeout_ms,
            ..v1::AcquireJobRequest::default()
        };
        let answer = self.jobs.acquire_job(request).await;
        let answer = answer.map_err(|status| ApiError::from(status).code)?;
        Ok(FencingToken::new(answer.into_inner().token))
    }

    async fn renew(mut self, owner: &str, token: FencingToken) -> Result<(), ErrorCode> {
        let request = v1::RenewJobRequest {
            job: "export".to_owned(),
            owner_id: owner.to_owned(),
            token: token.get(),
        };
        let answer = self.jobs.renew_job(request).await;
        answer
            .map(drop)
            .map_err(|status| ApiError::from(status).code)
    }

    async fn release(mut self, owner: &str, token: FencingToken) -> Result<(), ErrorCode> {
        let request = v1::ReleaseJobRequest {
            job: "export".to_owned(),
            owner_id: owner.to_owned(),
            token: token.get(),
        };
        let answer = self.jobs.release_job(request).await;
        answer
            .map(drop)
            .map_err(|status| ApiError::from(status).code)
    }
}
