//! **int-nonmonotonic-send.** The records of one batch have growing offsets.
//!
//! Source: Jepsen's Kafka workload, `int-nonmonotonic-send`. Records that were stored by an earlier try
//! are left out.

use super::Checker;
use crate::history::Action;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct IntNonmonotonicSend;

impl Checker for IntNonmonotonicSend {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for (index, operation) in view.operations.iter().enumerate() {
            let Action::Produce(call) = &operation.action else {
                continue;
            };
            let Some((_, answer)) = call.outcome.ok() else {
                continue;
            };
            let places = answer.places.iter().filter(|place| !place.is_duplicate);
            let offsets: Vec<_> = places.map(|place| place.offset).collect();
            for pair in offsets.windows(2).filter(|pair| pair[1] <= pair[0]) {
                let what = || format!("a batch is at offset {} and then {}", pair[0], pair[1]);
                let partition = &call.request.partition;
                let property = Property::IntNonmonotonicSend;
                findings.add(property, Some(partition), &[index], what);
            }
        }
    }
}
