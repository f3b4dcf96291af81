//! Sorts what operations say by the partition of which they say it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::record::RecordFate;
use super::{Attempt, Fate, FinalLog, LogEntry, PartitionView, Record, Sighting, SightingSource};
use crate::history::{
    Action, Call, Nanos, Operation, Outcome, Place, Produce, Produced, SeenRecord, SentRecord,
    TopicPartition,
};

type Partitions<'a> = BTreeMap<&'a TopicPartition, PartitionView<'a>>;

pub(super) fn partitions(operations: &[Operation]) -> Vec<PartitionView<'_>> {
    let mut found = Partitions::new();
    for (index, operation) in operations.iter().enumerate() {
        note(&mut found, index, operation);
    }
    let mut partitions: Vec<_> = found.into_values().collect();
    let deleted = deleted_topics(operations);
    for partition in &mut partitions {
        partition.may_be_deleted = deleted.contains(partition.name.topic());
        replace_by_message_id(&mut partition.attempts);
        gather_records(partition);
        gather_sightings(partition);
        gather_log(partition);
    }
    partitions
}

fn deleted_topics(operations: &[Operation]) -> HashSet<&str> {
    let deleted = operations.iter().filter_map(|operation| {
        let Action::DeleteTopic(call) = &operation.action else {
            return None;
        };
        (!call.outcome.is_failed()).then_some(call.request.topic.as_str())
    });
    deleted.collect()
}

fn note<'a>(found: &mut Partitions<'a>, index: usize, operation: &'a Operation) {
    match &operation.action {
        Action::Produce(call) => {
            let attempts = attempts(index, operation, call);
            view_of(found, &call.request.partition)
                .attempts
                .extend(attempts);
        }
        Action::Fetch(call) => {
            let Some((at, answer)) = call.outcome.ok() else {
                return;
            };
            for (name, records) in &answer.records {
                let view = view_of(found, name);
                view.was_read = true;
                let seen = |seen| sighting(index, at, SightingSource::Fetch, seen);
                view.sightings.extend(records.iter().map(seen));
            }
        }
        Action::FinalRead(call) => {
            let view = view_of(found, &call.request.partition);
            let Some((at, log)) = call.outcome.ok() else {
                return;
            };
            view.was_read = true;
            let seen = |seen| sighting(index, at, SightingSource::FinalRead, seen);
            view.sightings.extend(log.records.iter().map(seen));
            view.final_logs.push(FinalLog {
                node: call.request.node,
                operation: index,
                log,
            });
        }
        Action::TailRead(call) => {
            let view = view_of(found, &call.request.partition);
            if let Some((at, tail)) = call.outcome.ok() {
                view.tails.push((index, operation.invoked_at, at, *tail));
            }
        }
        _ => {}
    }
}

fn view_of<'b, 'a>(
    found: &'b mut Partitions<'a>,
    name: &'a TopicPartition,
) -> &'b mut PartitionView<'a> {
    found
        .entry(name)
        .or_insert_with(|| PartitionView::new(name))
}

fn attempts<'a>(
    index: usize,
    operation: &'a Operation,
    call: &'a Call<Produce, Produced>,
) -> impl Iterator<Item = Attempt<'a>> {
    let request = &call.request;
    let attempt = move |(nth, record): (usize, &'a SentRecord)| Attempt {
        value: record.value,
        operation: index,
        nth,
        process: operation.process,
        invoked_at: operation.invoked_at,
        fate: fate_of(&call.outcome, nth),
        stamp: request.producer.map(|stamp| {
            let sequence = stamp.base_sequence.advance(nth as u64);
            (stamp.id, stamp.epoch, sequence)
        }),
        message_id: record.message_id.as_deref(),
        guard: request.guard.as_ref(),
    };
    request.records.iter().enumerate().map(attempt)
}

fn fate_of(outcome: &Outcome<Produced>, nth: usize) -> Fate {
    match outcome {
        Outcome::Ok { at, answer } => match answer.places.get(nth) {
            Some(Place {
                offset,
                is_duplicate,
            }) => Fate::Acknowledged {
                at: *at,
                offset: *offset,
                is_duplicate: *is_duplicate,
            },
            None => Fate::Unknown,
        },
        Outcome::Failed { .. } => Fate::Failed,
        Outcome::Unknown { .. } | Outcome::Open => Fate::Unknown,
    }
}

