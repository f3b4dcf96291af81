//! What a coordinator can be told, and how that is written into a log entry: a format byte, then
//! CBOR. The numbers of variants and fields are permanent.

use flotilla_types::{Generation, GroupId, MemberId, Offset, PartitionId, Timestamp, TopicId};
use minicbor::{Decode, Encode};

use super::Subscription;
use super::bodies::{
    HoldingBody, PartitionBody, SubscriptionBody, group_id, member_id, partition_id,
};
use super::jobs::{JobCommand, JobCommandBody};
use crate::{DecodeError, wire};

const FORMAT: u8 = 1;
const WHAT: &str = "coordinator command";

/// A decision that every replica of a coordinator applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorCommand {
    /// Makes a member, and the group for the first one, or changes what a member has said of itself.
    Join {
        group: GroupId,
        member: MemberId,
        client_name: String,
        session_timeout_ms: u32,
        subscription: Subscription,
        now: Timestamp,
    },
    /// Says who shall have which partitions. A member that is not named shall have none.
    Assign {
        group: GroupId,
        /// The membership version that this was worked out for. Nothing happens if it is another one.
        based_on: u64,
        targets: Vec<(MemberId, Vec<PartitionId>)>,
        now: Timestamp,
    },
    /// The member has given up these partitions, which it got in these generations.
    Release {
        group: GroupId,
        member: MemberId,
        partitions: Vec<(PartitionId, Generation)>,
        now: Timestamp,
    },
    Leave {
        group: GroupId,
        member: MemberId,
        now: Timestamp,
    },
    /// The member was silent for too long.
    Expire {
        group: GroupId,
        member: MemberId,
        /// Its last join when that was found. Nothing happens if it has joined again.
        joined: u64,
        now: Timestamp,
    },
    CommitOffsets {
        group: GroupId,
        /// Without one, the group must have no members, and the generations do not matter.
        member: Option<MemberId>,
        commits: Vec<OffsetCommit>,
        now: Timestamp,
    },
    /// Deletes a group without members, with its offsets.
    DeleteGroup {
        group: GroupId,
    },
    /// These topics were deleted.
    ForgetTopics {
        topics: Vec<TopicId>,
    },
    /// Forgets groups without members that nobody touched for `idle_ms`.
    ExpireGroups {
        now: Timestamp,
        idle_ms: u64,
    },
    Job(JobCommand),
}

/// An offset to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    pub partition: PartitionId,
    /// In which the member got the partition.
    pub generation: Generation,
    pub offset: Offset,
    pub metadata: String,
}

#[derive(Encode, Decode)]
enum CommandBody {
    #[n(0)]
    Join {
        #[n(0)]
        group: String,
        #[n(1)]
        member: String,
        #[n(2)]
        client_name: String,
        #[n(3)]
        session_timeout_ms: u32,
        #[n(4)]
        subscription: SubscriptionBody,
        #[n(5)]
        now_ms: i64,
    },
    #[n(1)]
    Assign {
        #[n(0)]
        group: String,
        #[n(1)]
        based_on: u64,
        #[n(2)]
        targets: Vec<TargetBody>,
        #[n(3)]
        now_ms: i64,
    },
    #[n(2)]
    Release {
        #[n(0)]
        group: String,
        #[n(1)]
        member: String,
        #[n(2)]
        partitions: Vec<HoldingBody>,
        #[n(3)]
        now_ms: i64,
    },
    #[n(3)]
    Leave {
        #[n(0)]
        group: String,
        #[n(1)]
        member: String,
        #[n(2)]
        now_ms: i64,
    },
    #[n(4)]
    Expire {
        #[n(0)]
        group: String,
        #[n(1)]
        member: String,
        #[n(2)]
        joined: u64,
        #[n(3)]
        now_ms: i64,
    },
    #[n(5)]
    CommitOffsets {
        #[n(0)]
        group: String,
        #[n(1)]
        member: Option<String>,
        #[n(2)]
        commits: Vec<CommitBody>,
        #[n(3)]
        now_ms: i64,
    },
    #[n(6)]
    DeleteGroup {
        #[n(0)]
        group: String,
    },
    #[n(7)]
    ForgetTopics {
        #[n(0)]
        topics: Vec<u64>,
    },
    #[n(8)]
    ExpireGroups {
        #[n(0)]
        now_ms: i64,
        #[n(1)]
        idle_ms: u64,
    },
    #[n(9)]
    Job(#[n(0)] JobCommandBody),
}

#[derive(Encode, Decode)]
struct TargetBody {
    #[n(0)]
    member: String,
    #[n(1)]
    partitions: Vec<PartitionBody>,
}

#[derive(Encode, Decode)]
struct CommitBody {
    #[n(0)]
    topic: u64,
    #[n(1)]
    index: u32,
    #[n(2)]
    generation: u64,
    #[n(3)]
    offset: u64,
    #[n(4)]
    metadata: String,
}

impl CoordinatorCommand {
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(FORMAT, &CommandBody::from_command(self.clone()))
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<CommandBody>(WHAT, FORMAT, bytes)?.into_command()
    }
}

