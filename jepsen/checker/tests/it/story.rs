//! Histories in a few words. Everything happens in the partition `orders/0`, one thing after the other,
//! 10 ns each, unless it is said otherwise.

use std::collections::BTreeSet;

use flotilla_checker::History;
use flotilla_checker::history::{
    Action, Assign, AssignedBy, CommittedOffsetRead, CreateTopic, DeleteTopic, Draft, FencingToken,
    Fetch, Fetched, FinalRead, Generation, GroupAssigned, GroupRevoked, JobAcquire, JobAcquired,
    JobGuard, ListTopics, Nanos, NodeNumber, Offset, OffsetCommit, Operation, Place, ProcessNumber,
    ProcessedRange, Produce, Produced, ProducerEpoch, ProducerId, ProducerStamp, RecordHash,
    RecordValue, Request, Seek, SeenRecord, Sequence, StoredLog, TailRead, TopicPartition,
};

/// Process and counter.
pub(crate) type Value = (u32, u64);

pub(crate) const READER: u32 = 50;
pub(crate) const READERS: u32 = 60;

#[derive(Default)]
pub(crate) struct Story {
    pub(crate) history: History,
    now: u64,
}

pub(crate) fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

pub(crate) fn value((process, counter): Value) -> RecordValue {
    RecordValue::new(ProcessNumber::new(process), counter)
}

pub(crate) fn seen(offset: u64, of: Value) -> SeenRecord {
    SeenRecord {
        offset: Offset::new(offset),
        value: Some(value(of)),
        hash: Some(RecordHash::new(u64::from(of.0) << 32 | of.1)),
    }
}

pub(crate) fn stamp(id: u64, epoch: u32, sequence: u64) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::new(sequence),
    }
}

pub(crate) fn send(of: Value) -> Produce {
    Produce::new(orders(), [value(of)])
}

pub(crate) fn send_with_id(of: Value, id: &str) -> Produce {
    let mut request = send(of);
    request.records[0].message_id = Some(id.to_owned());
    request
}

pub(crate) fn send_guarded(of: Value, token: u64) -> Produce {
    let mut request = send(of);
    request.guard = Some(JobGuard {
        job: "billing".to_owned(),
        token: FencingToken::new(token),
    });
    request
}

pub(crate) fn at(offset: u64) -> Produced {
    Produced::from(Offset::new(offset), 1)
}

impl Story {
    pub(crate) const fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// A call of which the invocation and the completion are given.
    pub(crate) fn between<Q: Request>(
        &mut self,
        process: u32,
        (start, end): (u64, u64),
        request: Q,
        answer: Q::Answer,
    ) {
        let draft = Operation::call(ProcessNumber::new(process), Nanos::new(start), request);
        self.history.push(draft.ok(Nanos::new(end), answer));
        self.now = self.now.max(end + 1);
    }

    /// A call that takes the next 10 ns, with what becomes of it.
    pub(crate) fn next<Q: Request>(
        &mut self,
        process: u32,
        request: Q,
        end: impl FnOnce(Draft<Q>, Nanos) -> Operation,
    ) {
        let draft = Operation::call(ProcessNumber::new(process), Nanos::new(self.now), request);
        self.history.push(end(draft, Nanos::new(self.now + 5)));
        self.now += 10;
    }

    pub(crate) fn ok<Q: Request>(&mut self, process: u32, request: Q, answer: Q::Answer) {
        self.next(process, request, |draft, end| draft.ok(end, answer));
    }

    pub(crate) fn event(&mut self, process: u32, action: Action) {
        let process = ProcessNumber::new(process);
        let event = Operation::event(process, Nanos::new(self.now), action);
        self.history.push(event);
        self.now += 10;
    }

    pub(crate) fn sent(&mut self, of: Value, offset: u64) {
        self.ok(of.0, send(of), at(offset));
    }

    pub(crate) fn send_fails(&mut self, of: Value) {
        self.next(of.0, send(of), |draft, end| draft.failed(end, "refused"));
    }

    pub(crate) fn send_unknown(&mut self, of: Value) {
        self.next(of.0, send(of), |draft, end| draft.unknown(end, "timeout"));
    }

    pub(crate) fn sent_stamped(&mut self, of: Value, stamp: ProducerStamp, produced: Produced) {
        self.ok(of.0, send(of).stamped(stamp), produced);
    }

