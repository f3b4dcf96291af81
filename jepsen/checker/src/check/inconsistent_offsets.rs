//! **inconsistent-offsets.** No two values are ever said to be at one offset of a partition, by
//! acknowledgements or by reads, whenever and from whichever replica.
//!
//! Source: Jepsen's Kafka workload, `inconsistent-offsets`.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct InconsistentOffsets;

impl Checker for InconsistentOffsets {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let at_one_offset = partition.log.chunk_by(|a, b| a.offset == b.offset);
            for entries in at_one_offset.filter(|entries| entries.len() > 1) {
                let operations: Vec<_> = entries.iter().map(|entry| entry.operation).collect();
                let what = || {
                    let shown = |value: Option<_>| match value {
                        Some(value) => format!("{value}"),
                        None => "a foreign value".to_owned(),
                    };
                    let [one, other] = [0, 1].map(|at| shown(entries[at].value));
                    let (offset, count) = (entries[0].offset, entries.len());
                    format!("offset {offset} has {count} values, such as {one} and {other}")
                };
                let property = Property::InconsistentOffsets;
                findings.add(property, Some(partition.name), &operations, what);
            }
        }
    }
}
