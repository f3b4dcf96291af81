//! Raft's requests and answers as frame bodies.

use bytes::{BufMut, Bytes, BytesMut};
use flotilla_protocol::Pieces;
use flotilla_state::partition::batch_bytes;
use flotilla_storage::{EntryKind, LogEntry};
use flotilla_types::{RaftGroupId, RecordBatch};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, VoteRequest, VoteResponse,
};

use crate::codec::{DecodeError, FORMAT, Reader, Writer, from_stored, to_log_id, to_stored};
use crate::quiescence::QuietClaim;
use crate::standing::Standing;
use crate::type_config::{RaftLogId, SnapshotMeta, TypeConfig, Vote};

type AppendRequest = AppendEntriesRequest<TypeConfig>;

/// Why a node did not handle a request at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Refusal {
    /// The node holds no replica of the group, or not yet.
    NoReplica = 1,
    /// The run of appends that the request belongs to has ended.
    StreamEnded = 2,
    /// The group stopped.
    Stopped = 3,
    /// An entry's bytes do not match their checksum.
    Corrupt = 4,
    /// The snapshot is larger than the node takes in.
    TooLarge = 5,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Matched(Option<RaftLogId>),
    Conflict(RaftLogId),
    HigherVote(Vote),
    Vote(VoteResponse<TypeConfig>),
    Transferred(bool),
    Refused(Refusal),
    Standing(Standing),
    /// To a ping.
    Here,
    /// To claims: the groups that are not quiet for all that this node knows.
    NotQuiet(Vec<RaftGroupId>),
}

/// The entries stay where they are; what surrounds them is written between them.
pub(crate) fn encode_append(request: &AppendRequest) -> Pieces {
    let mut pieces = Pieces::new();
    let mut out = BytesMut::with_capacity(96 + 32 * request.entries.len());
    out.put_u8(FORMAT);
    out.put_vote(&request.vote);
    out.put_optional_log_id(request.prev_log_id.as_ref());
    out.put_optional_log_id(request.leader_commit.as_ref());
    out.put_u32(request.entries.len() as u32);
    for entry in &request.entries {
        let stored = to_stored(entry);
        out.put_log_id(&entry.log_id);
        out.put_u8(kind_number(stored.kind));
        out.put_u32(stored.payload.len() as u32);
        pieces.push(out.split().freeze());
        pieces.push(stored.payload);
    }
    pieces.push(out.freeze());
    pieces
}

/// Reads a request; the entries share the frame's bytes.
pub(crate) fn decode_append(body: Bytes) -> Result<AppendRequest, DecodeError> {
    let mut reader = Reader::new(body);
    reader.version()?;
    let vote = reader.vote()?;
    let prev_log_id = reader.optional_log_id()?;
    let leader_commit = reader.optional_log_id()?;
    let count = reader.u32("the number of entries")?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let id = to_log_id(&reader.log_id()?);
        let kind = kind_of(reader.u8("an entry's kind")?)?;
        let length = reader.u32("an entry's length")? as usize;
        let payload = reader.take(length, "an entry's payload")?;
        entries.push(from_stored(LogEntry { id, kind, payload })?);
    }
    reader.finish("a replication request")?;
    Ok(AppendRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit,
    })
}

/// Checks the record batches of a request against their own checksums, so that what a faulty link
/// or a faulty memory did to them ends here.
pub(crate) fn verify_batches(group: RaftGroupId, request: &AppendRequest) -> Result<(), Refusal> {
    if group == RaftGroupId::METADATA {
        return Ok(());
    }
    for entry in &request.entries {
        let crate::type_config::Payload::Normal(command) = &entry.payload else {
            continue;
        };
        if let Some(batch) = batch_bytes(&command.0) {
            RecordBatch::parse(batch).map_err(|_| Refusal::Corrupt)?;
        }
    }
    Ok(())
}

fn kind_number(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Blank => 0,
        EntryKind::Membership => 1,
        EntryKind::Command => 2,
    }
}

fn kind_of(number: u8) -> Result<EntryKind, DecodeError> {
    match number {
        0 => Ok(EntryKind::Blank),
        1 => Ok(EntryKind::Membership),
        2 => Ok(EntryKind::Command),
        _ => Err(DecodeError::Unknown {
            what: "an entry's kind",
            value: number.into(),
        }),
    }
}

pub(crate) fn encode_vote_request(request: &VoteRequest<TypeConfig>) -> Bytes {
    let mut out = BytesMut::with_capacity(40);
    out.put_u8(FORMAT);
    out.put_vote(&request.vote);
    out.put_optional_log_id(request.last_log_id.as_ref());
    out.put_u8(request.leadership_transfer.into());
    out.freeze()
}

