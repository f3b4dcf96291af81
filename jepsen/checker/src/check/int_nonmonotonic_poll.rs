//! **int-nonmonotonic-poll.** Within one answer, each record of a partition lies behind the one before it. A
//! partition that is rebalanced meanwhile is left out.
//!
//! Source: Jepsen's Kafka workload, `int-nonmonotonic-poll`.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::{Poll, StepFault, View};

pub(super) struct IntNonmonotonicPoll;

impl Checker for IntNonmonotonicPoll {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for step in &view.poll_steps {
            if step.poll != Poll::Within || step.fault != StepFault::Back {
                continue;
            }
            let partition = view.partitions[step.partition].name;
            let what = || format!("one answer has offset {} and then {}", step.from, step.to);
            let property = Property::IntNonmonotonicPoll;
            findings.add(property, Some(partition), &step.operations[1..], what);
        }
    }
}
