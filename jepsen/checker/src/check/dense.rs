//! **dense.** A replica's log has a record at every offset from its log start to its high watermark, in
//! order, and none elsewhere.
//!
//! Source: "offsets are dense and never assigned twice".

use super::Checker;
use crate::history::Offset;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct Dense;

impl Checker for Dense {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            for found in &partition.final_logs {
                let mut add = |what: &dyn Fn() -> String| {
                    let operations = [found.operation];
                    findings.add(Property::Dense, Some(partition.name), &operations, what);
                };
                let node = found.node;
                let mut next = found.log.log_start;
                for record in &found.log.records {
                    let offset = record.offset;
                    if offset != next {
                        add(&|| {
                            format!("on node {node} offset {offset} stands where {next} should")
                        });
                    }
                    next = offset.next();
                }
                let end: Offset = found.log.high_watermark;
                if next != end {
                    add(&|| format!("on node {node} records end at {next} and the log at {end}"));
                }
            }
        }
    }
}
