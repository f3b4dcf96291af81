//! **poll-skip.** What a process reads first of a partition is the next record after what it read last,
//! as far as the log is known and was not deleted by retention. Assigning, seeking, crashing and
//! rebalances that concern the partition begin anew.
//!
//! Source: Jepsen's Kafka workload, `poll-skip`.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::{Poll, StepFault, View};

pub(super) struct PollSkip;

impl Checker for PollSkip {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for step in &view.poll_steps {
            if step.poll != Poll::Between || step.fault != StepFault::Skip {
                continue;
            }
            let partition = view.partitions[step.partition].name;
            let what = || {
                format!(
                    "a process read offset {} and next {}, with records in between",
                    step.from, step.to
                )
            };
            let property = Property::PollSkip;
            findings.add(property, Some(partition), &step.operations, what);
        }
    }
}
