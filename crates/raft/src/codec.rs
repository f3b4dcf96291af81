//! Raft's words as bytes, for the disk and for the links between nodes.
//!
//! Every stored or sent structure starts with a format version where it stands alone; the parts
//! inside it are covered by that version. All integers are big-endian. Decoding never trusts a
//! length before the bytes are there, and never panics on what a peer or a disk holds.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes};
use flotilla_storage::{EntryKind, LogEntry};
use flotilla_types::{LogId, LogIndex, Term};

use crate::type_config::{
    Command, CommittedLeaderId, Entry, LeaderId, Membership, Payload, RaftLogId, StoredMembership,
    Vote,
};

/// Version of everything that this module writes.
pub(crate) const FORMAT: u8 = 1;

/// Voter configurations of one membership: two while it changes.
const MEMBERSHIP_CONFIGS_MAX: usize = 2;
/// Nodes in one voter configuration.
const MEMBERSHIP_NODES_MAX: usize = 64;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the bytes end before {what} does")]
    Truncated { what: &'static str },
    #[error("{what} has the value {value}, which is not known")]
    Unknown { what: &'static str, value: u64 },
    #[error("format version {found} is not known to this release, which knows up to {FORMAT}")]
    Version { found: u8 },
    #[error("{bytes} bytes follow where {what} should end")]
    TrailingBytes { what: &'static str, bytes: usize },
}

/// Reads parts off the front of a buffer.
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.need(1, what)?;
        Ok(self.bytes.get_u8())
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.need(4, what)?;
        Ok(self.bytes.get_u32())
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.need(8, what)?;
        Ok(self.bytes.get_u64())
    }

    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        self.need(count, what)?;
        Ok(self.bytes.split_to(count))
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.bytes
    }

    pub(crate) fn version(&mut self) -> Result<(), DecodeError> {
        match self.u8("the format version")? {
            FORMAT => Ok(()),
            found => Err(DecodeError::Version { found }),
        }
    }

    pub(crate) fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::TrailingBytes { what, bytes }),
        }
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Unknown {
                what,
                value: value.into(),
            }),
        }
    }

    pub(crate) fn vote(&mut self) -> Result<Vote, DecodeError> {
        let leader_id = LeaderId {
            term: self.u64("a vote's term")?,
            voted_for: self.u64("a vote's node")?,
        };
        Ok(Vote {
            leader_id,
            committed: self.bool("a vote's committed flag")?,
        })
    }

    pub(crate) fn log_id(&mut self) -> Result<RaftLogId, DecodeError> {
        let term = self.u64("a log id's term")?;
        let index = self.u64("a log id's index")?;
        Ok(RaftLogId::new(CommittedLeaderId::new(term), index))
    }

    pub(crate) fn optional_log_id(&mut self) -> Result<Option<RaftLogId>, DecodeError> {
        if self.bool("a log id's presence")? {
            self.log_id().map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn membership(&mut self) -> Result<Membership, DecodeError> {
        let config_count = self.u8("a membership's configurations")? as usize;
        if config_count > MEMBERSHIP_CONFIGS_MAX {
            return Err(unknown("a membership's configurations", config_count));
        }
        let configs = (0..config_count)
            .map(|_| self.node_ids("a membership's voters"))
            .collect::<Result<Vec<_>, _>>()?;
        let nodes = self.node_ids("a membership's nodes")?;
        Ok(Membership::new_with_defaults(configs, nodes))
    }

    pub(crate) fn stored_membership(&mut self) -> Result<StoredMembership, DecodeError> {
        let log_id = self.optional_log_id()?;
        Ok(StoredMembership::new(log_id, self.membership()?))
    }

    fn node_ids(&mut self, what: &'static str) -> Result<BTreeSet<u64>, DecodeError> {
        let count = self.u32(what)? as usize;
        if count > MEMBERSHIP_NODES_MAX {
            return Err(unknown(what, count));
        }
        (0..count).map(|_| self.u64(what)).collect()
    }

    fn need(&self, count: usize, what: &'static str) -> Result<(), DecodeError> {
        if self.bytes.len() < count {
            return Err(DecodeError::Truncated { what });
        }
        Ok(())
    }
}

fn unknown(what: &'static str, value: usize) -> DecodeError {
    DecodeError::Unknown {
        what,
        value: value as u64,
    }
}

/// Appends parts to a buffer, in the shapes that [`Reader`] reads.
pub(crate) trait Writer: BufMut {
    fn put_vote(&mut self, vote: &Vote) {
        self.put_u64(vote.leader_id.term);
        self.put_u64(vote.leader_id.voted_for);
        self.put_u8(vote.committed.into());
    }

    fn put_log_id(&mut self, log_id: &RaftLogId) {
        self.put_u64(log_id.leader_id.term);
        self.put_u64(log_id.index);
    }

    fn put_optional_log_id(&mut self, log_id: Option<&RaftLogId>) {
        self.put_u8(log_id.is_some().into());
        if let Some(log_id) = log_id {
            self.put_log_id(log_id);
        }
    }

    fn put_membership(&mut self, membership: &Membership) {
        let configs = membership.get_joint_config();
        self.put_u8(configs.len() as u8);
        for config in configs {
            self.put_node_ids(config);
        }
        self.put_node_ids(&membership.nodes().map(|(id, ())| *id).collect());
    }

    fn put_stored_membership(&mut self, stored: &StoredMembership) {
        self.put_optional_log_id(stored.log_id().as_ref());
        self.put_membership(stored.membership());
    }

    fn put_node_ids(&mut self, ids: &BTreeSet<u64>) {
        self.put_u32(ids.len() as u32);
        for id in ids {
            self.put_u64(*id);
        }
    }
}

impl<B: BufMut> Writer for B {}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let mut out = Vec::with_capacity(18);
    out.put_u8(FORMAT);
    out.put_vote(vote);
    out.into()
}

