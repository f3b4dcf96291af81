//! **lost-write.** Every acknowledged record that lies before the last one that anybody read is read by
//! somebody, unless retention or somebody who deleted the topic was first.
//!
//! Source: Jepsen's Kafka workload, `lost-write`; the classes of losses are those of Jepsen's NATS suite.

use std::collections::HashMap;

use super::Checker;
use crate::history::{ProcessNumber, RecordValue};
use crate::report::{Findings, Loss, Property};
use crate::view::{PartitionView, View};

pub(super) struct LostWrite;

impl Checker for LostWrite {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let Some(bound) = partition.read_bound() else {
                continue;
            };
            let kept = Kept::of(partition);
            for (record, offset, operation) in partition.unread() {
                if offset > bound {
                    continue;
                }
                let loss = kept.loss_of(record.value);
                findings.count_loss(loss);
                let what = || {
                    let (value, process) = (record.value, record.value.process());
                    format!(
                        "{value} was acknowledged at offset {offset} and never read: it is lost {loss} \
                         what process {process} wrote, though offset {bound} was read"
                    )
                };
                let property = Property::LostWrite;
                findings.add(property, Some(partition.name), &[operation], what);
            }
        }
    }
}

/// The first and the last counter that was read of each process, in one partition.
pub(super) struct Kept {
    extents: HashMap<ProcessNumber, (u64, u64)>,
}

impl Kept {
    pub(super) fn of(partition: &PartitionView<'_>) -> Self {
        let mut extents = HashMap::new();
        for record in &partition.records {
            if record.first_seen.is_some() {
                let counter = record.value.counter();
                let extent = extents
                    .entry(record.value.process())
                    .or_insert((counter, counter));
                *extent = (extent.0.min(counter), extent.1.max(counter));
            }
        }
        Self { extents }
    }

    pub(super) fn loss_of(&self, value: RecordValue) -> Loss {
        match self.extents.get(&value.process()) {
            Some((first, _)) if value.counter() < *first => Loss::Prefix,
            Some((_, last)) if value.counter() < *last => Loss::Middle,
            Some(_) | None => Loss::Postfix,
        }
    }
}
