//! All that is known of one partition.

use super::record::RecordFate;
use super::{Attempt, FinalLog, LogEntry, Record, Sighting};
use crate::history::{Nanos, Offset, RecordValue, TopicPartition};

pub(crate) struct PartitionView<'a> {
    pub(crate) name: &'a TopicPartition,
    pub(crate) attempts: Vec<Attempt<'a>>,
    pub(crate) records: Vec<Record>,
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) log: Vec<LogEntry>,
    /// The offsets of the log, each once.
    pub(crate) offsets: Vec<Offset>,
    pub(crate) final_logs: Vec<FinalLog<'a>>,
    /// High watermarks that were answered, with operation, invocation and completion.
    pub(crate) tails: Vec<(usize, Nanos, Nanos, Offset)>,
    /// Whether anybody read here, be it nothing.
    pub(crate) was_read: bool,
    /// Whether somebody deleted the topic, or tried to: then nothing has to be there in the end.
    pub(crate) may_be_deleted: bool,
}

impl<'a> PartitionView<'a> {
    pub(crate) const fn new(name: &'a TopicPartition) -> Self {
        Self {
            name,
            attempts: Vec::new(),
            records: Vec::new(),
            sightings: Vec::new(),
            log: Vec::new(),
            offsets: Vec::new(),
            final_logs: Vec::new(),
            tails: Vec::new(),
            was_read: false,
            may_be_deleted: false,
        }
    }

    /// The place among the records, if such a record was ever sent.
    pub(crate) fn record_of(&self, value: RecordValue) -> Option<usize> {
        self.records
            .binary_search_by_key(&value, |record| record.value)
            .ok()
    }

    pub(crate) fn attempts_of(&self, record: &Record) -> &[Attempt<'a>] {
        &self.attempts[record.start..record.end]
    }

    /// The place of an offset among those that are known to hold something.
    pub(crate) fn position(&self, offset: Offset) -> usize {
        self.offsets.partition_point(|known| *known < offset)
    }

    /// Where the log begins in the end: what was below may have been deleted by retention.
    pub(crate) fn log_start(&self) -> Offset {
        let starts = self.final_logs.iter().map(|found| found.log.log_start);
        starts.max().unwrap_or(Offset::new(0))
    }

    /// The whole log, as the replica that has most of it had it.
    pub(crate) fn whole_log(&self) -> Option<&FinalLog<'a>> {
        self.final_logs
            .iter()
            .max_by_key(|found| (found.log.high_watermark, std::cmp::Reverse(found.operation)))
    }

    /// The end of what anybody read: the first offset of the last record.
    pub(crate) fn read_bound(&self) -> Option<Offset> {
        let seen = self.records.iter().filter_map(|record| record.first_seen);
        seen.max()
    }

    /// Records that were acknowledged and never read, with their last offset and the operation that
    /// acknowledged them. What may have been deleted before anybody
    /// came is left out.
    pub(crate) fn unread(&self) -> impl Iterator<Item = (&Record, Offset, usize)> {
        let log_start = self.log_start();
        self.records.iter().filter_map(move |record| {
            let RecordFate::Acknowledged {
                last_offset,
                operation,
                ..
            } = record.fate
            else {
                return None;
            };
            let is_gone = self.may_be_deleted || last_offset < log_start;
            let is_unread = record.first_seen.is_none() && !is_gone;
            is_unread.then_some((record, last_offset, operation))
        })
    }
}
