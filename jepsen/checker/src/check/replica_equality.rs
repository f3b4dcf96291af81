//! **replica-equality.** At the end all replicas of a partition have the same high watermark, and
//! wherever two of them have an offset, the same value and the same hash there.
//!
//! Source: a replica concludes from the log alone what it has, and the logs are equal. NATS's Jepsen
//! suite looks for the same as `lost-on-node`.

use super::Checker;
use super::durable_reads::differ;
use crate::history::StoredLog;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct ReplicaEquality;

impl Checker for ReplicaEquality {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let Some(whole) = partition.whole_log() else {
                continue;
            };
            for found in &partition.final_logs {
                let operations = [whole.operation, found.operation];
                if let Some(difference) = first_difference(whole.log, found.log) {
                    let what = || format!("nodes {} and {} {difference}", whole.node, found.node);
                    let property = Property::ReplicaEquality;
                    findings.add(property, Some(partition.name), &operations, what);
                }
            }
        }
    }
}

fn first_difference(one: &StoredLog, other: &StoredLog) -> Option<String> {
    let (mut ones, mut others) = (
        one.records.iter().peekable(),
        other.records.iter().peekable(),
    );
    let start = one.log_start.max(other.log_start);
    while ones.next_if(|record| record.offset < start).is_some() {}
    while others.next_if(|record| record.offset < start).is_some() {}
    for (a, b) in ones.zip(others) {
        if (a.offset, a.value) != (b.offset, b.value) || differ(a.hash, b.hash) {
            return Some(format!("differ at offset {}", a.offset.min(b.offset)));
        }
    }
    let (end, other_end) = (one.high_watermark, other.high_watermark);
    (end != other_end).then(|| format!("have logs that end at {end} and at {other_end}"))
}
