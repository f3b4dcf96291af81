//! A coordinator that does what its script says: the test hands out partitions and expels members,
//! the fake checks claims, stores offsets and writes down what it was asked.

use std::collections::BTreeMap;

use flotilla_protocol::v1::consumer_groups_server::ConsumerGroups;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::ErrorCode;
use tokio::time::{Duration, Instant, timeout_at};
use tonic::{Request, Response, Status};

use crate::fake_cluster::TOPIC;
use crate::fake_node::FakeNode;

/// The one group that there is.
pub(crate) const GROUP: &str = "billing";

#[derive(Default)]
pub(crate) struct FakeGroup {
    /// Ids are `m1`, `m2` and so on in the order of joining.
    pub(crate) members: BTreeMap<String, FakeMember>,
    /// What the next one to join gets: partition and generation.
    pub(crate) for_next: Vec<(u32, u64)>,
    pub(crate) offsets: BTreeMap<u32, u64>,
    /// What has happened, in order.
    pub(crate) events: Vec<Event>,
    /// Every call ends with this error, without effect.
    pub(crate) failing: Option<ErrorCode>,
    /// Calls that have failed like this.
    pub(crate) failed: u64,
    joined: u64,
    /// What the tests call the members, by the ids that these have chosen.
    names: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeMember {
    pub(crate) version: u64,
    pub(crate) partitions: Vec<(u32, u64)>,
    pub(crate) revoked: Vec<(u32, u64)>,
    request: v1::JoinGroupRequest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Joined(String),
    /// Member, partition and offset.
    Committed(String, u32, u64),
    Released(String, u32),
    Left(String),
}

impl FakeGroup {
    /// Tells a member what it holds from now on.
    pub(crate) fn assign(&mut self, member: &str, read: &[(u32, u64)], revoked: &[(u32, u64)]) {
        let member = self.members.get_mut(member).expect("the member has joined");
        member.version += 1;
        member.partitions = read.to_vec();
        member.revoked = revoked.to_vec();
    }

    pub(crate) fn has(&self, event: &Event) -> bool {
        self.events.contains(event)
    }

    fn check(&mut self, group: &str) -> Result<(), ApiError> {
        if let Some(code) = self.failing {
            self.failed += 1;
            return Err(ApiError::new(code, "as told"));
        }
        match group == GROUP {
            true => Ok(()),
            false => Err(ApiError::new(ErrorCode::UnknownGroup, "no such group")),
        }
    }

    fn member(&mut self, id: &str) -> Result<&mut FakeMember, ApiError> {
        let member = self.members.get_mut(id);
        member.ok_or_else(|| ApiError::new(ErrorCode::UnknownMember, "no such member"))
    }

    fn name_of(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_default()
    }

    fn join(&mut self, request: v1::JoinGroupRequest) -> v1::JoinGroupResponse {
        self.joined += 1;
        let id = format!("m{}", self.joined);
        self.names.insert(request.member_id.clone(), id.clone());
        let session_timeout_ms = request.session_timeout_ms;
        let member = FakeMember {
            version: 1,
            partitions: std::mem::take(&mut self.for_next),
            revoked: Vec::new(),
            request,
        };
        let assignment = member.assignment();
        self.members.insert(id.clone(), member);
        self.events.push(Event::Joined(id));
        v1::JoinGroupResponse {
            session_timeout_ms,
            assignment: Some(assignment),
        }
    }

    fn release(&mut self, request: &v1::HeartbeatRequest) -> Result<(), ApiError> {
        let member = self.member(&request.member_id)?;
        let mut released = Vec::new();
        for held in &request.released {
            let claim = (held.partition, held.generation);
            let before = member.revoked.len();
            member.revoked.retain(|revoked| *revoked != claim);
            if member.revoked.len() < before {
                member.version += 1;
                released.push(Event::Released(request.member_id.clone(), held.partition));
            }
        }
        self.events.extend(released);
        Ok(())
    }

