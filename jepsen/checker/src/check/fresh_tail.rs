//! **fresh-tail.** A read of the high watermark answers with one that covers every offset that was
//! known to be below it before the read was invoked: acknowledged, read by a consumer, or covered by
//! an earlier answer. It covers no record that was sent only after the read was completed, not more
//! records than were sent until then, and not more than the whole log has in the end.
//!
//! Source: reads of the tail are linearizable.

use super::Checker;
use super::prefix_max::PrefixMax;
use crate::history::{Nanos, Offset};
use crate::report::{Findings, Property};
use crate::view::{PartitionView, RecordFate, SightingSource, View};

pub(super) struct FreshTail;

impl Checker for FreshTail {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in view.partitions.iter().filter(|p| !p.tails.is_empty()) {
            let known = PrefixMax::new(known_ends(partition));
            let later = first_sent_later(partition);
            let sent = sent_times(partition);
            let whole = partition.whole_log();
            for (operation, invoked_at, completed_at, tail) in &partition.tails {
                let mut add = |operations: &[usize], what: &dyn Fn() -> String| {
                    let property = Property::FreshTail;
                    findings.add(property, Some(partition.name), operations, what);
                };
                if let Some((end, witness)) = known.before(*invoked_at)
                    && *tail < end
                {
                    let what = || format!("the tail was {tail}, and {end} was known before");
                    add(&[witness, *operation], &what);
                }
                let at = later.partition_point(|(sent_at, ..)| sent_at <= completed_at);
                if let Some((_, offset, witness)) = later.get(at)
                    && offset < tail
                {
                    let what = || format!("the tail was {tail} before offset {offset} was sent");
                    add(&[*operation, *witness], &what);
                }
                let count = sent.partition_point(|sent_at| sent_at <= completed_at);
                if tail.get() > count as u64 {
                    let what = || format!("the tail was {tail} when {count} records were sent");
                    add(&[*operation], &what);
                }
                if let Some(whole) = whole
                    && *tail > whole.log.high_watermark
                {
                    let end = whole.log.high_watermark;
                    let what = || format!("the tail was {tail}, and the log ends at {end}");
                    add(&[*operation, whole.operation], &what);
                }
            }
        }
    }
}

/// Ends that the log is known to have reached, with the operation that tells.
fn known_ends(partition: &PartitionView<'_>) -> Vec<(Nanos, (Offset, usize))> {
    let attempts = partition.attempts.iter();
    let acknowledged = attempts.filter_map(|attempt| {
        let (at, offset) = attempt.fate.answered()?;
        Some((at, (offset.next(), attempt.operation)))
    });
    let fetched = partition
        .sightings
        .iter()
        .filter(|seen| seen.source == SightingSource::Fetch)
        .map(|seen| (seen.completed_at, (seen.offset.next(), seen.operation)));
    let answered = partition
        .tails
        .iter()
        .map(|(operation, _, completed_at, tail)| (*completed_at, (*tail, *operation)));
    acknowledged.chain(fetched).chain(answered).collect()
}

/// By the time of sending, the smallest offset among the records that were sent then or later.
fn first_sent_later(partition: &PartitionView<'_>) -> Vec<(Nanos, Offset, usize)> {
    let mut sent: Vec<_> = partition
        .log
        .iter()
        .filter_map(|entry| {
            let record = &partition.records[entry.record?];
            Some((record.invoked_at, entry.offset, record.operation))
        })
        .collect();
    sent.sort_unstable();
    for index in (1..sent.len()).rev() {
        if sent[index].1 < sent[index - 1].1 {
            (sent[index - 1].1, sent[index - 1].2) = (sent[index].1, sent[index].2);
        }
    }
    sent
}

/// When the records were sent that may be stored.
fn sent_times(partition: &PartitionView<'_>) -> Vec<Nanos> {
    let records = partition.records.iter();
    let may_be_stored = records.filter(|record| record.fate != RecordFate::Failed);
    let mut times: Vec<_> = may_be_stored.map(|record| record.invoked_at).collect();
    times.sort_unstable();
    times
}
