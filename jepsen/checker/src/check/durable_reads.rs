//! **durable-reads.** Every record that a consumer was ever given is in the log at the end, at the same
//! offset and with the same hash, unless retention has deleted it.
//!
//! Source: "a read never returns a record that is not durable".

use super::Checker;
use crate::history::SeenRecord;
use crate::report::{Findings, Property};
use crate::view::{SightingSource, View};

pub(super) struct DurableReads;

impl Checker for DurableReads {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let Some(whole) = partition.whole_log() else {
                continue;
            };
            let mut kept: Vec<&SeenRecord> = whole.log.records.iter().collect();
            kept.sort_by_key(|record| record.offset);
            let fetched = partition.sightings.iter().filter(|seen| {
                seen.source == SightingSource::Fetch && seen.offset >= whole.log.log_start
            });
            for seen in fetched {
                let found = kept
                    .binary_search_by_key(&seen.offset, |record| record.offset)
                    .map(|at| kept[at]);
                let fault = match found {
                    Err(_) => "is gone",
                    Ok(record) if record.value != seen.value => "has another value now",
                    Ok(record) if differ(record.hash, seen.hash) => "has another hash now",
                    Ok(_) => continue,
                };
                let operations = [seen.operation, whole.operation];
                let what = || format!("offset {} was read and {fault}", seen.offset);
                let property = Property::DurableReads;
                findings.add(property, Some(partition.name), &operations, what);
            }
        }
    }
}

/// Whether two hashes, if both are known, are not the same.
pub(super) fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}
