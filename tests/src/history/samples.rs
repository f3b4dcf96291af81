//! Small histories for the tests of the invariants. All records come from producer 0 and have no key.

use flotilla_types::{Offset, PartitionIndex};

use super::{Extent, Fate, History, Reading, RecordId, Seen, Sent};

pub(super) fn history<const N: usize>(
    sent: &[(RecordId, Fate)],
    readings: [Reading; N],
) -> History {
    let mut history = History::default();
    for (id, fate) in sent {
        history.note_sent(
            *id,
            Sent {
                key: None,
                fate: *fate,
            },
        );
    }
    for reading in readings {
        history.note_reading(reading);
    }
    history
}

pub(super) fn acknowledged(number: u64, partition: u32, offset: u64) -> (RecordId, Fate) {
    let fate = Fate::Acknowledged {
        partition: PartitionIndex::new(partition),
        offset: Offset::new(offset),
    };
    (RecordId::new(0, number), fate)
}

pub(super) fn refused(number: u64) -> (RecordId, Fate) {
    (RecordId::new(0, number), Fate::Refused)
}

pub(super) fn unknown(number: u64) -> (RecordId, Fate) {
    (RecordId::new(0, number), Fate::Unknown)
}

/// A whole reading that shows the records with `numbers` from `start` on.
pub(super) fn whole(partition: u32, start: u64, numbers: &[u64]) -> Reading {
    let seen = |(at, number): (u64, &u64)| Seen {
        offset: Offset::new(start + at),
        id: Some(RecordId::new(0, *number)),
        key: None,
    };
    Reading {
        partition: PartitionIndex::new(partition),
        extent: Extent::Whole,
        records: (0..).zip(numbers).map(seen).collect(),
    }
}