    fn commit(&mut self, member: &str, commit: &v1::OffsetCommit) -> Result<(), ApiError> {
        if !member.is_empty() {
            let claim = (commit.partition, commit.generation);
            let held = self.member(member)?;
            if !held.partitions.contains(&claim) && !held.revoked.contains(&claim) {
                return Err(ApiError::new(ErrorCode::StaleGeneration, "not held"));
            }
        }
        self.offsets.insert(commit.partition, commit.offset);
        let event = Event::Committed(member.to_owned(), commit.partition, commit.offset);
        self.events.push(event);
        Ok(())
    }
}

impl FakeMember {
    fn assignment(&self) -> v1::Assignment {
        let write = |claims: &[(u32, u64)]| {
            let claims = claims.iter();
            claims
                .map(|(partition, generation)| v1::HeldPartition {
                    topic: TOPIC.to_owned(),
                    topic_id: 1,
                    partition: *partition,
                    generation: *generation,
                })
                .collect()
        };
        v1::Assignment {
            version: self.version,
            partitions: write(&self.partitions),
            revoked: write(&self.revoked),
        }
    }
}

fn committed(offsets: &BTreeMap<u32, u64>) -> Vec<v1::CommittedOffset> {
    let offsets = offsets.iter();
    offsets
        .map(|(partition, offset)| v1::CommittedOffset {
            topic: TOPIC.to_owned(),
            topic_id: 1,
            partition: *partition,
            offset: *offset,
            metadata: String::new(),
            committed_at_ms: 7,
        })
        .collect()
}

impl FakeNode {
    /// Does something to the group that others may wait for.
    fn with_group<T>(
        &self,
        group: &str,
        act: impl FnOnce(&mut FakeGroup) -> Result<T, ApiError>,
    ) -> Result<Response<T>, Status> {
        let mut state = self.shared.state();
        let done = state
            .group
            .check(group)
            .and_then(|()| act(&mut state.group));
        drop(state);
        self.shared.note_change();
        Ok(Response::new(done?))
    }
}

#[tonic::async_trait]
impl ConsumerGroups for FakeNode {
    async fn join_group(
        &self,
        request: Request<v1::JoinGroupRequest>,
    ) -> Result<Response<v1::JoinGroupResponse>, Status> {
        let request = request.into_inner();
        self.with_group(&request.group_id.clone(), |group| Ok(group.join(request)))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let mut request = request.into_inner();
        request.member_id = self.shared.state().group.name_of(&request.member_id);
        let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.into());
        let mut changes = self.shared.changes();
        let mut answering = self.shared.answering.subscribe();
        let answered = answering.wait_for(|answering| *answering).await;
        answered.expect("the cluster outlives its nodes");
        self.with_group(&request.group_id, |group| group.release(&request))?;
        loop {
            changes.borrow_and_update();
            let answer = {
                let mut state = self.shared.state();
                state.group.check(&request.group_id)?;
                state.group.member(&request.member_id)?.assignment()
            };
            let is_news = answer.version != request.known_version;
            if is_news || timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(Response::new(v1::HeartbeatResponse {
                    assignment: Some(answer),
                }));
            }
        }
    }

    async fn leave_group(
        &self,
        request: Request<v1::LeaveGroupRequest>,
    ) -> Result<Response<v1::LeaveGroupResponse>, Status> {
        let mut request = request.into_inner();
        request.member_id = self.shared.state().group.name_of(&request.member_id);
        self.with_group(&request.group_id, |group| {
            if group.members.remove(&request.member_id).is_some() {
                group.events.push(Event::Left(request.member_id));
            }
            Ok(v1::LeaveGroupResponse {})
        })
    }

    async fn commit_offsets(
        &self,
        request: Request<v1::CommitOffsetsRequest>,
    ) -> Result<Response<v1::CommitOffsetsResponse>, Status> {
        let mut request = request.into_inner();
        request.member_id = self.shared.state().group.name_of(&request.member_id);
        self.with_group(&request.group_id, |group| {
            if request.member_id.is_empty() && !group.members.is_empty() {
                return Err(ApiError::new(ErrorCode::GroupNotEmpty, "it has members"));
            }
            if !request.member_id.is_empty() {
                group.member(&request.member_id)?;
            }
            let outcomes = request.offsets.iter().map(|commit| {
                let stored = group.commit(&request.member_id, commit);
                v1::OffsetCommitOutcome {
                    topic: commit.topic.clone(),
                    partition: commit.partition,
                    error: stored.err().map(Into::into),
                }
            });
            Ok(v1::CommitOffsetsResponse {
                outcomes: outcomes.collect(),
            })
        })
    }

    async fn get_committed_offsets(
        &self,
        request: Request<v1::GetCommittedOffsetsRequest>,
    ) -> Result<Response<v1::GetCommittedOffsetsResponse>, Status> {
        self.with_group(&request.into_inner().group_id, |group| {
            Ok(v1::GetCommittedOffsetsResponse {
                offsets: committed(&group.offsets),
            })
        })
    }

    async fn list_groups(
        &self,
        _request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        self.with_group(GROUP, |group| {
            Ok(v1::ListGroupsResponse {
                groups: vec![v1::GroupSummary {
                    group_id: GROUP.to_owned(),
                    members: group.members.len() as u32,
                    generation: 3,
                }],
                coordinators: 1,
            })
        })
    }

    async fn describe_group(
        &self,
        request: Request<v1::DescribeGroupRequest>,
    ) -> Result<Response<v1::DescribeGroupResponse>, Status> {
        self.with_group(&request.into_inner().group_id, |group| {
            let members = group.members.iter();
            Ok(v1::DescribeGroupResponse {
                group_id: GROUP.to_owned(),
                generation: 3,
                members: members
                    .map(|(id, member)| v1::GroupMember {
                        member_id: id.clone(),
                        client_name: member.request.client_name.clone(),
                        subscription: member.request.subscription.clone(),
                        session_timeout_ms: member.request.session_timeout_ms,
                        assignment: Some(member.assignment()),
                    })
                    .collect(),
                offsets: committed(&group.offsets),
                coordinator_node_id: 1,
            })
        })
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
        self.with_group(&request.into_inner().group_id, |group| {
            if !group.members.is_empty() {
                return Err(ApiError::new(ErrorCode::GroupNotEmpty, "it has members"));
            }
            group.offsets.clear();
            Ok(v1::DeleteGroupResponse {})
        })
    }
}
