//! How a command changes the groups and jobs: checked whole first, then carried out whole.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::limits::{COORDINATOR_GROUPS_MAX, GROUP_MEMBERS_MAX, GROUP_OFFSETS_MAX};
use flotilla_types::{Generation, GroupId, MemberId, PartitionId, Timestamp, TopicId};

use super::{
    CommitFault, CommittedOffset, CoordinatorCommand, CoordinatorOutcome, CoordinatorState, Group,
    GroupRejection, Member, OffsetCommit, Subscription,
};

type Effect = Result<CoordinatorOutcome, GroupRejection>;

/// What a member says of itself when it joins.
struct Introduction<'a> {
    client_name: &'a str,
    session_timeout_ms: u32,
    subscription: &'a Subscription,
}

impl CoordinatorState {
    /// A command that does not fit changes nothing, and the outcome says so.
    pub fn apply(&mut self, command: &CoordinatorCommand) -> CoordinatorOutcome {
        let effect = match command {
            CoordinatorCommand::Join {
                group,
                member,
                client_name,
                session_timeout_ms,
                subscription,
                now,
            } => {
                let introduction = Introduction {
                    client_name,
                    session_timeout_ms: *session_timeout_ms,
                    subscription,
                };
                self.join(group, member, &introduction, *now)
            }
            CoordinatorCommand::Assign {
                group,
                based_on,
                targets,
                now,
            } => Ok(self.assign(group, *based_on, targets, *now)),
            CoordinatorCommand::Release {
                group,
                member,
                partitions,
                now,
            } => self.release(group, member, partitions, *now),
            CoordinatorCommand::Leave { group, member, now } => Ok(self.leave(group, member, *now)),
            CoordinatorCommand::Expire {
                group,
                member,
                joined,
                now,
            } => Ok(self.expire(group, member, *joined, *now)),
            CoordinatorCommand::CommitOffsets {
                group,
                member,
                commits,
                now,
            } => self.commit_offsets(group, member.as_ref(), commits, *now),
            CoordinatorCommand::DeleteGroup { group } => self.delete_group(group),
            CoordinatorCommand::ForgetTopics { topics } => Ok(self.forget_topics(topics)),
            CoordinatorCommand::Job(command) => {
                Ok(CoordinatorOutcome::Job(self.jobs.apply(command)))
            }
            CoordinatorCommand::ExpireGroups { now, idle_ms } => {
                Ok(self.expire_groups(*now, *idle_ms))
            }
        };
        effect.unwrap_or_else(CoordinatorOutcome::Rejected)
    }

    fn join(
        &mut self,
        id: &GroupId,
        member: &MemberId,
        introduction: &Introduction<'_>,
        now: Timestamp,
    ) -> Effect {
        self.refuse_one_too_many(id)?;
        let known = self.groups.get(id);
        if known.is_some_and(|group| group.is_full_for(member)) {
            return Err(GroupRejection::GroupFull { group: id.clone() });
        }
        self.joins += 1;
        let joined = self.joins;
        let group = self.groups.entry(id.clone());
        let group = group.or_insert_with(|| Group::new(now));
        group.join(member, introduction, joined);
        group.active_at = now;
        Ok(CoordinatorOutcome::Joined)
    }

    fn assign(
        &mut self,
        group: &GroupId,
        based_on: u64,
        targets: &[(MemberId, Vec<PartitionId>)],
        now: Timestamp,
    ) -> CoordinatorOutcome {
        let known = self.groups.get_mut(group);
        let Some(group) = known.filter(|group| group.membership_version == based_on) else {
            return CoordinatorOutcome::Stale;
        };
        let Some(targets) = group.read_targets(targets) else {
            return CoordinatorOutcome::Stale;
        };
        if !group.redistribute(&targets) {
            return CoordinatorOutcome::Unchanged;
        }
        group.active_at = now;
        CoordinatorOutcome::Assigned {
            generation: group.generation,
        }
    }

    fn release(
        &mut self,
        group: &GroupId,
        member: &MemberId,
        partitions: &[(PartitionId, Generation)],
        now: Timestamp,
    ) -> Effect {
        let group = self.require_member(group, member)?;
        let count = group.release(member, partitions);
        if count > 0 {
            group.active_at = now;
        }
        Ok(CoordinatorOutcome::Released { count })
    }

    /// To leave twice does no harm, so that a request whose answer was lost can be sent again.
    fn leave(&mut self, group: &GroupId, member: &MemberId, now: Timestamp) -> CoordinatorOutcome {
        if let Some(group) = self.groups.get_mut(group)
            && group.remove_member(member)
        {
            group.active_at = now;
        }
        CoordinatorOutcome::Left
    }

    fn expire(
        &mut self,
        group: &GroupId,
        member: &MemberId,
        joined: u64,
        now: Timestamp,
    ) -> CoordinatorOutcome {
        let known = self.group(group).and_then(|group| group.member(member));
        match known {
            Some(known) if known.joined == joined => self.leave(group, member, now),
            _ => CoordinatorOutcome::Stale,
        }
    }

    fn commit_offsets(
        &mut self,
        id: &GroupId,
        member: Option<&MemberId>,
        commits: &[OffsetCommit],
        now: Timestamp,
    ) -> Effect {
        let results = match member {
            Some(member) => self
                .require_member(id, member)?
                .commit(Some(member), commits, now),
            None => self.commit_without_member(id, commits, now)?,
        };
        Ok(CoordinatorOutcome::OffsetsCommitted(results))
    }

