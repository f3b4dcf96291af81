//! Writing operations down: `Operation::call(process, invoked_at, request).ok(completed_at, answer)`.

use std::collections::BTreeSet;

use super::{
    Action, Assign, Call, ClientKind, CommittedOffsetRead, CreateTopic, DeleteTopic, Fetch,
    Fetched, FinalRead, JobAcquire, JobAcquired, JobRelease, ListTopics, Nanos, Offset,
    OffsetCommit, Operation, Outcome, Place, ProcessNumber, Produce, Produced, ProducerStamp,
    RecordValue, Seek, SeenRecord, SentRecord, StoredLog, Subscribe, TailRead, TopicPartition,
};

/// What a call can ask for, and what it is answered.
pub trait Request: Sized {
    type Answer;

    fn into_action(self, outcome: Outcome<Self::Answer>) -> Action;
}

/// A call that was invoked and not yet answered.
#[derive(Clone, Debug)]
#[must_use]
pub struct Draft<Q> {
    process: ProcessNumber,
    client: ClientKind,
    invoked_at: Nanos,
    request: Q,
}

impl Operation {
    /// A call through the native client. [`Draft::through`] names another one.
    pub const fn call<Q: Request>(
        process: ProcessNumber,
        invoked_at: Nanos,
        request: Q,
    ) -> Draft<Q> {
        Draft {
            process,
            client: ClientKind::Native,
            invoked_at,
            request,
        }
    }

    /// Something that just happened.
    pub const fn event(process: ProcessNumber, at: Nanos, action: Action) -> Self {
        Self {
            process,
            client: ClientKind::Harness,
            invoked_at: at,
            action,
        }
    }
}

impl<Q: Request> Draft<Q> {
    pub const fn through(mut self, client: ClientKind) -> Self {
        self.client = client;
        self
    }

    pub fn ok(self, at: Nanos, answer: Q::Answer) -> Operation {
        self.ended(Outcome::Ok { at, answer })
    }

    pub fn failed(self, at: Nanos, reason: &str) -> Operation {
        let reason = reason.to_owned();
        self.ended(Outcome::Failed { at, reason })
    }

    pub fn unknown(self, at: Nanos, reason: &str) -> Operation {
        let reason = reason.to_owned();
        self.ended(Outcome::Unknown { at, reason })
    }

    pub fn open(self) -> Operation {
        self.ended(Outcome::Open)
    }

    fn ended(self, outcome: Outcome<Q::Answer>) -> Operation {
        Operation {
            process: self.process,
            client: self.client,
            invoked_at: self.invoked_at,
            action: self.request.into_action(outcome),
        }
    }
}

impl Produce {
    pub fn new(partition: TopicPartition, values: impl IntoIterator<Item = RecordValue>) -> Self {
        let record = |value| SentRecord {
            value,
            message_id: None,
        };
        Self {
            partition,
            records: values.into_iter().map(record).collect(),
            producer: None,
            guard: None,
        }
    }

    #[must_use]
    pub const fn stamped(mut self, stamp: ProducerStamp) -> Self {
        self.producer = Some(stamp);
        self
    }
}

impl Produced {
    /// Newly stored, one after the other from `base_offset` on.
    pub fn from(base_offset: Offset, count: usize) -> Self {
        let place = |at: u64| Place {
            offset: Offset::new(base_offset.get().saturating_add(at)),
            is_duplicate: false,
        };
        Self {
            places: (0..).map(place).take(count).collect(),
        }
    }

    /// The same places, which had the records before.
    #[must_use]
    pub fn again(mut self) -> Self {
        for place in &mut self.places {
            place.is_duplicate = true;
        }
        self
    }
}

impl Fetched {
    pub fn of(partition: TopicPartition, records: Vec<SeenRecord>) -> Self {
        Self {
            records: [(partition, records)].into(),
            rebalanced: BTreeSet::new(),
        }
    }
}

macro_rules! requests {
    ($($request:ident => $answer:ty,)*) => {$(
        impl Request for $request {
            type Answer = $answer;

            fn into_action(self, outcome: Outcome<Self::Answer>) -> Action {
                Action::$request(Call {
                    request: self,
                    outcome,
                })
            }
        }
    )*};
}

requests! {
    Produce => Produced,
    Assign => (),
    Subscribe => (),
    Seek => (),
    Fetch => Fetched,
    TailRead => Offset,
    FinalRead => StoredLog,
    OffsetCommit => (),
    CommittedOffsetRead => Option<Offset>,
    JobAcquire => JobAcquired,
    JobRelease => (),
    CreateTopic => (),
    DeleteTopic => (),
    ListTopics => BTreeSet<String>,
}
