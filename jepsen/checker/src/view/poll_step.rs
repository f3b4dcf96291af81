//! Where consumers did not go on with the very next record.
//!
//! A process that reads a partition keeps a position there. It is forgotten when the process gives the
//! partition up, seeks, crashes, or hears of a rebalance that moves it: what follows then may be
//! anything that is in the log.

use std::collections::{BTreeSet, HashMap};

use super::{PartitionView, View};
use crate::history::{
    Action, Fetched, Offset, Operation, ProcessNumber, SeenRecord, TopicPartition,
};

/// Two records, one right after the other in what a process was given, which are not neighbours in
/// the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollStep {
    pub(crate) partition: usize,
    pub(crate) poll: Poll,
    pub(crate) fault: StepFault,
    pub(crate) operations: [usize; 2],
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

/// Whether both records came in one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poll {
    Within,
    Between,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepFault {
    /// Records lie between them.
    Skip,
    /// The second is the first again, or before it.
    Back,
}

/// Where a process stands in a partition: the last operation that read there, and the last record.
type Positions<'a> = HashMap<&'a TopicPartition, (usize, Offset)>;

#[derive(Default)]
struct Walk<'a> {
    positions: HashMap<ProcessNumber, Positions<'a>>,
    steps: Vec<PollStep>,
}

pub(super) fn find(view: &View<'_>) -> Vec<PollStep> {
    let mut walk = Walk::default();
    for (index, operation) in view.in_time() {
        walk.on_operation(view, index, operation);
    }
    walk.steps
}

impl<'a> Walk<'a> {
    fn on_operation(&mut self, view: &View<'_>, index: usize, operation: &'a Operation) {
        let positions = self.positions.entry(operation.process).or_default();
        match &operation.action {
            Action::Assign(call) if !call.outcome.is_failed() => {
                positions.retain(|partition, _| call.request.partitions.contains(*partition));
            }
            Action::Subscribe(call) if !call.outcome.is_failed() => {
                positions.retain(|partition, _| call.request.topics.contains(partition.topic()));
            }
            Action::Seek(call) if !call.outcome.is_failed() => {
                positions.remove(&call.request.partition);
            }
            Action::GroupAssigned(event) => forget(positions, &event.partitions),
            Action::GroupRevoked(event) => forget(positions, &event.partitions),
            Action::Crash => positions.clear(),
            Action::Fetch(call) => {
                if let Some((_, answer)) = call.outcome.ok() {
                    self.on_fetched(view, (index, operation.process), answer);
                }
            }
            _ => {}
        }
    }

    fn on_fetched(
        &mut self,
        view: &View<'_>,
        (index, process): (usize, ProcessNumber),
        answer: &'a Fetched,
    ) {
        let positions = self.positions.entry(process).or_default();
        forget(positions, &answer.rebalanced);
        for (name, records) in &answer.records {
            let (Some(place), Some(last)) = (view.place(name), records.last()) else {
                continue;
            };
            if answer.rebalanced.contains(name) {
                continue;
            }
            let before = positions.insert(name, (index, last.offset));
            let partition = &view.partitions[place];
            let mut note = |poll, from: (usize, Offset), to: &SeenRecord| {
                if let Some(fault) = fault_of(partition, from.1, to.offset) {
                    self.steps.push(PollStep {
                        partition: place,
                        poll,
                        fault,
                        operations: [from.0, index],
                        from: from.1,
                        to: to.offset,
                    });
                }
            };
            if let Some(before) = before {
                note(Poll::Between, before, &records[0]);
            }
            for pair in records.windows(2) {
                note(Poll::Within, (index, pair[0].offset), &pair[1]);
            }
        }
    }
}

fn forget(positions: &mut Positions<'_>, partitions: &BTreeSet<TopicPartition>) {
    for partition in partitions {
        positions.remove(partition);
    }
}

/// Records that retention has deleted in the end may have been skipped because they were gone.
fn fault_of(partition: &PartitionView<'_>, from: Offset, to: Offset) -> Option<StepFault> {
    let (from_position, to_position) = (partition.position(from), partition.position(to));
    if to_position <= from_position {
        return Some(StepFault::Back);
    }
    let last_skipped = partition.offsets[to_position - 1];
    let is_skip = to_position > from_position + 1 && last_skipped >= partition.log_start();
    is_skip.then_some(StepFault::Skip)
}
