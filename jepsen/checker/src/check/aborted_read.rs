//! **aborted-read.** Nobody reads a record of which every try to send it failed: a failure says that
//! the record is surely not stored.
//!
//! Source: Jepsen's Kafka workload, `G1a`.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::{RecordFate, View};

pub(super) struct AbortedRead;

impl Checker for AbortedRead {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            for seen in &partition.sightings {
                let Some(record) = seen.record.map(|record| &partition.records[record]) else {
                    continue;
                };
                if record.fate == RecordFate::Failed {
                    let operations = [record.operation, seen.operation];
                    let what = || {
                        let value = record.value;
                        format!("{value} was refused and is read at offset {}", seen.offset)
                    };
                    let property = Property::AbortedRead;
                    findings.add(property, Some(partition.name), &operations, what);
                }
            }
        }
    }
}
