//! What the rows of [`keys`](super::keys) hold. Each value begins with its own version.

use bytes::Bytes;
use flotilla_types::{ClusterId, Incarnation, Lineage, LogId, LogIndex, NodeId, RaftGroupId, Term};

use crate::entry::{EntryKind, LogEntry};
use crate::identity::Identity;
use crate::life::Life;
use crate::tables::keys::EntryKey;

/// Version of the data directory that this program writes, and the only one that it reads: no older
/// one was ever released. Since version 2 a group can be reset: the journal knows frames 8 and 9, the
/// tables lives. Since version 3 an identity may have several starts.
pub(crate) const FORMAT_VERSION: u32 = 4;

const VERSION: u8 = 1;

/// A value that this program cannot have written: bit rot, or a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("the value has {0} bytes, which no such value has")]
    Length(usize),
    #[error("the value has version {0}, which this program does not know")]
    Version(u8),
    #[error("the value holds {0} where a known variant must be")]
    Variant(u8),
    #[error("the checksum does not match")]
    Checksum,
}

/// A log entry outside the journal: version u8 · kind u8 · term u64 · crc u32 · payload.
///
/// The checksum covers the key as well, so an entry in another's place is found out.
pub(crate) struct StoredEntry;

impl StoredEntry {
    const HEADER_BYTES: usize = 14;

    pub(crate) fn encode(group: RaftGroupId, entry: &LogEntry, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(Self::HEADER_BYTES + entry.payload.len());
        out.push(VERSION);
        out.push(entry.kind.to_byte());
        out.extend_from_slice(&entry.id.term.get().to_be_bytes());
        let key = EntryKey::new(group, entry.id.index);
        let crc = checksum(key, &out[..10], &entry.payload);
        out.extend_from_slice(&crc.to_be_bytes());
        out.extend_from_slice(&entry.payload);
    }

    pub(crate) fn decode(key: EntryKey, value: &[u8]) -> Result<LogEntry, ValueError> {
        let (header, payload) = value
            .split_first_chunk::<{ Self::HEADER_BYTES }>()
            .ok_or(ValueError::Length(value.len()))?;
        if header[0] != VERSION {
            return Err(ValueError::Version(header[0]));
        }
        let (covered, crc) = header.split_at(10);
        if checksum(key, covered, payload).to_be_bytes() != crc {
            return Err(ValueError::Checksum);
        }
        let mut term = [0; 8];
        term.copy_from_slice(&covered[2..]);
        Ok(LogEntry {
            id: LogId::new(Term::new(u64::from_be_bytes(term)), key.index),
            kind: EntryKind::from_byte(covered[1]).ok_or(ValueError::Variant(covered[1]))?,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}

fn checksum(key: EntryKey, header: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&key.encode()), header);
    crc32c::crc32c_append(crc, payload)
}

pub(crate) fn encode_format_version(version: u32) -> Vec<u8> {
    version.to_be_bytes().to_vec()
}

pub(crate) fn decode_format_version(value: &[u8]) -> Result<u32, ValueError> {
    let bytes = value
        .try_into()
        .map_err(|_| ValueError::Length(value.len()))?;
    Ok(u32::from_be_bytes(bytes))
}

/// version u8 · cluster 16 bytes · node u64 · each start of the lineage u64 · crc u32
pub(crate) fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&identity.cluster.to_bytes());
    out.extend_from_slice(&identity.node.get().to_be_bytes());
    for start in identity.lineage.starts() {
        out.extend_from_slice(&start.get().to_be_bytes());
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

pub(crate) fn decode_identity(value: &[u8]) -> Result<Identity, ValueError> {
    let mut fields = Fields::of(value)?;
    let cluster = ClusterId::new(fields.take()?);
    let node = NodeId::new(fields.u64()?);
    let mut starts = Vec::new();
    while fields.rest.len() >= size_of::<u64>() {
        starts.push(Incarnation::new(fields.u64()?));
    }
    let crc = u32::from_be_bytes(fields.take()?);
    fields.end()?;
    if crc != crc32c::crc32c(&value[..value.len() - 4]) {
        return Err(ValueError::Checksum);
    }
    Ok(Identity {
        cluster,
        node,
        lineage: Lineage::from_starts(starts).ok_or(ValueError::Length(value.len()))?,
    })
}

/// Says that a group was removed. Its number is never used again.
pub(crate) fn encode_tombstone() -> Vec<u8> {
    vec![VERSION]
}

pub(crate) fn decode_tombstone(value: &[u8]) -> Result<(), ValueError> {
    Fields::of(value)?.end()
}

/// version u8 · number of the life u64
pub(crate) fn encode_life(life: Life) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&life.get().to_be_bytes());
    out
}

pub(crate) fn decode_life(value: &[u8]) -> Result<Life, ValueError> {
    let mut fields = Fields::of(value)?;
    let life = Life::new(fields.u64()?);
    fields.end()?;
    Ok(life)
}

