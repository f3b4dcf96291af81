//! **unseen.** Nothing is acknowledged past the last record that anybody read, once all has been read
//! at the end, unless the topic was deleted.
//!
//! Source: Jepsen's Kafka workload, `unseen`, without what is a `lost-write` already. A partition that
//! nobody ever read is no finding but a gap of the run.

use super::Checker;
use super::lost_write::Kept;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct Unseen;

impl Checker for Unseen {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in view.partitions.iter().filter(|found| found.was_read) {
            let bound = partition.read_bound();
            let kept = Kept::of(partition);
            for (record, offset, operation) in partition.unread() {
                if bound.is_some_and(|bound| offset <= bound) {
                    continue;
                }
                findings.count_loss(kept.loss_of(record.value));
                let what = || {
                    let value = record.value;
                    format!(
                        "{value} was acknowledged at offset {offset}, which nobody ever reached"
                    )
                };
                let property = Property::Unseen;
                findings.add(property, Some(partition.name), &[operation], what);
            }
        }
    }
}
