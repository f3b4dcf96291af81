//! What the metadata group can be told, and how that is written into a log entry: a format byte,
//! then CBOR. The numbers of variants and fields are permanent.

use std::sync::Arc;

use flotilla_types::{
    Incarnation, KeyName, Lineage, NodeAddresses, NodeId, RaftGroupId, Timestamp, TopicName,
};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::NodeDuty;
use super::access_image::{KeyImage, read_key_name, read_rules, rule_texts};
use super::image::DutyImage;
use crate::access::{AccessKey, AccessRule};
use crate::{DecodeError, wire};

const FORMAT: u8 = 1;
const WHAT: &str = "metadata command";

/// A decision that every node of the cluster applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataCommand {
    /// A node has started: this is where it listens now.
    RegisterNode {
        id: NodeId,
        /// The node is refused unless the start that is registered is among these.
        lineage: Lineage,
        addresses: NodeAddresses,
        /// Of a node that is not known yet. One that is keeps its duty.
        duty_if_new: NodeDuty,
    },
    CreateTopic {
        name: TopicName,
        partitions: u32,
        replication_factor: u32,
        /// Keys and values of `TopicConfig`; what is not here has its default.
        config: Vec<(String, String)>,
    },
    /// Changes all of these keys, or none.
    AlterTopic {
        name: TopicName,
        set: Vec<(String, String)>,
        /// Keys that get their default back.
        unset: Vec<String>,
    },
    /// Grows a topic to `total` partitions.
    AddPartitions {
        name: TopicName,
        total: u32,
    },
    DeleteTopic {
        name: TopicName,
    },
    /// Reserves `count` producer ids that nobody ever had.
    AllocateProducerIds {
        count: u32,
    },
    /// Places the coordinators of consumer groups, unless there are some.
    CreateCoordinators {
        replication_factor: u32,
    },
    /// Gives a topic the version of its schema that follows `latest_version`. It was checked against
    /// that one, so nothing happens if there is a later one.
    RegisterSchema {
        name: TopicName,
        latest_version: u32,
        schema: Arc<str>,
        now: Timestamp,
    },
    /// Carries out all of these commands, or none. They were worked out for the topics as they were at
    /// `topics_version`, so nothing happens if anything has changed since.
    Together {
        topics_version: u64,
        commands: Vec<MetadataCommand>,
    },
    /// Gives nodes other duties and partitions other replicas, all or nothing. It was worked out for
    /// the placement as it was at `placement_version`, so nothing happens if that has changed since.
    ChangePlacement {
        placement_version: u64,
        duties: Vec<(NodeId, NodeDuty)>,
        /// The replicas that each group shall have, preferred leader first.
        moves: Vec<(RaftGroupId, Vec<NodeId>)>,
    },
    /// The members of a group are `replicas` now, and it is moving to just these.
    FinishMove {
        raft_group: RaftGroupId,
        replicas: Vec<NodeId>,
    },
    /// Revokes rules and grants rules, all or nothing. What is in both is there afterwards.
    ChangeAccess {
        grant: Vec<AccessRule>,
        revoke: Vec<AccessRule>,
    },
    /// Adds a key that has just been made up.
    AddKey {
        key: AccessKey,
    },
    RemoveKey {
        name: KeyName,
    },
}