    /// Process 1 sends the records with the counters from 0 on, to the offsets from 0 on.
    pub(crate) fn sent_many(&mut self, count: u64) {
        for counter in 0..count {
            self.sent((1, counter), counter);
        }
    }

    pub(crate) fn fetched(&mut self, process: u32, start: u64, values: &[Value]) {
        let records = (start..).zip(values).map(|(offset, of)| seen(offset, *of));
        self.fetched_records(process, records.collect());
    }

    pub(crate) fn fetched_records(&mut self, process: u32, records: Vec<SeenRecord>) {
        let request = Fetch {
            assigned_by: AssignedBy::Assign,
        };
        self.ok(process, request, Fetched::of(orders(), records));
    }

    /// What a node has in the end, from `log_start` on.
    pub(crate) fn stored(&mut self, node: u32, log_start: u64, values: &[Value]) {
        let records = (log_start..)
            .zip(values)
            .map(|(offset, of)| seen(offset, *of));
        let log = StoredLog {
            log_start: Offset::new(log_start),
            high_watermark: Offset::new(log_start + values.len() as u64),
            records: records.collect(),
        };
        self.stored_log(node, log);
    }

    pub(crate) fn stored_log(&mut self, node: u32, log: StoredLog) {
        let request = FinalRead {
            node: NodeNumber::new(node),
            partition: orders(),
        };
        self.ok(READERS + node, request, log);
    }

    pub(crate) fn tail(&mut self, tail: u64) {
        let request = TailRead {
            partition: orders(),
        };
        self.ok(READER, request, Offset::new(tail));
    }

    pub(crate) fn seek(&mut self, process: u32, to: u64) {
        let request = Seek {
            partition: orders(),
            to: Offset::new(to),
        };
        self.ok(process, request, ());
    }

    pub(crate) fn assign(&mut self, process: u32, partitions: &[TopicPartition]) {
        let partitions = partitions.iter().cloned().collect();
        self.ok(process, Assign { partitions }, ());
    }

    pub(crate) fn granted(&mut self, process: u32, generation: u64) {
        let event = GroupAssigned {
            group: "billing".to_owned(),
            generation: Generation::new(generation),
            partitions: [orders()].into(),
        };
        self.event(process, Action::GroupAssigned(event));
    }

    pub(crate) fn revoked(&mut self, process: u32, generation: u64) {
        let event = GroupRevoked {
            group: "billing".to_owned(),
            generation: Generation::new(generation),
            partitions: [orders()].into(),
        };
        self.event(process, Action::GroupRevoked(event));
    }

    pub(crate) fn done(&mut self, process: u32, start: u64, end: u64) {
        let event = ProcessedRange {
            group: "billing".to_owned(),
            partition: orders(),
            start: Offset::new(start),
            end: Offset::new(end),
        };
        self.event(process, Action::ProcessedRange(event));
    }

    pub(crate) fn committed(&mut self, process: u32, generation: u64, offset: u64) {
        self.ok(process, commit(generation, offset), ());
    }

    pub(crate) fn read_committed(&mut self, process: u32, offset: Option<u64>) {
        let request = CommittedOffsetRead {
            group: "billing".to_owned(),
            partition: orders(),
        };
        self.ok(process, request, offset.map(Offset::new));
    }

    pub(crate) fn acquired(&mut self, process: u32, token: u64) {
        let token = FencingToken::new(token);
        let job = "billing".to_owned();
        self.ok(process, JobAcquire { job }, JobAcquired { token });
    }

    pub(crate) fn created(&mut self, topic: &str) {
        let topic = topic.to_owned();
        self.ok(1, CreateTopic { topic }, ());
    }

    pub(crate) fn deleted(&mut self, topic: &str) {
        let topic = topic.to_owned();
        self.ok(1, DeleteTopic { topic }, ());
    }

    pub(crate) fn listed(&mut self, topics: &[&str]) {
        let topics: BTreeSet<_> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.ok(2, ListTopics {}, topics);
    }
}

pub(crate) fn commit(generation: u64, offset: u64) -> OffsetCommit {
    OffsetCommit {
        group: "billing".to_owned(),
        partition: orders(),
        generation: Generation::new(generation),
        offset: Offset::new(offset),
    }
}

pub(crate) fn place(offset: u64) -> Place {
    Place {
        offset: Offset::new(offset),
        is_duplicate: false,
    }
}