/// A run of a group's entries that is complete in `leftovers`; its key holds the first index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeftoverRun {
    pub(crate) last: LogIndex,
    pub(crate) bytes: u64,
    /// It ends a checkpoint interval: later entries begin another run.
    pub(crate) closed: bool,
}

impl LeftoverRun {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.last.get().to_be_bytes());
        out.extend_from_slice(&self.bytes.to_be_bytes());
        out.push(u8::from(self.closed));
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, ValueError> {
        let mut fields = Fields::of(value)?;
        let last = LogIndex::new(fields.u64()?);
        let bytes = fields.u64()?;
        let closed = match fields.take()? {
            [0] => false,
            [1] => true,
            [other] => return Err(ValueError::Variant(other)),
        };
        let run = Self {
            last,
            bytes,
            closed,
        };
        fields.end()?;
        Ok(run)
    }
}

/// Reads fixed-size fields off the front of a value.
struct Fields<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Fields<'a> {
    fn of(value: &'a [u8]) -> Result<Self, ValueError> {
        match value.split_first() {
            Some((&VERSION, rest)) => Ok(Self {
                rest,
                length: value.len(),
            }),
            Some((&version, _)) => Err(ValueError::Version(version)),
            None => Err(ValueError::Length(0)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let (field, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(ValueError::Length(self.length))?;
        self.rest = rest;
        Ok(*field)
    }

    fn u64(&mut self) -> Result<u64, ValueError> {
        self.take().map(u64::from_be_bytes)
    }

    fn end(&self) -> Result<(), ValueError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(ValueError::Length(self.length))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(index: u64, term: u64, kind: u8, payload: Vec<u8>) -> LogEntry {
        LogEntry {
            id: LogId::new(Term::new(term), LogIndex::new(index)),
            kind: EntryKind::from_byte(kind).unwrap(),
            payload: payload.into(),
        }
    }

    proptest! {
        #[test]
        fn stored_entries_round_trip_and_any_flipped_bit_is_found(
            group: u32, index: u64, term: u64, kind in 0u8..3,
            payload in prop::collection::vec(any::<u8>(), 0..200),
            flip: prop::sample::Index,
        ) {
            let id = RaftGroupId::new(group);
            let entry = entry(index, term, kind, payload);
            let key = EntryKey::new(id, entry.id.index);
            let mut value = Vec::new();
            StoredEntry::encode(id, &entry, &mut value);
            let read = StoredEntry::decode(key, &value).unwrap();
            prop_assert_eq!((read.id, read.kind, &read.payload), (entry.id, entry.kind, &entry.payload));

            let neighbour = EntryKey::new(id, LogIndex::new(index ^ 1));
            prop_assert!(StoredEntry::decode(neighbour, &value).is_err());
            let bit = flip.index(value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(StoredEntry::decode(key, &value).is_err());
        }

        #[test]
        fn identities_round_trip(cluster: [u8; 16], node: u64, marks in prop::collection::vec(any::<u32>(), 1..9)) {
            let lineage = marks[1..].iter().fold(Lineage::first(marks[0]), |lineage, mark| {
                lineage.started_again(*mark)
            });
            let identity = Identity {
                cluster: ClusterId::new(cluster),
                node: NodeId::new(node),
                lineage,
            };
            prop_assert_eq!(decode_identity(&encode_identity(&identity)), Ok(identity));
        }

        #[test]
        fn leftover_runs_round_trip(last: u64, bytes: u64, closed: bool) {
            let run = LeftoverRun { last: LogIndex::new(last), bytes, closed };
            prop_assert_eq!(LeftoverRun::decode(&run.encode()), Ok(run));
        }

        #[test]
        fn lives_round_trip(number: u64) {
            let life = Life::new(number);
            prop_assert_eq!(decode_life(&encode_life(life)), Ok(life));
        }

        #[test]
        fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>) {
            let key = EntryKey::new(RaftGroupId::new(1), LogIndex::new(1));
            prop_assert!(StoredEntry::decode(key, &bytes).is_err());
            let _ = decode_identity(&bytes);
            let _ = decode_format_version(&bytes);
            let _ = decode_tombstone(&bytes);
            let _ = LeftoverRun::decode(&bytes);
            let _ = decode_life(&bytes);
        }
    }

    #[test]
    fn tombstones_and_the_format_version_round_trip() {
        assert_eq!(decode_tombstone(&encode_tombstone()), Ok(()));
        let version = encode_format_version(FORMAT_VERSION);
        assert_eq!(decode_format_version(&version), Ok(FORMAT_VERSION));
        assert_eq!(decode_tombstone(&[2]), Err(ValueError::Version(2)));
        assert_eq!(decode_tombstone(&[1, 0]), Err(ValueError::Length(2)));
    }
}
