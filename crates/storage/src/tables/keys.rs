//! Every key that this crate stores in RocksDB, in one table.
//!
//! All integers are big-endian, so that bytes sort like numbers. Ordinals are permanent: a retired
//! one is never used again. The values are in [`values`](super::values).
//!
//! | Family      | Key                             | Value                 | Changes                    | Lives until            |
//! |-------------|---------------------------------|-----------------------|----------------------------|------------------------|
//! | `segments`  | group u32 · index u64           | `StoredEntry`         | never                      | its file is dropped    |
//! | `leftovers` | group u32 · index u64           | `StoredEntry`         | never                      | purged or resealed     |
//! | `rows`      | group u32 · key of the caller   | bytes of the caller   | the caller's business      | the group is removed   |
//! | `system`    | `01`                            | format version u32    | only by an upgrade         | for ever               |
//! | `system`    | `02`                            | `Identity`            | starts, at each start      | for ever               |
//! | `system`    | `03` · group u32                | tombstone             | never                      | for ever               |
//! | `system`    | `04` · group u32 · first u64    | `LeftoverRun`         | grows until it is closed   | purged or resealed     |
//! | `system`    | `05` · group u32                | life u64 of the rows  | at each reset              | the group is removed   |
//! | `system`    | `06` · group u32                | life u64 of the pieces| after each reset           | the group is removed   |
//!
//! Segments have no row: RocksDB's own manifest names each file with its first and last key, is
//! checksummed and changes atomically with the file, so a second list could only be wrong.

use std::ops::Range;

use flotilla_types::{LogIndex, RaftGroupId};

/// The column families. A data directory with any other was written by a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    Segments,
    Leftovers,
    Rows,
    System,
}

impl Family {
    pub(crate) const ALL: [Self; 4] = [Self::Segments, Self::Leftovers, Self::Rows, Self::System];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Leftovers => "leftovers",
            Self::Rows => "rows",
            Self::System => "system",
        }
    }
}

const FORMAT_VERSION: u8 = 0x01;
const IDENTITY: u8 = 0x02;
const TOMBSTONE: u8 = 0x03;
const LEFTOVER_RUN: u8 = 0x04;
const ROWS_LIFE: u8 = 0x05;
const PIECES_LIFE: u8 = 0x06;

/// Key of a log entry, in `segments` and in `leftovers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryKey {
    pub(crate) group: RaftGroupId,
    pub(crate) index: LogIndex,
}

impl EntryKey {
    pub(crate) const BYTES: usize = 12;

    pub(crate) const fn new(group: RaftGroupId, index: LogIndex) -> Self {
        Self { group, index }
    }

    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.group.get().to_be_bytes());
        bytes[4..].copy_from_slice(&self.index.get().to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (group, index) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            group: RaftGroupId::new(u32::from_be_bytes(*group)),
            index: LogIndex::new(u64::from_be_bytes(index.try_into().ok()?)),
        })
    }
}

/// Key of a state row of `group`.
pub(crate) fn row(group: RaftGroupId, user_key: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + user_key.len());
    key.extend_from_slice(&group.get().to_be_bytes());
    key.extend_from_slice(user_key);
    key
}

/// What the caller named the row, without the group before it.
pub(crate) fn user_key_of_row(key: &[u8]) -> Option<&[u8]> {
    key.split_first_chunk::<4>().map(|(_, user_key)| user_key)
}

/// Every row of `group`.
pub(crate) fn rows_of(group: RaftGroupId) -> Range<Vec<u8>> {
    group.get().to_be_bytes().to_vec()..after_group(group)
}

/// The smallest key above all keys that begin with `group`. For the largest group that is longer
/// than any key here, which RocksDB takes as well as any other bound.
fn after_group(group: RaftGroupId) -> Vec<u8> {
    match group.get().checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        None => vec![0xff; 256],
    }
}

pub(crate) fn format_version() -> Vec<u8> {
    vec![FORMAT_VERSION]
}

pub(crate) fn identity() -> Vec<u8> {
    vec![IDENTITY]
}

pub(crate) fn tombstone(group: RaftGroupId) -> Vec<u8> {
    named(TOMBSTONE, group)
}

pub(crate) fn decode_tombstone(key: &[u8]) -> Option<RaftGroupId> {
    let group = key.strip_prefix(&[TOMBSTONE])?;
    Some(RaftGroupId::new(u32::from_be_bytes(group.try_into().ok()?)))
}

/// The tombstones of all groups that were removed.
pub(crate) fn all_tombstones() -> Range<Vec<u8>> {
    vec![TOMBSTONE]..vec![TOMBSTONE + 1]
}

/// Key of the leftover run that begins at `first`.
pub(crate) fn leftover_run(first: EntryKey) -> Vec<u8> {
    let mut key = vec![LEFTOVER_RUN];
    key.extend_from_slice(&first.encode());
    key
}