pub(crate) fn decode_vote_request(body: Bytes) -> Result<VoteRequest<TypeConfig>, DecodeError> {
    let mut reader = Reader::new(body);
    reader.version()?;
    let vote = reader.vote()?;
    let last_log_id = reader.optional_log_id()?;
    let mut request = VoteRequest::new(vote, last_log_id);
    request.leadership_transfer = reader.bool("the transfer flag")?;
    reader.finish("a vote request")?;
    Ok(request)
}

pub(crate) fn encode_transfer(request: &TransferLeaderRequest<TypeConfig>) -> Bytes {
    let mut out = BytesMut::with_capacity(48);
    out.put_u8(FORMAT);
    out.put_vote(request.from_leader());
    out.put_u64(*request.to_node_id());
    out.put_optional_log_id(request.last_log_id());
    out.freeze()
}

pub(crate) fn decode_transfer(
    body: Bytes,
) -> Result<TransferLeaderRequest<TypeConfig>, DecodeError> {
    let mut reader = Reader::new(body);
    reader.version()?;
    let from = reader.vote()?;
    let to = reader.u64("the next leader")?;
    let last_log_id = reader.optional_log_id()?;
    reader.finish("a leadership transfer")?;
    Ok(TransferLeaderRequest::new(from, to, last_log_id))
}

pub(crate) fn encode_snapshot_head(vote: &Vote, meta: &SnapshotMeta) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(FORMAT);
    out.put_vote(vote);
    out.put_optional_log_id(meta.last_log_id.as_ref());
    out.put_stored_membership(&meta.last_membership);
    out.freeze()
}

pub(crate) fn decode_snapshot_head(body: Bytes) -> Result<(Vote, SnapshotMeta), DecodeError> {
    let mut reader = Reader::new(body);
    reader.version()?;
    let vote = reader.vote()?;
    let meta = SnapshotMeta {
        last_log_id: reader.optional_log_id()?,
        last_membership: reader.stored_membership()?,
    };
    reader.finish("a snapshot's description")?;
    Ok((vote, meta))
}

pub(crate) fn encode_claims(claims: &[QuietClaim]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + 48 * claims.len());
    out.put_u8(FORMAT);
    out.put_u32(claims.len() as u32);
    for claim in claims {
        out.put_u32(claim.group.get());
        out.put_vote(&claim.vote);
        out.put_log_id(&claim.last);
    }
    out.freeze()
}

pub(crate) fn decode_claims(body: Bytes) -> Result<Vec<QuietClaim>, DecodeError> {
    let mut reader = Reader::new(body);
    reader.version()?;
    let count = reader.u32("the number of claims")?;
    let claims = (0..count).map(|_| {
        Ok(QuietClaim {
            group: RaftGroupId::new(reader.u32("a group")?),
            vote: reader.vote()?,
            last: reader.log_id()?,
        })
    });
    let claims = claims.collect::<Result<_, DecodeError>>()?;
    reader.finish("claims")?;
    Ok(claims)
}

impl Reply {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(48);
        out.put_u8(FORMAT);
        match self {
            Self::Matched(log_id) => {
                out.put_u8(1);
                out.put_optional_log_id(log_id.as_ref());
            }
            Self::Conflict(log_id) => {
                out.put_u8(2);
                out.put_log_id(log_id);
            }
            Self::HigherVote(vote) => {
                out.put_u8(3);
                out.put_vote(vote);
            }
            Self::Vote(response) => {
                out.put_u8(4);
                out.put_vote(&response.vote);
                out.put_optional_log_id(response.last_log_id.as_ref());
                out.put_u8(response.vote_granted.into());
            }
            Self::Transferred(accepted) => {
                out.put_u8(5);
                out.put_u8((*accepted).into());
            }
            Self::Refused(refusal) => {
                out.put_u8(6);
                out.put_u8(*refusal as u8);
            }
            Self::Standing(standing) => {
                out.put_u8(7);
                out.put_u8(*standing as u8);
            }
            Self::Here => out.put_u8(8),
            Self::NotQuiet(groups) => {
                out.put_u8(9);
                out.put_u32(groups.len() as u32);
                for group in groups {
                    out.put_u32(group.get());
                }
            }
        }
        out.freeze()
    }

    pub(crate) fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        reader.version()?;
        let reply = match reader.u8("the kind of a reply")? {
            1 => Self::Matched(reader.optional_log_id()?),
            2 => Self::Conflict(reader.log_id()?),
            3 => Self::HigherVote(reader.vote()?),
            4 => {
                let vote = reader.vote()?;
                let last_log_id = reader.optional_log_id()?;
                let granted = reader.bool("a vote's verdict")?;
                Self::Vote(VoteResponse::new(vote, last_log_id, granted))
            }
            5 => Self::Transferred(reader.bool("a transfer's verdict")?),
            6 => Self::Refused(match reader.u8("a refusal")? {
                1 => Refusal::NoReplica,
                2 => Refusal::StreamEnded,
                3 => Refusal::Stopped,
                4 => Refusal::Corrupt,
                5 => Refusal::TooLarge,
                value => {
                    return Err(DecodeError::Unknown {
                        what: "a refusal",
                        value: value.into(),
                    });
                }
            }),
            7 => {
                let value = reader.u8("a replica's standing")?;
                let standing = Standing::decode(value).ok_or_else(|| DecodeError::Unknown {
                    what: "a replica's standing",
                    value: value.into(),
                })?;
                Self::Standing(standing)
            }
            8 => Self::Here,
            9 => {
                let count = reader.u32("the number of groups")?;
                let groups = (0..count).map(|_| reader.u32("a group").map(RaftGroupId::new));
                Self::NotQuiet(groups.collect::<Result<_, _>>()?)
            }
            value => {
                return Err(DecodeError::Unknown {
                    what: "the kind of a reply",
                    value: value.into(),
                });
            }
        };
        reader.finish("a reply")?;
        Ok(reply)
    }
}

