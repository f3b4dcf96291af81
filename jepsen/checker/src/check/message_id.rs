//! **message-id.** All that was sent to a partition with one message id, by whomever and with whatever
//! value, is at one offset, and every answer names that offset.
//!
//! Source: a record with a message id is stored once within the deduplication window. A run is shorter
//! than the window.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct MessageId;

impl Checker for MessageId {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let stored = partition.log.iter().filter_map(|entry| {
                let record = &partition.records[entry.record?];
                let attempt = partition.attempts_of(record).first()?;
                Some((attempt.message_id?, entry.offset, attempt.operation))
            });
            let answered = partition.attempts.iter().filter_map(|attempt| {
                let (_, offset) = attempt.fate.answered()?;
                Some((attempt.message_id?, offset, attempt.operation))
            });
            let mut places: Vec<_> = stored.chain(answered).collect();
            places.sort_unstable();
            places.dedup_by_key(|(id, offset, _)| (*id, *offset));
            for same in places.chunk_by(|a, b| a.0 == b.0) {
                if let [(id, one, first), (_, other, second), ..] = same {
                    let what = || format!("the message id {id:?} is at {one} and at {other}");
                    let operations = [*first, *second];
                    let property = Property::MessageId;
                    findings.add(property, Some(partition.name), &operations, what);
                }
            }
        }
    }
}
