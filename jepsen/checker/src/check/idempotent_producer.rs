//! **idempotent-producer.** Every producer id, epoch and sequence is at one offset at most, and every
//! answer to it, retries included, names that offset. In the order of offsets the epochs of a producer
//! id never go down. Where the whole log is known, each sequence is the one after that before it, in
//! each epoch.
//!
//! Source: idempotent producers, as Kafka defines them (KIP-98, KIP-360).

use std::collections::HashMap;

use super::Checker;
use crate::history::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::report::{Findings, Property};
use crate::view::{PartitionView, View};

pub(super) struct IdempotentProducer;

/// A stamp that is said to be at an offset, with the operation that sent it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamped {
    stamp: (ProducerId, ProducerEpoch, Sequence),
    offset: Offset,
    operation: usize,
}

impl Checker for IdempotentProducer {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let mut stamped = stored(partition);
            check_order(partition, &stamped, findings);
            stamped.extend(answered(partition));
            check_once(partition, stamped, findings);
        }
    }
}

/// What is in the log, in its order, if every try had the same stamp: otherwise any of them may be it.
fn stored(partition: &PartitionView<'_>) -> Vec<Stamped> {
    let stamped = partition.log.iter().filter_map(|entry| {
        let record = &partition.records[entry.record?];
        let tries = partition.attempts_of(record);
        let attempt = tries.first()?;
        let is_sure = tries.iter().all(|other| other.stamp == attempt.stamp);
        Some(Stamped {
            stamp: attempt.stamp.filter(|_| is_sure)?,
            offset: entry.offset,
            operation: attempt.operation,
        })
    });
    stamped.collect()
}

fn answered(partition: &PartitionView<'_>) -> impl Iterator<Item = Stamped> {
    partition.attempts.iter().filter_map(|attempt| {
        Some(Stamped {
            stamp: attempt.stamp?,
            offset: attempt.fate.answered()?.1,
            operation: attempt.operation,
        })
    })
}

fn check_once(partition: &PartitionView<'_>, mut stamped: Vec<Stamped>, findings: &mut Findings) {
    stamped.sort_unstable();
    stamped.dedup_by_key(|found| (found.stamp, found.offset));
    for same in stamped.chunk_by(|a, b| a.stamp == b.stamp) {
        if same.len() > 1 {
            let (id, epoch, sequence) = same[0].stamp;
            let operations: Vec<_> = same.iter().map(|found| found.operation).collect();
            let what = || {
                let (one, other) = (same[0].offset, same[1].offset);
                format!(
                    "sequence {sequence} of producer {id} in epoch {epoch} is at offset {one} and at \
                     {other}"
                )
            };
            let property = Property::IdempotentProducer;
            findings.add(property, Some(partition.name), &operations, what);
        }
    }
}

fn check_order(partition: &PartitionView<'_>, stamped: &[Stamped], findings: &mut Findings) {
    let is_whole = partition.whole_log().is_some();
    let from_the_start = is_whole && partition.log_start() == Offset::new(0);
    let mut newest: HashMap<ProducerId, Stamped> = HashMap::new();
    for found in stamped {
        let (id, epoch, sequence) = found.stamp;
        let before = newest.get(&id).copied();
        let expected = match before {
            Some(before) if before.stamp.1 == epoch => Some(before.stamp.2.advance(1)),
            Some(_) => Some(Sequence::new(0)),
            None => from_the_start.then_some(Sequence::new(0)),
        };
        let mut operations = vec![found.operation];
        operations.extend(before.map(|before| before.operation));
        let mut add = |what: &dyn Fn() -> String| {
            let property = Property::IdempotentProducer;
            findings.add(property, Some(partition.name), &operations, what);
        };
        let offset = found.offset;
        if before.is_some_and(|before| before.stamp.1 > epoch) {
            add(&|| format!("at offset {offset} producer {id} is back in epoch {epoch}"));
            continue;
        }
        if let Some(expected) = expected
            && is_whole
            && sequence > expected
        {
            add(&|| {
                format!("at offset {offset} producer {id} has sequence {sequence}, not {expected}")
            });
        }
        newest.insert(id, *found);
    }
}
