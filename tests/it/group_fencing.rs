//! Members that do not behave: silent for too long, with an old generation, with offsets that there
//! are not.

use std::time::Duration;

use flotilla_client::{ApiError, ErrorCode};
use flotilla_protocol::v1;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;

use crate::raw_api::RawNode;
use crate::topics::{create, name};

const GROUP: &str = "billing";
const TOPIC: &str = "orders";
const SESSION_TIMEOUT_MS: u32 = 1_000;
const LIMIT: Duration = Duration::from_secs(20);

struct Caller {
    node: RawNode,
}

impl Caller {
    async fn join(&self, member: &str) -> v1::Assignment {
        let request = v1::JoinGroupRequest {
            group_id: GROUP.to_owned(),
            member_id: member.to_owned(),
            client_name: String::new(),
            subscription: Some(v1::Subscription {
                topics: vec![TOPIC.to_owned()],
                pattern: String::new(),
            }),
            session_timeout_ms: SESSION_TIMEOUT_MS,
        };
        let answer = self.node.groups().join_group(request).await.unwrap();
        answer.into_inner().assignment.unwrap()
    }

    async fn heartbeat(&self, member: &str) -> Result<v1::Assignment, ApiError> {
        let request = v1::HeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: member.to_owned(),
            ..v1::HeartbeatRequest::default()
        };
        let answer = self.node.groups().heartbeat(request).await;
        Ok(answer
            .map_err(ApiError::from)?
            .into_inner()
            .assignment
            .unwrap())
    }

    /// How the offset commit of one partition ends.
    async fn commit(
        &self,
        member: &str,
        (held, offset): (&v1::HeldPartition, u64),
    ) -> Result<(), ErrorCode> {
        let request = v1::CommitOffsetsRequest {
            group_id: GROUP.to_owned(),
            member_id: member.to_owned(),
            offsets: vec![v1::OffsetCommit {
                topic: held.topic.clone(),
                topic_id: held.topic_id,
                partition: held.partition,
                generation: held.generation,
                offset,
                metadata: String::new(),
            }],
        };
        let answer = self.node.groups().commit_offsets(request).await;
        let answer = answer.map_err(|status| ApiError::from(status).code)?;
        match answer.into_inner().outcomes.remove(0).error {
            None => Ok(()),
            Some(error) => Err(ApiError::from(error).code),
        }
    }
}

/// Goal: a member that was paused past its session has lost its partition for good: neither under its
/// old membership nor after joining again under the same name can it overwrite what its successor
/// has committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_too_long_cannot_overwrite_its_successor() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    create(&client, &name(TOPIC), 1, 1).await;
    let caller = Caller {
        node: RawNode::of(&cluster.nodes()[0]),
    };
    let held = caller.join("paused").await.partitions.remove(0);
    assert_eq!(caller.commit("paused", (&held, 0)).await, Ok(()));

    phase("it says nothing any more, and another one takes over");
    assert_eq!(caller.join("successor").await.partitions, []);
    let taken = until("the successor has the partition", LIMIT, async || {
        let mut assignment = caller.heartbeat("successor").await.unwrap();
        assignment.partitions.pop()
    })
    .await;
    assert!(taken.generation > held.generation);
    assert_eq!(caller.commit("successor", (&taken, 0)).await, Ok(()));

    phase("it wakes up");
    let gone = caller.heartbeat("paused").await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::UnknownMember);
    let late = caller.commit("paused", (&held, 0)).await;
    assert_eq!(late, Err(ErrorCode::UnknownMember));
    assert_eq!(caller.join("paused").await.partitions, []);
    let late = caller.commit("paused", (&held, 0)).await;
    assert_eq!(late, Err(ErrorCode::StaleGeneration));
    assert_eq!(caller.commit("successor", (&taken, 0)).await, Ok(()));
}

/// Goal: an offset commit about what there is not is refused by itself, and the others of the same
/// request are stored.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_there_are_not_are_refused_one_by_one() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    create(&client, &name(TOPIC), 2, 1).await;
    let caller = Caller {
        node: RawNode::of(&cluster.nodes()[0]),
    };
    let held = caller.join("member").await.partitions.remove(0);
    let commit = |topic: &str, partition, offset| v1::OffsetCommit {
        topic: topic.to_owned(),
        topic_id: 0,
        partition,
        generation: held.generation,
        offset,
        metadata: "where the export stands".to_owned(),
    };
    let request = v1::CommitOffsetsRequest {
        group_id: GROUP.to_owned(),
        member_id: "member".to_owned(),
        offsets: vec![
            commit(TOPIC, 0, 0),
            commit(TOPIC, 0, 1),
            commit(TOPIC, 2, 0),
            commit("refunds", 0, 0),
            commit("../refunds", 0, 0),
            v1::OffsetCommit {
                topic_id: 77,
                ..commit(TOPIC, 1, 0)
            },
            v1::OffsetCommit {
                metadata: "x".repeat(4_097),
                ..commit(TOPIC, 1, 0)
            },
            v1::OffsetCommit {
                generation: held.generation + 1,
                ..commit(TOPIC, 1, 0)
            },
            commit(TOPIC, 1, 0),
        ],
    };
    let answer = caller.node.groups().commit_offsets(request).await.unwrap();
    let outcomes = answer.into_inner().outcomes.into_iter();
    let codes: Vec<_> = outcomes
        .map(|outcome| outcome.error.map(|error| ApiError::from(error).code))
        .collect();
    assert_eq!(
        codes,
        [
            None,
            Some(ErrorCode::OffsetOutOfRange),
            Some(ErrorCode::UnknownPartition),
            Some(ErrorCode::UnknownTopic),
            Some(ErrorCode::InvalidTopicName),
            Some(ErrorCode::UnknownTopic),
            Some(ErrorCode::InvalidArgument),
            Some(ErrorCode::StaleGeneration),
            None,
        ]
    );
    let group = flotilla_client::GroupId::parse(GROUP).unwrap();
    let stored = client.admin().committed_offsets(&group, &[]).await.unwrap();
    let texts: Vec<_> = stored
        .iter()
        .map(|offset| offset.metadata.as_str())
        .collect();
    assert_eq!(texts, ["where the export stands"; 2]);
}
