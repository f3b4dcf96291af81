//! **recovery.** Within the time that the contract sets, counted from when all faults were taken back,
//! every partition that records were sent to before takes one and shows what it has. Topics that
//! somebody deletes are left out.
//!
//! Source: liveness, as openraft's own suite demands it after each storm. Partitions that nobody tried in
//! that time are a gap of the run.

use super::Checker;
use crate::history::{Action, Nanos, Operation, TopicPartition};
use crate::report::{Findings, Property};
use crate::view::{PartitionView, View};

pub(super) struct Recovery;

/// What happened to a partition in the time that it has to recover.
pub(super) struct Trial<'a> {
    pub(super) name: &'a TopicPartition,
    pub(super) produce: Tries,
    pub(super) read: Tries,
}

#[derive(Clone, Default)]
pub(super) struct Tries {
    /// Those that did not succeed in time.
    in_vain: Vec<usize>,
    succeeded: bool,
}

impl Tries {
    pub(super) const fn is_untried(&self) -> bool {
        !self.succeeded && self.in_vain.is_empty()
    }
}

impl Checker for Recovery {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for trial in trials(view) {
            for (tries, verb) in [(&trial.produce, "send to"), (&trial.read, "read from")] {
                if !tries.succeeded && !tries.in_vain.is_empty() {
                    let count = tries.in_vain.len();
                    let shown = &tries.in_vain[..count.min(1)];
                    let what = || format!("all {count} tries to {verb} it after healing failed");
                    findings.add(Property::Recovery, Some(trial.name), shown, what);
                }
            }
        }
    }
}

/// One trial for each partition that has to recover. None if nothing is demanded, or nothing was healed.
pub(super) fn trials<'a>(view: &View<'a>) -> Vec<Trial<'a>> {
    let (Some(within), Some(healed_at)) = (view.contract.recovery_within(), view.healed_at())
    else {
        return Vec::new();
    };
    let window = (healed_at, healed_at.saturating_add(within));
    let was_used = |partition: &PartitionView<'_>| {
        let mut attempts = partition.attempts.iter();
        attempts.any(|attempt| attempt.invoked_at < healed_at)
    };
    let mut trials: Vec<Option<Trial<'a>>> = Vec::new();
    for partition in &view.partitions {
        let counts = was_used(partition) && !partition.may_be_deleted;
        trials.push(counts.then(|| Trial {
            name: partition.name,
            produce: Tries::default(),
            read: Tries::default(),
        }));
    }
    for (index, operation) in view.operations.iter().enumerate() {
        if operation.invoked_at >= window.0 && operation.invoked_at <= window.1 {
            note(view, &mut trials, (index, operation), window.1);
        }
    }
    trials.into_iter().flatten().collect()
}

fn note(
    view: &View<'_>,
    trials: &mut [Option<Trial<'_>>],
    (index, operation): (usize, &Operation),
    deadline: Nanos,
) {
    let mut add = |name: &TopicPartition, is_read: bool, done_at: Option<Nanos>| {
        let Some(trial) = view.place(name).and_then(|place| trials[place].as_mut()) else {
            return;
        };
        let tries = if is_read {
            &mut trial.read
        } else {
            &mut trial.produce
        };
        if done_at.is_some_and(|at| at <= deadline) {
            tries.succeeded = true;
        } else {
            tries.in_vain.push(index);
        }
    };
    match &operation.action {
        Action::Produce(call) => {
            let done_at = call.outcome.ok().map(|(at, _)| at);
            add(&call.request.partition, false, done_at);
        }
        Action::TailRead(call) => {
            let done_at = call.outcome.ok().map(|(at, _)| at);
            add(&call.request.partition, true, done_at);
        }
        Action::FinalRead(call) => {
            let done_at = call.outcome.ok().map(|(at, _)| at);
            add(&call.request.partition, true, done_at);
        }
        Action::Fetch(call) => {
            if let Some((at, answer)) = call.outcome.ok() {
                for name in answer.records.keys() {
                    add(name, true, Some(at));
                }
            }
        }
        _ => {}
    }
}