impl From<StreamAppendResult<TypeConfig>> for Reply {
    fn from(result: StreamAppendResult<TypeConfig>) -> Self {
        match result {
            Ok(matched) => Self::Matched(matched),
            Err(StreamAppendError::Conflict(log_id)) => Self::Conflict(log_id),
            Err(StreamAppendError::HigherVote(vote)) => Self::HigherVote(vote),
        }
    }
}

/// The answer to a heartbeat: an append without entries, which matches where it starts.
pub(crate) fn heartbeat_reply(
    previous: Option<RaftLogId>,
    response: AppendEntriesResponse<TypeConfig>,
) -> Reply {
    match response {
        AppendEntriesResponse::Conflict => match previous {
            Some(log_id) => Reply::Conflict(log_id),
            None => Reply::Matched(None),
        },
        AppendEntriesResponse::Success => Reply::Matched(previous),
        AppendEntriesResponse::PartialSuccess(matched) => Reply::Matched(matched),
        AppendEntriesResponse::HigherVote(vote) => Reply::HigherVote(vote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_config::{Command, CommittedLeaderId, Entry, Payload};

    fn log_id(term: u64, index: u64) -> RaftLogId {
        RaftLogId::new(CommittedLeaderId::new(term), index)
    }

    #[test]
    fn replication_requests_read_what_they_write() {
        let request = AppendRequest {
            vote: Vote::new_committed(4, 2),
            prev_log_id: Some(log_id(3, 9)),
            entries: vec![
                Entry {
                    log_id: log_id(4, 10),
                    payload: Payload::Blank,
                },
                Entry {
                    log_id: log_id(4, 11),
                    payload: Payload::Normal(Command(Bytes::from_static(b"records"))),
                },
            ],
            leader_commit: None,
        };
        let body = encode_append(&request).into_bytes();
        let read = decode_append(body.clone()).unwrap();
        assert_eq!(read.vote, request.vote);
        assert_eq!(read.prev_log_id, request.prev_log_id);
        assert_eq!(read.entries, request.entries);
        for length in 0..body.len() {
            assert!(decode_append(body.slice(..length)).is_err());
        }
    }

    #[test]
    fn claims_read_what_they_write() {
        let claims = [1, 90_000].map(|group| QuietClaim {
            group: RaftGroupId::new(group),
            vote: Vote::new_committed(4, 2),
            last: log_id(4, 10),
        });
        let body = encode_claims(&claims);
        assert_eq!(decode_claims(body.clone()), Ok(claims.to_vec()));
        for length in 0..body.len() {
            assert!(decode_claims(body.slice(..length)).is_err());
        }
    }

    #[test]
    fn replies_read_what_they_write() {
        let vote = Vote::new(7, 1);
        let replies = [
            Reply::Matched(None),
            Reply::Matched(Some(log_id(1, 2))),
            Reply::Conflict(log_id(1, 2)),
            Reply::HigherVote(vote),
            Reply::Vote(VoteResponse::new(vote, Some(log_id(1, 2)), true)),
            Reply::Transferred(true),
            Reply::Refused(Refusal::StreamEnded),
            Reply::Standing(Standing::Needed),
            Reply::Here,
            Reply::NotQuiet(vec![RaftGroupId::new(7), RaftGroupId::new(900)]),
        ];
        for reply in replies {
            assert_eq!(Reply::decode(reply.encode()), Ok(reply));
        }
    }
}
