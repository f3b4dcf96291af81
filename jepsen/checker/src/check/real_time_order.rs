//! **real-time-order.** If a record was acknowledged before another one was sent for the first time,
//! the other one has the greater offset.
//!
//! Source: appends to a partition are linearizable.
//!
//! Records are looked at from the greatest offset down, with the earliest acknowledgement among those
//! behind: one that was sent only after that came too late for its place.

use super::Checker;
use crate::history::{Nanos, Offset};
use crate::report::{Findings, Property};
use crate::view::{Record, RecordFate, View};

pub(super) struct RealTimeOrder;

struct Acknowledged {
    offset: Offset,
    invoked_at: Nanos,
    at: Nanos,
    operation: usize,
}

impl Checker for RealTimeOrder {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let acknowledged = |record: &Record| match record.fate {
                RecordFate::Acknowledged {
                    at,
                    last_offset,
                    operation,
                } => Some(Acknowledged {
                    offset: last_offset,
                    invoked_at: record.invoked_at,
                    at,
                    operation,
                }),
                RecordFate::Failed | RecordFate::Unknown => None,
            };
            let records = partition.records.iter();
            let mut descending: Vec<_> = records.filter_map(acknowledged).collect();
            descending.sort_by_key(|found| std::cmp::Reverse(found.offset));
            let mut earliest: Option<&Acknowledged> = None;
            for found in &descending {
                if let Some(behind) = earliest
                    && behind.at < found.invoked_at
                    && behind.offset > found.offset
                {
                    let what = || {
                        let (late, first) = (found.offset, behind.offset);
                        format!("offset {late} was sent after offset {first} was acknowledged")
                    };
                    let operations = [behind.operation, found.operation];
                    let property = Property::RealTimeOrder;
                    findings.add(property, Some(partition.name), &operations, what);
                }
                if earliest.is_none_or(|behind| found.at < behind.at) {
                    earliest = Some(found);
                }
            }
        }
    }
}
