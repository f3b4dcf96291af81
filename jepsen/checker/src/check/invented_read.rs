//! **invented-read.** Every value that is read was sent to that partition.
//!
//! Source: none of the others makes sense without it. Jepsen's workload takes it for granted.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct InventedRead;

impl Checker for InventedRead {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            for seen in partition.sightings.iter().filter(|s| s.record.is_none()) {
                let what = || match seen.value {
                    Some(value) => format!("offset {} has {value}, never sent", seen.offset),
                    None => format!("offset {} has a value that nobody sends", seen.offset),
                };
                let property = Property::InventedRead;
                findings.add(property, Some(partition.name), &[seen.operation], what);
            }
        }
    }
}
