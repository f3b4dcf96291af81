//! Every state row of a Raft group, in one table. Rows live in the node's RocksDB, under the group.
//!
//! | Row | Key | Value | Written | Dropped |
//! |---|---|---|---|---|
//! | applied image | `a` | [`Image`] as of the last save | from time to time; rewritten | with the group |
//! | checkpoint | `c` index u64 | [`Image`] as of that entry | once, at a checkpoint boundary | when a newer one is the purge point |
//! | offset index | `i` base offset u64 | log index u64, largest record timestamp so far i64, time of append i64 | once, at apply | when its records are purged |
//! | rejected append | `x` index u64 | empty | once, at apply | when the entry is purged |
//! | parked or new replica | `p` group u64, under the metadata group | its stage | when a replica is found damaged, or is opened after its group; rewritten | when it is rebuilt, dropped or removed |
//!
//! Integers are big-endian, so that rows sort by position. The letters are permanent.

use std::ops::Range;

use bytes::{BufMut, Bytes};
use flotilla_types::{LogIndex, Offset, RaftGroupId, Timestamp};

use crate::codec::{DecodeError, FORMAT, Reader, Writer};
use crate::type_config::{RaftLogId, StoredMembership};

pub(crate) const APPLIED: &[u8] = b"a";
const CHECKPOINT: u8 = b'c';
const OFFSET_INDEX: u8 = b'i';
const REJECTED: u8 = b'x';
const PARKED: u8 = b'p';

pub(crate) fn checkpoint_key(index: LogIndex) -> Vec<u8> {
    positioned(CHECKPOINT, index.get())
}

pub(crate) fn offset_index_key(base_offset: Offset) -> Vec<u8> {
    positioned(OFFSET_INDEX, base_offset.get())
}

pub(crate) fn rejected_key(index: LogIndex) -> Vec<u8> {
    positioned(REJECTED, index.get())
}

/// Stands under the metadata group, because the parked group's own rows are dropped on the way.
pub(crate) fn parked_key(group: RaftGroupId) -> Vec<u8> {
    positioned(PARKED, u64::from(group.get()))
}

pub(crate) fn all_offset_index_keys() -> Range<Vec<u8>> {
    vec![OFFSET_INDEX]..vec![OFFSET_INDEX + 1]
}

pub(crate) fn all_rejected_keys() -> Range<Vec<u8>> {
    vec![REJECTED]..vec![REJECTED + 1]
}

/// Checkpoints below `index`, which a newer purge point makes useless.
pub(crate) fn checkpoint_keys_below(index: LogIndex) -> Range<Vec<u8>> {
    vec![CHECKPOINT]..checkpoint_key(index)
}

fn positioned(letter: u8, position: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(letter);
    key.put_u64(position);
    key
}

/// The position at the end of a key of the shape letter, u64.
pub(crate) fn position_of(key: &[u8]) -> Option<u64> {
    let digits = key.get(1..9)?;
    Some(u64::from_be_bytes(digits.try_into().ok()?))
}

/// One row of the sparse offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexRow {
    pub(crate) base_offset: Offset,
    pub(crate) index: LogIndex,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) appended_at: Timestamp,
}

impl IndexRow {
    pub(crate) fn value(&self) -> Bytes {
        let mut value = Vec::with_capacity(24);
        value.put_u64(self.index.get());
        value.put_i64(self.max_timestamp.as_millis());
        value.put_i64(self.appended_at.as_millis());
        value.into()
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (&[index, max_timestamp, appended_at], []) = value.as_chunks::<8>() else {
            return None;
        };
        Some(Self {
            base_offset: Offset::new(position_of(key)?),
            index: LogIndex::new(u64::from_be_bytes(index)),
            max_timestamp: Timestamp::from_millis(i64::from_be_bytes(max_timestamp)),
            appended_at: Timestamp::from_millis(i64::from_be_bytes(appended_at)),
        })
    }
}

/// A state machine as of one applied entry: what is needed to go on from there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Image {
    pub(crate) applied: Option<RaftLogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) state: Bytes,
}

impl Image {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64 + self.state.len());
        out.put_u8(FORMAT);
        out.put_optional_log_id(self.applied.as_ref());
        out.put_stored_membership(&self.membership);
        out.put_slice(&self.state);
        out.into()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version()?;
        Ok(Self {
            applied: reader.optional_log_id()?,
            membership: reader.stored_membership()?,
            state: reader.rest(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_config::{CommittedLeaderId, Membership};

    #[test]
    fn images_read_what_they_write() {
        let log_id = RaftLogId::new(CommittedLeaderId::new(3), 41);
        let image = Image {
            applied: Some(log_id),
            membership: StoredMembership::new(
                Some(log_id),
                Membership::new_with_defaults(vec![[1, 2, 3].into()], []),
            ),
            state: Bytes::from_static(b"state"),
        };
        assert_eq!(Image::decode(image.encode()), Ok(image));
    }

    #[test]
    fn index_rows_sort_by_offset_and_read_what_they_write() {
        let row = IndexRow {
            base_offset: Offset::new(300),
            index: LogIndex::new(17),
            max_timestamp: Timestamp::from_millis(-5),
            appended_at: Timestamp::from_millis(9),
        };
        let key = offset_index_key(row.base_offset);
        assert_eq!(IndexRow::decode(&key, &row.value()), Some(row));
        assert!(key < offset_index_key(Offset::new(70_000)));
        assert!(all_offset_index_keys().contains(&key));
    }
}