pub(crate) fn decode_leftover_run(key: &[u8]) -> Option<EntryKey> {
    EntryKey::decode(key.strip_prefix(&[LEFTOVER_RUN])?)
}

/// Every leftover run of `group`.
pub(crate) fn leftover_runs_of(group: RaftGroupId) -> Range<Vec<u8>> {
    let start = leftover_run(EntryKey::new(group, LogIndex::new(0)));
    let mut end = leftover_run(EntryKey::new(group, LogIndex::new(u64::MAX)));
    end.push(0);
    start..end
}

/// Every leftover run of every group.
pub(crate) fn all_leftover_runs() -> Range<Vec<u8>> {
    vec![LEFTOVER_RUN]..vec![LEFTOVER_RUN + 1]
}

/// Key of the life before which no row of `group` is left.
pub(crate) fn rows_life(group: RaftGroupId) -> Vec<u8> {
    named(ROWS_LIFE, group)
}

/// The lives of the rows of all groups that were reset.
pub(crate) fn all_rows_lives() -> Range<Vec<u8>> {
    vec![ROWS_LIFE]..vec![ROWS_LIFE + 1]
}

/// Key of the life before which no segment and no leftover of `group` is left.
pub(crate) fn pieces_life(group: RaftGroupId) -> Vec<u8> {
    named(PIECES_LIFE, group)
}

/// The lives of the pieces of all groups that were reset.
pub(crate) fn all_pieces_lives() -> Range<Vec<u8>> {
    vec![PIECES_LIFE]..vec![PIECES_LIFE + 1]
}

/// The group that a key of a life concerns.
pub(crate) fn decode_life(key: &[u8]) -> Option<RaftGroupId> {
    let (&(ROWS_LIFE | PIECES_LIFE), group) = key.split_first()? else {
        return None;
    };
    Some(RaftGroupId::new(u32::from_be_bytes(group.try_into().ok()?)))
}

fn named(ordinal: u8, group: RaftGroupId) -> Vec<u8> {
    let mut key = vec![ordinal];
    key.extend_from_slice(&group.get().to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry_key(group: u32, index: u64) -> EntryKey {
        EntryKey::new(RaftGroupId::new(group), LogIndex::new(index))
    }

    proptest! {
        #[test]
        fn entry_keys_round_trip_and_sort_like_their_fields(
            a: (u32, u64),
            b: (u32, u64),
        ) {
            let (left, right) = (entry_key(a.0, a.1), entry_key(b.0, b.1));
            prop_assert_eq!(EntryKey::decode(&left.encode()), Some(left));
            prop_assert_eq!(left.encode().cmp(&right.encode()), a.cmp(&b));
        }

        #[test]
        fn row_keys_round_trip_and_stay_in_their_group(number: u32, key: Vec<u8>) {
            let id = RaftGroupId::new(number);
            let stored = row(id, &key);
            prop_assert_eq!(user_key_of_row(&stored), Some(key.as_slice()));
            prop_assert!(rows_of(id).contains(&stored));
            if let Some(next) = number.checked_add(1) {
                prop_assert!(!rows_of(RaftGroupId::new(next)).contains(&stored));
            }
        }

        #[test]
        fn system_keys_round_trip_and_stay_in_their_range(number: u32, first: u64) {
            let id = RaftGroupId::new(number);
            prop_assert_eq!(decode_tombstone(&tombstone(id)), Some(id));
            prop_assert!(all_tombstones().contains(&tombstone(id)));
            let run = leftover_run(entry_key(number, first));
            prop_assert_eq!(decode_leftover_run(&run), Some(entry_key(number, first)));
            prop_assert!(all_leftover_runs().contains(&run));
            prop_assert!(leftover_runs_of(id).contains(&run));
            prop_assert!(!leftover_runs_of(RaftGroupId::new(number ^ 1)).contains(&run));
            prop_assert_eq!(decode_tombstone(&run), None);
            prop_assert_eq!(decode_life(&run), None);
            prop_assert_eq!(decode_life(&rows_life(id)), Some(id));
            prop_assert_eq!(decode_life(&pieces_life(id)), Some(id));
            prop_assert!(all_rows_lives().contains(&rows_life(id)));
            prop_assert!(all_pieces_lives().contains(&pieces_life(id)));
        }
    }

    #[test]
    fn ordinals_of_the_system_family_never_change() {
        assert_eq!(format_version(), [1]);
        assert_eq!(identity(), [2]);
        assert_eq!(tombstone(RaftGroupId::new(7)), [3, 0, 0, 0, 7]);
        assert_eq!(
            leftover_run(entry_key(7, 9)),
            [4, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9]
        );
        assert_eq!(rows_life(RaftGroupId::new(7)), [5, 0, 0, 0, 7]);
        assert_eq!(pieces_life(RaftGroupId::new(7)), [6, 0, 0, 0, 7]);
        let names: Vec<_> = Family::ALL.iter().map(|family| family.name()).collect();
        assert_eq!(names, ["segments", "leftovers", "rows", "system"]);
    }
}
