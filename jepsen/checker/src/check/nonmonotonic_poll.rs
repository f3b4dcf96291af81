//! **nonmonotonic-poll.** What a process reads first of a partition lies behind what it read last.
//! Assigning, seeking, crashing and rebalances that concern the partition begin anew.
//!
//! Source: Jepsen's Kafka workload, `nonmonotonic-poll`.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::{Poll, StepFault, View};

pub(super) struct NonmonotonicPoll;

impl Checker for NonmonotonicPoll {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for step in &view.poll_steps {
            if step.poll != Poll::Between || step.fault != StepFault::Back {
                continue;
            }
            let partition = view.partitions[step.partition].name;
            let what = || format!("a process read offset {} and next {}", step.from, step.to);
            let property = Property::NonmonotonicPoll;
            findings.add(property, Some(partition), &step.operations, what);
        }
    }
}