pub(crate) fn decode_vote(bytes: Bytes) -> Result<Vote, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.version()?;
    let vote = reader.vote()?;
    reader.finish("a vote")?;
    Ok(vote)
}

pub(crate) fn to_log_id(log_id: &RaftLogId) -> LogId {
    LogId::new(
        Term::new(log_id.leader_id.term),
        LogIndex::new(log_id.index),
    )
}

pub(crate) fn from_log_id(log_id: LogId) -> RaftLogId {
    RaftLogId::new(
        CommittedLeaderId::new(log_id.term.get()),
        log_id.index.get(),
    )
}

/// The stored form of an entry. A command's bytes are shared, not copied.
pub(crate) fn to_stored(entry: &Entry) -> LogEntry {
    let (kind, payload) = match &entry.payload {
        Payload::Blank => (EntryKind::Blank, Bytes::new()),
        Payload::Normal(command) => (EntryKind::Command, command.0.clone()),
        Payload::Membership(membership) => {
            let mut out = vec![FORMAT];
            out.put_membership(membership);
            (EntryKind::Membership, Bytes::from(out))
        }
    };
    LogEntry {
        id: to_log_id(&entry.log_id),
        kind,
        payload,
    }
}

pub(crate) fn from_stored(stored: LogEntry) -> Result<Entry, DecodeError> {
    let payload = match stored.kind {
        EntryKind::Blank => Payload::Blank,
        EntryKind::Command => Payload::Normal(Command(stored.payload)),
        EntryKind::Membership => {
            let mut reader = Reader::new(stored.payload);
            reader.version()?;
            let membership = reader.membership()?;
            reader.finish("a membership entry")?;
            Payload::Membership(membership)
        }
    };
    Ok(Entry {
        log_id: from_log_id(stored.id),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        Membership::new_with_defaults(
            vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])],
            [5],
        )
    }

    #[test]
    fn votes_read_what_they_write_and_refuse_other_versions() {
        let vote = Vote::new_committed(7, 3);
        let bytes = encode_vote(&vote);
        assert_eq!(decode_vote(bytes.clone()), Ok(vote));
        let mut newer = bytes.to_vec();
        newer[0] = 9;
        assert_eq!(
            decode_vote(newer.into()),
            Err(DecodeError::Version { found: 9 })
        );
        assert!(decode_vote(bytes.slice(..10)).is_err());
    }

    #[test]
    fn memberships_survive_storage() {
        let entry = Entry {
            log_id: RaftLogId::new(CommittedLeaderId::new(2), 9),
            payload: Payload::Membership(membership()),
        };
        let read = from_stored(to_stored(&entry)).unwrap();
        assert_eq!(read.payload, entry.payload);
        assert_eq!(read.log_id, entry.log_id);
    }

    #[test]
    fn a_membership_that_claims_too_many_nodes_is_refused() {
        let mut bytes = vec![FORMAT, 1];
        bytes.put_u32(u32::MAX);
        let stored = LogEntry {
            id: LogId::new(Term::new(1), LogIndex::new(1)),
            kind: EntryKind::Membership,
            payload: bytes.into(),
        };
        assert!(from_stored(stored).is_err());
    }
}
