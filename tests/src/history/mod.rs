//! What a test did and saw, and whether that keeps the promise.
//!
//! ```text
//!   producers ── sent, with its fate ──┐
//!                                      ├── History ── invariants ── violations
//!   consumers ── readings ─────────────┘
//! ```
//!
//! Every record carries a [`RecordId`] in its value, so that it can be told from every other one. A
//! history says nothing about how the cluster works: it is judged by what users were told and shown.

mod acknowledged_survive;
mod keys_stay_together;
mod nothing_invented;
mod offsets_are_dense;
mod order_is_kept;
mod readings_agree;
mod record_id;
#[cfg(test)]
mod samples;
mod stored_once;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use flotilla_types::{Offset, PartitionIndex};

pub use record_id::RecordId;

/// One topic's story.
#[derive(Clone, Debug, Default)]
pub struct History {
    sent: BTreeMap<RecordId, Sent>,
    readings: Vec<Reading>,
}

/// A record that a producer tried to write. Each producer sends its records in the order of their
/// numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub key: Option<Bytes>,
    pub fate: Fate,
}

/// What the producer was told about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Acknowledged {
        partition: PartitionIndex,
        offset: Offset,
    },
    /// The record was surely not stored.
    Refused,
    /// The record may have been stored.
    Unknown,
}

/// Everything that one consumer saw of one partition, in the order in which it saw it.
#[derive(Clone, Debug)]
pub struct Reading {
    pub partition: PartitionIndex,
    pub extent: Extent,
    pub records: Vec<Seen>,
}

/// What a reading covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// From the first record to the high watermark, after the last acknowledgement.
    Whole,
    /// Some stretch of the log, at some time.
    Part,
}

/// One record as a consumer saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: Offset,
    /// `None` if the value is none that the test wrote.
    pub id: Option<RecordId>,
    pub key: Option<Bytes>,
}

/// A promise that was broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    invariant: &'static str,
    what: String,
}

impl History {
    /// # Panics
    ///
    /// If the record was noted before: ids are unique.
    pub fn note_sent(&mut self, id: RecordId, sent: Sent) {
        let before = self.sent.insert(id, sent);
        assert!(before.is_none(), "{id} was sent twice by the test itself");
    }

    pub fn note_reading(&mut self, reading: Reading) {
        self.readings.push(reading);
    }

    /// Takes in what another part of the same test did.
    pub fn merge(&mut self, other: Self) {
        for (id, sent) in other.sent {
            self.note_sent(id, sent);
        }
        self.readings.extend(other.readings);
    }

    pub fn acknowledged_count(&self) -> usize {
        let is_acknowledged = |sent: &&Sent| matches!(sent.fate, Fate::Acknowledged { .. });
        self.sent.values().filter(is_acknowledged).count()
    }

    pub fn violations(&self) -> Vec<Violation> {
        let invariants: [fn(&Self) -> Vec<Violation>; 7] = [
            acknowledged_survive::check,
            keys_stay_together::check,
            nothing_invented::check,
            offsets_are_dense::check,
            order_is_kept::check,
            readings_agree::check,
            stored_once::check,
        ];
        invariants.iter().flat_map(|check| check(self)).collect()
    }

    /// # Panics
    ///
    /// If a promise was broken, with the first places where it was.
    #[track_caller]
    pub fn assert_promise_kept(&self) {
        const SHOWN: usize = 20;
        let violations = self.violations();
        let lines: Vec<_> = violations
            .iter()
            .take(SHOWN)
            .map(Violation::to_string)
            .collect();
        let count = violations.len();
        assert!(
            violations.is_empty(),
            "{count} violations:\n{}\n",
            lines.join("\n")
        );
    }

    /// The readings that show a partition from its first record to its last.
    fn whole_readings(&self) -> impl Iterator<Item = &Reading> {
        self.readings
            .iter()
            .filter(|reading| reading.extent == Extent::Whole)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}