impl CommandBody {
    #[expect(clippy::too_many_lines, reason = "each command is one arm")]
    fn from_command(command: CoordinatorCommand) -> Self {
        match command {
            CoordinatorCommand::Join {
                group,
                member,
                client_name,
                session_timeout_ms,
                subscription,
                now,
            } => Self::Join {
                group: group.to_string(),
                member: member.to_string(),
                client_name,
                session_timeout_ms,
                subscription: SubscriptionBody::new(&subscription),
                now_ms: now.as_millis(),
            },
            CoordinatorCommand::Assign {
                group,
                based_on,
                targets,
                now,
            } => Self::Assign {
                group: group.to_string(),
                based_on,
                targets: targets.iter().map(TargetBody::new).collect(),
                now_ms: now.as_millis(),
            },
            CoordinatorCommand::Release {
                group,
                member,
                partitions,
                now,
            } => Self::Release {
                group: group.to_string(),
                member: member.to_string(),
                partitions: partitions.into_iter().map(HoldingBody::new).collect(),
                now_ms: now.as_millis(),
            },
            CoordinatorCommand::Leave { group, member, now } => Self::Leave {
                group: group.to_string(),
                member: member.to_string(),
                now_ms: now.as_millis(),
            },
            CoordinatorCommand::Expire {
                group,
                member,
                joined,
                now,
            } => Self::Expire {
                group: group.to_string(),
                member: member.to_string(),
                joined,
                now_ms: now.as_millis(),
            },
            CoordinatorCommand::CommitOffsets {
                group,
                member,
                commits,
                now,
            } => Self::CommitOffsets {
                group: group.to_string(),
                member: member.map(|member| member.to_string()),
                commits: commits.into_iter().map(CommitBody::new).collect(),
                now_ms: now.as_millis(),
            },
            CoordinatorCommand::DeleteGroup { group } => Self::DeleteGroup {
                group: group.to_string(),
            },
            CoordinatorCommand::ForgetTopics { topics } => Self::ForgetTopics {
                topics: topics.into_iter().map(TopicId::get).collect(),
            },
            CoordinatorCommand::ExpireGroups { now, idle_ms } => Self::ExpireGroups {
                now_ms: now.as_millis(),
                idle_ms,
            },
            CoordinatorCommand::Job(command) => Self::Job(JobCommandBody::from_command(command)),
        }
    }

    #[expect(clippy::too_many_lines, reason = "each command is one arm")]
    fn into_command(self) -> Result<CoordinatorCommand, DecodeError> {
        Ok(match self {
            Self::Join {
                group,
                member,
                client_name,
                session_timeout_ms,
                subscription,
                now_ms,
            } => CoordinatorCommand::Join {
                group: group_id(WHAT, &group)?,
                member: member_id(WHAT, &member)?,
                client_name,
                session_timeout_ms,
                subscription: subscription.read(WHAT)?,
                now: Timestamp::from_millis(now_ms),
            },
            Self::Assign {
                group,
                based_on,
                targets,
                now_ms,
            } => CoordinatorCommand::Assign {
                group: group_id(WHAT, &group)?,
                based_on,
                targets: targets
                    .iter()
                    .map(TargetBody::read)
                    .collect::<Result<_, _>>()?,
                now: Timestamp::from_millis(now_ms),
            },
            Self::Release {
                group,
                member,
                partitions,
                now_ms,
            } => CoordinatorCommand::Release {
                group: group_id(WHAT, &group)?,
                member: member_id(WHAT, &member)?,
                partitions: partitions.iter().map(HoldingBody::read).collect(),
                now: Timestamp::from_millis(now_ms),
            },
            Self::Leave {
                group,
                member,
                now_ms,
            } => CoordinatorCommand::Leave {
                group: group_id(WHAT, &group)?,
                member: member_id(WHAT, &member)?,
                now: Timestamp::from_millis(now_ms),
            },
            Self::Expire {
                group,
                member,
                joined,
                now_ms,
            } => CoordinatorCommand::Expire {
                group: group_id(WHAT, &group)?,
                member: member_id(WHAT, &member)?,
                joined,
                now: Timestamp::from_millis(now_ms),
            },
            Self::CommitOffsets {
                group,
                member,
                commits,
                now_ms,
            } => CoordinatorCommand::CommitOffsets {
                group: group_id(WHAT, &group)?,
                member: member.map(|member| member_id(WHAT, &member)).transpose()?,
                commits: commits.into_iter().map(CommitBody::read).collect(),
                now: Timestamp::from_millis(now_ms),
            },
            Self::DeleteGroup { group } => CoordinatorCommand::DeleteGroup {
                group: group_id(WHAT, &group)?,
            },
            Self::ForgetTopics { topics } => CoordinatorCommand::ForgetTopics {
                topics: topics.into_iter().map(TopicId::new).collect(),
            },
            Self::ExpireGroups { now_ms, idle_ms } => CoordinatorCommand::ExpireGroups {
                now: Timestamp::from_millis(now_ms),
                idle_ms,
            },
            Self::Job(command) => CoordinatorCommand::Job(command.into_command(WHAT)?),
        })
    }
}

impl TargetBody {
    fn new((member, partitions): &(MemberId, Vec<PartitionId>)) -> Self {
        let partitions = partitions.iter().copied().map(PartitionBody::new);
        Self {
            member: member.to_string(),
            partitions: partitions.collect(),
        }
    }

    fn read(&self) -> Result<(MemberId, Vec<PartitionId>), DecodeError> {
        let partitions = self.partitions.iter().map(PartitionBody::read);
        Ok((member_id(WHAT, &self.member)?, partitions.collect()))
    }
}

impl CommitBody {
    fn new(commit: OffsetCommit) -> Self {
        Self {
            topic: commit.partition.topic.get(),
            index: commit.partition.index.get(),
            generation: commit.generation.get(),
            offset: commit.offset.get(),
            metadata: commit.metadata,
        }
    }

    fn read(self) -> OffsetCommit {
        OffsetCommit {
            partition: partition_id(self.topic, self.index),
            generation: Generation::new(self.generation),
            offset: Offset::new(self.offset),
            metadata: self.metadata,
        }
    }
}