#[derive(Encode, Decode)]
enum CommandBody {
    #[n(0)]
    RegisterNode {
        #[n(0)]
        id: u64,
        #[n(1)]
        starts: Vec<u64>,
        #[n(2)]
        client_address: String,
        #[n(3)]
        peer_address: String,
        /// None is active.
        #[n(4)]
        duty_if_new: Option<DutyImage>,
    },
    #[n(1)]
    CreateTopic {
        #[n(0)]
        name: String,
        #[n(1)]
        partitions: u32,
        #[n(2)]
        replication_factor: u32,
        #[n(3)]
        config: Vec<(String, String)>,
    },
    #[n(2)]
    AlterTopic {
        #[n(0)]
        name: String,
        #[n(1)]
        set: Vec<(String, String)>,
        #[n(2)]
        unset: Vec<String>,
    },
    #[n(3)]
    AddPartitions {
        #[n(0)]
        name: String,
        #[n(1)]
        total: u32,
    },
    #[n(4)]
    DeleteTopic {
        #[n(0)]
        name: String,
    },
    #[n(5)]
    AllocateProducerIds {
        #[n(0)]
        count: u32,
    },
    #[n(6)]
    CreateCoordinators {
        #[n(0)]
        replication_factor: u32,
    },
    #[n(7)]
    RegisterSchema {
        #[n(0)]
        name: String,
        #[n(1)]
        latest_version: u32,
        #[n(2)]
        schema: String,
        #[n(3)]
        now_ms: i64,
    },
    #[n(8)]
    Together {
        #[n(0)]
        topics_version: u64,
        /// Each a command of its own: so none can be nested, however deep the bytes say that it is.
        #[n(1)]
        commands: Vec<ByteVec>,
    },
    #[n(9)]
    ChangePlacement {
        #[n(0)]
        placement_version: u64,
        #[n(1)]
        duties: Vec<(u64, DutyImage)>,
        #[n(2)]
        moves: Vec<(u32, Vec<u64>)>,
    },
    #[n(10)]
    FinishMove {
        #[n(0)]
        raft_group: u32,
        #[n(1)]
        replicas: Vec<u64>,
    },
    #[n(11)]
    ChangeAccess {
        #[n(0)]
        grant: Vec<String>,
        #[n(1)]
        revoke: Vec<String>,
    },
    #[n(12)]
    AddKey {
        #[n(0)]
        key: KeyImage,
    },
    #[n(13)]
    RemoveKey {
        #[n(0)]
        name: String,
    },
}

impl MetadataCommand {
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(FORMAT, &CommandBody::from_command(self.clone()))
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::decode::<CommandBody>(WHAT, FORMAT, bytes)?.into_command()
    }
}

