//! **int-poll-skip.** Within one answer, each record is the next one in the log after the one before it, as
//! far as the log is known and was not deleted by retention. A partition that is rebalanced meanwhile
//! is left out.
//!
//! Source: Jepsen's Kafka workload, `int-poll-skip`.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::{Poll, StepFault, View};

pub(super) struct IntPollSkip;

impl Checker for IntPollSkip {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for step in &view.poll_steps {
            if step.poll != Poll::Within || step.fault != StepFault::Skip {
                continue;
            }
            let partition = view.partitions[step.partition].name;
            let what = || {
                format!(
                    "one answer has offset {} and then {}, with records in between",
                    step.from, step.to
                )
            };
            let property = Property::IntPollSkip;
            findings.add(property, Some(partition), &step.operations[1..], what);
        }
    }
}
