//! A history from the side of what the judges ask: all that concerns a partition in one place, sorted.
//!
//! ```text
//!   attempts   sends of a record, one for each try         sorted by value, then by time
//!   records    what those tries come to                    sorted by value
//!   sightings  what somebody read, and where               in the order of the history
//!   log        which value is at which offset, as far as   sorted by offset
//!              acknowledgements and reads tell
//! ```

mod attempt;
mod compile;
mod final_log;
mod group_partition;
mod log_entry;
mod partition;
mod poll_step;
mod record;

use std::collections::HashMap;

pub(crate) use attempt::{Attempt, Fate};
pub(crate) use final_log::FinalLog;
pub(crate) use group_partition::{CommitTry, CommittedRead, GroupPartition};
pub(crate) use log_entry::{LogEntry, Sighting, SightingSource};
pub(crate) use partition::PartitionView;
pub(crate) use poll_step::{Poll, PollStep, StepFault};
pub(crate) use record::{Record, RecordFate};

use crate::contract::Contract;
use crate::history::{Action, History, Nanos, Operation, TopicPartition};

pub(crate) struct View<'a> {
    pub(crate) operations: &'a [Operation],
    pub(crate) contract: &'a Contract,
    /// Indexes of the operations, by the time of their invocation.
    pub(crate) by_invocation: Vec<usize>,
    pub(crate) partitions: Vec<PartitionView<'a>>,
    pub(crate) groups: Vec<GroupPartition<'a>>,
    pub(crate) poll_steps: Vec<PollStep>,
    places: HashMap<&'a TopicPartition, usize>,
}

impl<'a> View<'a> {
    pub(crate) fn new(history: &'a History, contract: &'a Contract) -> Self {
        let operations = history.operations();
        let mut by_invocation: Vec<_> = (0..operations.len()).collect();
        by_invocation.sort_by_key(|index| operations[*index].invoked_at);
        let partitions = compile::partitions(operations);
        let names = partitions.iter().map(|partition| partition.name);
        let mut view = Self {
            operations,
            contract,
            by_invocation,
            places: names.zip(0..).collect(),
            partitions,
            groups: group_partition::gather(operations),
            poll_steps: Vec::new(),
        };
        view.poll_steps = poll_step::find(&view);
        view
    }

    pub(crate) fn partition(&self, name: &TopicPartition) -> Option<&PartitionView<'a>> {
        Some(&self.partitions[self.place(name)?])
    }

    /// The place of a partition among the views of all.
    pub(crate) fn place(&self, name: &TopicPartition) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// All operations with their indexes, by the time of their invocation.
    pub(crate) fn in_time(&self) -> impl Iterator<Item = (usize, &'a Operation)> {
        self.by_invocation
            .iter()
            .map(|index| (*index, &self.operations[*index]))
    }

    /// When the last faults were taken back.
    pub(crate) fn healed_at(&self) -> Option<Nanos> {
        self.in_time()
            .filter(|(_, operation)| operation.action == Action::Healed)
            .map(|(_, operation)| operation.invoked_at)
            .last()
    }
}