impl CommandBody {
    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    fn from_command(command: MetadataCommand) -> Self {
        let text = |name: TopicName| name.as_str().to_owned();
        match command {
            MetadataCommand::RegisterNode {
                id,
                lineage,
                addresses,
                duty_if_new,
            } => Self::RegisterNode {
                id: id.get(),
                starts: lineage.starts().iter().map(|start| start.get()).collect(),
                client_address: addresses.client,
                peer_address: addresses.peer,
                duty_if_new: DutyImage::unless_active(duty_if_new),
            },
            MetadataCommand::CreateTopic {
                name,
                partitions,
                replication_factor,
                config,
            } => Self::CreateTopic {
                name: text(name),
                partitions,
                replication_factor,
                config,
            },
            MetadataCommand::AlterTopic { name, set, unset } => Self::AlterTopic {
                name: text(name),
                set,
                unset,
            },
            MetadataCommand::AddPartitions { name, total } => Self::AddPartitions {
                name: text(name),
                total,
            },
            MetadataCommand::DeleteTopic { name } => Self::DeleteTopic { name: text(name) },
            MetadataCommand::AllocateProducerIds { count } => Self::AllocateProducerIds { count },
            MetadataCommand::CreateCoordinators { replication_factor } => {
                Self::CreateCoordinators { replication_factor }
            }
            MetadataCommand::RegisterSchema {
                name,
                latest_version,
                schema,
                now,
            } => Self::RegisterSchema {
                name: text(name),
                latest_version,
                schema: schema.to_string(),
                now_ms: now.as_millis(),
            },
            MetadataCommand::Together {
                topics_version,
                commands,
            } => Self::Together {
                topics_version,
                commands: commands.iter().map(|one| one.encode().into()).collect(),
            },
            MetadataCommand::ChangePlacement {
                placement_version,
                duties,
                moves,
            } => Self::ChangePlacement {
                placement_version,
                duties: numbered(duties, NodeId::get, DutyImage::from),
                moves: numbered(moves, RaftGroupId::get, node_numbers),
            },
            MetadataCommand::FinishMove {
                raft_group,
                replicas,
            } => Self::FinishMove {
                raft_group: raft_group.get(),
                replicas: node_numbers(replicas),
            },
            MetadataCommand::ChangeAccess { grant, revoke } => Self::ChangeAccess {
                grant: rule_texts(&grant),
                revoke: rule_texts(&revoke),
            },
            MetadataCommand::AddKey { key } => Self::AddKey {
                key: KeyImage::of(&key),
            },
            MetadataCommand::RemoveKey { name } => Self::RemoveKey {
                name: name.as_str().to_owned(),
            },
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    fn into_command(self) -> Result<MetadataCommand, DecodeError> {
        Ok(match self {
            Self::RegisterNode {
                id,
                starts,
                client_address,
                peer_address,
                duty_if_new,
            } => MetadataCommand::RegisterNode {
                id: NodeId::new(id),
                lineage: decode_lineage(&starts)?,
                addresses: NodeAddresses {
                    client: client_address,
                    peer: peer_address,
                },
                duty_if_new: DutyImage::or_active(duty_if_new),
            },
            Self::CreateTopic {
                name,
                partitions,
                replication_factor,
                config,
            } => MetadataCommand::CreateTopic {
                name: parse_name(&name)?,
                partitions,
                replication_factor,
                config,
            },
            Self::AlterTopic { name, set, unset } => MetadataCommand::AlterTopic {
                name: parse_name(&name)?,
                set,
                unset,
            },
            Self::AddPartitions { name, total } => MetadataCommand::AddPartitions {
                name: parse_name(&name)?,
                total,
            },
            Self::DeleteTopic { name } => MetadataCommand::DeleteTopic {
                name: parse_name(&name)?,
            },
            Self::AllocateProducerIds { count } => MetadataCommand::AllocateProducerIds { count },
            Self::CreateCoordinators { replication_factor } => {
                MetadataCommand::CreateCoordinators { replication_factor }
            }
            Self::RegisterSchema {
                name,
                latest_version,
                schema,
                now_ms,
            } => MetadataCommand::RegisterSchema {
                name: parse_name(&name)?,
                latest_version,
                schema: schema.into(),
                now: Timestamp::from_millis(now_ms),
            },
            Self::Together {
                topics_version,
                commands,
            } => MetadataCommand::Together {
                topics_version,
                commands: read_together(&commands)?,
            },
            Self::ChangePlacement {
                placement_version,
                duties,
                moves,
            } => MetadataCommand::ChangePlacement {
                placement_version,
                duties: numbered(duties, NodeId::new, NodeDuty::from),
                moves: numbered(moves, RaftGroupId::new, node_ids),
            },
            Self::FinishMove {
                raft_group,
                replicas,
            } => MetadataCommand::FinishMove {
                raft_group: RaftGroupId::new(raft_group),
                replicas: node_ids(replicas),
            },
            Self::ChangeAccess { grant, revoke } => MetadataCommand::ChangeAccess {
                grant: read_rules(WHAT, &grant)?,
                revoke: read_rules(WHAT, &revoke)?,
            },
            Self::AddKey { key } => MetadataCommand::AddKey {
                key: key.read(WHAT)?,
            },
            Self::RemoveKey { name } => MetadataCommand::RemoveKey {
                name: read_key_name(WHAT, &name)?,
            },
        })
    }
}

/// The same pairs, with both sides in other words.
fn numbered<A, B, C, D>(
    pairs: Vec<(A, B)>,
    left: impl Fn(A) -> C,
    right: impl Fn(B) -> D,
) -> Vec<(C, D)> {
    let pairs = pairs.into_iter();
    pairs.map(|(a, b)| (left(a), right(b))).collect()
}

fn node_numbers(nodes: Vec<NodeId>) -> Vec<u64> {
    nodes.into_iter().map(NodeId::get).collect()
}

fn node_ids(numbers: Vec<u64>) -> Vec<NodeId> {
    numbers.into_iter().map(NodeId::new).collect()
}

fn read_together(commands: &[ByteVec]) -> Result<Vec<MetadataCommand>, DecodeError> {
    let read = |bytes: &ByteVec| {
        let body: CommandBody = wire::decode(WHAT, FORMAT, bytes)?;
        if matches!(body, CommandBody::Together { .. }) {
            return Err(DecodeError::Contradiction {
                what: WHAT,
                contradiction: "commands to be carried out together are nested",
            });
        }
        body.into_command()
    };
    commands.iter().map(read).collect()
}

fn decode_lineage(starts: &[u64]) -> Result<Lineage, DecodeError> {
    let starts = starts.iter().map(|start| Incarnation::new(*start));
    Lineage::from_starts(starts.collect()).ok_or(DecodeError::Contradiction {
        what: WHAT,
        contradiction: "the starts of a node do not ascend",
    })
}

/// Names were checked before they were proposed, so one that is no name is damage.
fn parse_name(text: &str) -> Result<TopicName, DecodeError> {
    TopicName::parse(text).map_err(|_| DecodeError::Contradiction {
        what: WHAT,
        contradiction: "a topic name is not one",
    })
}