const fn sighting(
    operation: usize,
    completed_at: Nanos,
    source: SightingSource,
    seen: &SeenRecord,
) -> Sighting {
    Sighting {
        offset: seen.offset,
        value: seen.value,
        hash: seen.hash,
        record: None,
        operation,
        completed_at,
        source,
    }
}

/// An answer "duplicate" to a record whose message id went with several values may mean another one
/// of them, so it does not say that this very value is stored.
fn replace_by_message_id(attempts: &mut [Attempt<'_>]) {
    let mut first_values = HashMap::new();
    let mut shared = HashSet::new();
    for attempt in attempts.iter() {
        if let Some(id) = attempt.message_id
            && *first_values.entry(id).or_insert(attempt.value) != attempt.value
        {
            shared.insert(id);
        }
    }
    for attempt in attempts {
        let is_shared = attempt.message_id.is_some_and(|id| shared.contains(id));
        if let Fate::Acknowledged {
            at,
            offset,
            is_duplicate: true,
        } = attempt.fate
            && is_shared
        {
            attempt.fate = Fate::Replaced { at, offset };
        }
    }
}

fn gather_records(partition: &mut PartitionView<'_>) {
    let attempts = &mut partition.attempts;
    attempts.sort_by_key(|attempt| (attempt.value, attempt.invoked_at, attempt.operation));
    let mut start = 0;
    for tries in attempts.chunk_by(|a, b| a.value == b.value) {
        let end = start + tries.len();
        partition.records.push(Record {
            value: tries[0].value,
            start,
            end,
            invoked_at: tries[0].invoked_at,
            operation: tries[0].operation,
            fate: record_fate(tries),
            first_seen: None,
        });
        start = end;
    }
}

fn record_fate(tries: &[Attempt<'_>]) -> RecordFate {
    let acknowledged = tries.iter().filter_map(|attempt| match attempt.fate {
        Fate::Acknowledged { at, offset, .. } => Some((at, offset, attempt.operation)),
        _ => None,
    });
    let first = acknowledged.clone().min();
    let last_offset = acknowledged.map(|(_, offset, _)| offset).max();
    if let (Some((at, _, operation)), Some(last_offset)) = (first, last_offset) {
        return RecordFate::Acknowledged {
            at,
            last_offset,
            operation,
        };
    }
    if tries.iter().all(|attempt| attempt.fate == Fate::Failed) {
        return RecordFate::Failed;
    }
    RecordFate::Unknown
}

fn gather_sightings(partition: &mut PartitionView<'_>) {
    for at in 0..partition.sightings.len() {
        let Sighting { value, offset, .. } = partition.sightings[at];
        let Some(record) = value.and_then(|value| partition.record_of(value)) else {
            continue;
        };
        partition.sightings[at].record = Some(record);
        let first_seen = &mut partition.records[record].first_seen;
        *first_seen = Some(first_seen.map_or(offset, |first| first.min(offset)));
    }
}

fn gather_log(partition: &mut PartitionView<'_>) {
    let mut log: Vec<_> = partition
        .sightings
        .iter()
        .map(|seen| LogEntry {
            offset: seen.offset,
            value: seen.value,
            record: seen.record,
            operation: seen.operation,
        })
        .collect();
    for (place, record) in partition.records.iter().enumerate() {
        for attempt in partition.attempts_of(record) {
            if let Fate::Acknowledged { offset, .. } = attempt.fate {
                log.push(LogEntry {
                    offset,
                    value: Some(attempt.value),
                    record: Some(place),
                    operation: attempt.operation,
                });
            }
        }
    }
    log.sort_by_key(|entry| (entry.offset, entry.value, entry.operation));
    log.dedup_by_key(|entry| (entry.offset, entry.value));
    partition.offsets = log.iter().map(|entry| entry.offset).collect();
    partition.offsets.dedup();
    partition.log = log;
}