    fn commit_without_member(
        &mut self,
        id: &GroupId,
        commits: &[OffsetCommit],
        now: Timestamp,
    ) -> Result<Vec<Result<(), CommitFault>>, GroupRejection> {
        self.refuse_one_too_many(id)?;
        if let Some(group) = self.groups.get(id) {
            refuse_members(id, group)?;
        }
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        let group = self.groups.entry(id.clone());
        let group = group.or_insert_with(|| Group::new(now));
        Ok(group.commit(None, commits, now))
    }

    fn delete_group(&mut self, id: &GroupId) -> Effect {
        refuse_members(id, self.require_group(id)?)?;
        self.groups.remove(id);
        Ok(CoordinatorOutcome::Deleted)
    }

    fn forget_topics(&mut self, topics: &[TopicId]) -> CoordinatorOutcome {
        let topics = topics.iter().copied().collect();
        for group in self.groups.values_mut() {
            group.forget(&topics);
        }
        CoordinatorOutcome::Forgotten
    }

    fn expire_groups(&mut self, now: Timestamp, idle_ms: u64) -> CoordinatorOutcome {
        let idle_since = now.minus_millis(idle_ms);
        let before = self.groups.len();
        self.groups
            .retain(|_, group| !group.members.is_empty() || group.active_at > idle_since);
        let count = before - self.groups.len();
        CoordinatorOutcome::GroupsExpired { count }
    }

    fn refuse_one_too_many(&self, id: &GroupId) -> Result<(), GroupRejection> {
        if self.groups.len() >= COORDINATOR_GROUPS_MAX && !self.groups.contains_key(id) {
            return Err(GroupRejection::CoordinatorFull { group: id.clone() });
        }
        Ok(())
    }

    fn require_group(&mut self, id: &GroupId) -> Result<&mut Group, GroupRejection> {
        self.groups
            .get_mut(id)
            .ok_or_else(|| GroupRejection::UnknownGroup { group: id.clone() })
    }

    /// The group, which has this member.
    fn require_member(
        &mut self,
        id: &GroupId,
        member: &MemberId,
    ) -> Result<&mut Group, GroupRejection> {
        let group = self.require_group(id)?;
        if group.members.contains_key(member) {
            return Ok(group);
        }
        Err(GroupRejection::UnknownMember {
            group: id.clone(),
            member: member.clone(),
        })
    }
}

impl Group {
    fn is_full_for(&self, member: &MemberId) -> bool {
        self.members.len() >= GROUP_MEMBERS_MAX && !self.members.contains_key(member)
    }

    /// A member that is known keeps what it has.
    fn join(&mut self, member: &MemberId, introduction: &Introduction<'_>, joined: u64) {
        let subscription = introduction.subscription.clone().normalized();
        match self.members.entry(member.clone()) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                if known.subscription != subscription {
                    self.membership_version += 1;
                }
                known.joined = joined;
                known.client_name = introduction.client_name.to_owned();
                known.session_timeout_ms = introduction.session_timeout_ms;
                known.subscription = subscription;
            }
            Entry::Vacant(place) => {
                self.membership_version += 1;
                self.last_assignment_version += 1;
                place.insert(Member {
                    joined,
                    client_name: introduction.client_name.to_owned(),
                    session_timeout_ms: introduction.session_timeout_ms,
                    subscription,
                    assignment_version: self.last_assignment_version,
                    held: BTreeMap::new(),
                    revoked: BTreeMap::new(),
                    awaited: BTreeSet::new(),
                });
            }
        }
    }

    /// Stores what `member` may commit, or anything if nobody's name is given.
    fn commit(
        &mut self,
        member: Option<&MemberId>,
        commits: &[OffsetCommit],
        now: Timestamp,
    ) -> Vec<Result<(), CommitFault>> {
        let member = member.and_then(|member| self.members.get(member));
        let mut results = Vec::with_capacity(commits.len());
        for commit in commits {
            let generation = commit.generation;
            let is_stale = member.is_some_and(|member| !member.has(commit.partition, generation));
            results.push(if is_stale {
                Err(CommitFault::StaleGeneration { generation })
            } else {
                store(&mut self.offsets, commit, now)
            });
        }
        if results.iter().any(Result::is_ok) {
            self.active_at = now;
        }
        results
    }
}

fn store(
    offsets: &mut BTreeMap<PartitionId, CommittedOffset>,
    commit: &OffsetCommit,
    now: Timestamp,
) -> Result<(), CommitFault> {
    if offsets.len() >= GROUP_OFFSETS_MAX && !offsets.contains_key(&commit.partition) {
        return Err(CommitFault::GroupFull);
    }
    let committed = CommittedOffset {
        offset: commit.offset,
        metadata: commit.metadata.clone(),
        committed_at: now,
    };
    offsets.insert(commit.partition, committed);
    Ok(())
}

fn refuse_members(id: &GroupId, group: &Group) -> Result<(), GroupRejection> {
    let members = group.members.len();
    if members == 0 {
        return Ok(());
    }
    Err(GroupRejection::GroupNotEmpty {
        group: id.clone(),
        members,
    })
}
