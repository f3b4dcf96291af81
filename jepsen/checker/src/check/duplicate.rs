//! **duplicate.** No value is at two offsets of a partition.
//!
//! Source: Jepsen's Kafka workload, `duplicate`.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct Duplicate;

impl Checker for Duplicate {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let sent = partition.log.iter().filter(|entry| entry.record.is_some());
            let mut entries: Vec<_> = sent.collect();
            entries.sort_by_key(|entry| (entry.value, entry.offset));
            for copies in entries.chunk_by(|a, b| a.value == b.value) {
                let (Some(value), true) = (copies[0].value, copies.len() > 1) else {
                    continue;
                };
                let operations: Vec<_> = copies.iter().map(|entry| entry.operation).collect();
                let what = || {
                    let (one, other) = (copies[0].offset, copies[1].offset);
                    format!("{value} is at offset {one} and at offset {other}")
                };
                let property = Property::Duplicate;
                findings.add(property, Some(partition.name), &operations, what);
            }
        }
    }
}
