//! All that a consumer group did with one partition.

use std::collections::BTreeMap;

use crate::history::{Action, Generation, Nanos, Offset, Operation, Outcome, TopicPartition};

pub(crate) struct GroupPartition<'a> {
    pub(crate) group: &'a str,
    pub(crate) partition: &'a TopicPartition,
    pub(crate) commits: Vec<CommitTry>,
    pub(crate) reads: Vec<CommittedRead>,
    /// When a member heard that it has the partition, with the generation and the operation.
    pub(crate) grants: Vec<(Nanos, Generation, usize)>,
    /// When records were done, from where, and up to where (exclusive).
    pub(crate) ranges: Vec<(Nanos, Offset, Offset)>,
}

/// An offset commit that may have been stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitTry {
    pub(crate) operation: usize,
    pub(crate) generation: Generation,
    pub(crate) offset: Offset,
    pub(crate) invoked_at: Nanos,
    /// When it was surely stored. `None` if it never was.
    pub(crate) ok_at: Option<Nanos>,
}

/// A read of the committed offset that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommittedRead {
    pub(crate) operation: usize,
    pub(crate) offset: Option<Offset>,
    pub(crate) invoked_at: Nanos,
    pub(crate) completed_at: Nanos,
}

type Found<'a> = BTreeMap<(&'a str, &'a TopicPartition), GroupPartition<'a>>;

pub(super) fn gather(operations: &[Operation]) -> Vec<GroupPartition<'_>> {
    let mut found = Found::new();
    for (index, operation) in operations.iter().enumerate() {
        note(&mut found, index, operation);
    }
    found.into_values().collect()
}

fn note<'a>(found: &mut Found<'a>, index: usize, operation: &'a Operation) {
    let invoked_at = operation.invoked_at;
    match &operation.action {
        Action::OffsetCommit(call) => {
            let request = &call.request;
            let commit = CommitTry {
                operation: index,
                generation: request.generation,
                offset: request.offset,
                invoked_at,
                ok_at: match call.outcome {
                    Outcome::Ok { at, .. } => Some(at),
                    Outcome::Failed { .. } => return,
                    Outcome::Unknown { .. } | Outcome::Open => None,
                },
            };
            let group = entry(found, &request.group, &request.partition);
            group.commits.push(commit);
        }
        Action::CommittedOffsetRead(call) => {
            let request = &call.request;
            if let Some((completed_at, offset)) = call.outcome.ok() {
                let group = entry(found, &request.group, &request.partition);
                group.reads.push(CommittedRead {
                    operation: index,
                    offset: *offset,
                    invoked_at,
                    completed_at,
                });
            }
        }
        Action::GroupAssigned(event) => {
            for partition in &event.partitions {
                let group = entry(found, &event.group, partition);
                group.grants.push((invoked_at, event.generation, index));
            }
        }
        Action::ProcessedRange(event) => {
            let group = entry(found, &event.group, &event.partition);
            group.ranges.push((invoked_at, event.start, event.end));
        }
        _ => {}
    }
}

fn entry<'b, 'a>(
    found: &'b mut Found<'a>,
    group: &'a str,
    partition: &'a TopicPartition,
) -> &'b mut GroupPartition<'a> {
    let new = || GroupPartition {
        group,
        partition,
        commits: Vec::new(),
        reads: Vec::new(),
        grants: Vec::new(),
        ranges: Vec::new(),
    };
    found.entry((group, partition)).or_insert_with(new)
}
