//! **guarded-write.** In the order of offsets, the fencing tokens of a job that records were sent with
//! never go down.
//!
//! Source: an owner fences itself in at a partition before its first batch, and from then on nothing of
//! an earlier owner is appended there.

use std::collections::HashMap;

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct GuardedWrite;

impl Checker for GuardedWrite {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let mut newest = HashMap::new();
            for entry in &partition.log {
                let Some(record) = entry.record.map(|record| &partition.records[record]) else {
                    continue;
                };
                let first = partition.attempts_of(record).first();
                let Some(guard) = first.and_then(|attempt| attempt.guard) else {
                    continue;
                };
                let known = newest
                    .entry(guard.job.as_str())
                    .or_insert((guard.token, record.operation));
                if guard.token < known.0 {
                    let operations = [known.1, record.operation];
                    let what = || {
                        let (job, old, new) = (&guard.job, guard.token, known.0);
                        let offset = entry.offset;
                        format!("at offset {offset} job {job} writes with {old} after {new}")
                    };
                    let property = Property::GuardedWrite;
                    findings.add(property, Some(partition.name), &operations, what);
                }
                *known = (*known).max((guard.token, record.operation));
            }
        }
    }
}
