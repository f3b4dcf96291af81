//! What clients did and saw, written down while it happens.
//!
//! ```text
//!   process 1 ──► shard ┐
//!   process 2 ──► shard ┼──► History, sorted by the time of invocation
//!   process 3 ──► shard ┘
//! ```
//!
//! All times come from one monotonic clock. Every process has a shard of its own, so that nobody waits for
//! anybody to write something down. An operation that is dropped before it was answered is written down
//! as open: it may have happened.

use std::sync::Arc;
use std::time::Instant;

use flotilla_checker::History;
use flotilla_checker::history::{
    Action, ClientKind, Draft, Nanos, Operation, ProcessNumber, RecordValue, Request,
};
use flotilla_client::ClientError;
use parking_lot::Mutex;

type Shard = Arc<Mutex<Vec<Operation>>>;

/// The clock and the log of a run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: Instant,
    shards: Mutex<Vec<Shard>>,
}

/// The log of one process, which does one thing after the other.
#[derive(Debug)]
pub struct ProcessLog {
    recorder: Recorder,
    number: ProcessNumber,
    client: ClientKind,
    shard: Shard,
    values: u64,
}

/// An operation that was invoked. Whoever drops it leaves it open.
#[must_use = "an operation that is dropped is open: it may have happened"]
pub struct Pending<Q: Request> {
    draft: Option<Draft<Q>>,
    recorder: Recorder,
    shard: Shard,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// The clock starts now.
    pub fn new() -> Self {
        let shared = Shared {
            origin: Instant::now(),
            shards: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Since the start of the run.
    pub fn now(&self) -> Nanos {
        let elapsed = self.shared.origin.elapsed().as_nanos();
        Nanos::new(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// A process that was not there before.
    pub fn process(&self, client: ClientKind) -> ProcessLog {
        let mut shards = self.shared.shards.lock();
        let number = u32::try_from(shards.len()).expect("there are fewer processes");
        let shard = Shard::default();
        shards.push(Arc::clone(&shard));
        ProcessLog {
            recorder: self.clone(),
            number: ProcessNumber::new(number),
            client,
            shard,
            values: 0,
        }
    }

    /// Everything that was written down so far.
    pub fn history(&self) -> History {
        let shards = self.shared.shards.lock();
        let mut operations: Vec<_> = shards
            .iter()
            .flat_map(|shard| shard.lock().clone())
            .collect();
        operations.sort_by_key(|operation| operation.invoked_at);
        operations.into_iter().collect()
    }
}

impl ProcessLog {
    pub const fn number(&self) -> ProcessNumber {
        self.number
    }

    pub fn now(&self) -> Nanos {
        self.recorder.now()
    }

    /// A value that no record of the run has yet.
    pub fn next_value(&mut self) -> RecordValue {
        let value = RecordValue::new(self.number, self.values);
        self.values += 1;
        value
    }

    /// Invokes an operation now.
    pub fn begin<Q: Request>(&self, request: Q) -> Pending<Q> {
        self.begin_at(self.now(), request)
    }

    /// As [`begin`](Self::begin), for one that was invoked a moment ago.
    pub fn begin_at<Q: Request>(&self, at: Nanos, request: Q) -> Pending<Q> {
        let draft = Operation::call(self.number, at, request).through(self.client);
        Pending {
            draft: Some(draft),
            recorder: self.recorder.clone(),
            shard: Arc::clone(&self.shard),
        }
    }

    /// Something just happened.
    pub fn event(&self, action: Action) {
        let event = Operation::event(self.number, self.now(), action);
        self.shard.lock().push(event);
    }
}

impl<Q: Request> Pending<Q> {
    pub fn ok(mut self, answer: Q::Answer) {
        self.end(|draft, at| draft.ok(at, answer));
    }

    pub fn failed(mut self, reason: &str) {
        self.end(|draft, at| draft.failed(at, reason));
    }

    pub fn unknown(mut self, reason: &str) {
        self.end(|draft, at| draft.unknown(at, reason));
    }

    /// What surely changed nothing has failed, and of anything else nobody knows.
    pub fn error(self, error: &ClientError) {
        let reason = format!("{:?}: {error}", error.code());
        if error.is_definite() {
            self.failed(&reason);
        } else {
            self.unknown(&reason);
        }
    }

    /// Ends as the call did.
    pub fn end_with(self, outcome: Result<Q::Answer, &ClientError>) {
        match outcome {
            Ok(answer) => self.ok(answer),
            Err(error) => self.error(error),
        }
    }

    fn end(&mut self, end: impl FnOnce(Draft<Q>, Nanos) -> Operation) {
        if let Some(draft) = self.draft.take() {
            let operation = end(draft, self.recorder.now());
            self.shard.lock().push(operation);
        }
    }
}

impl<Q: Request> Drop for Pending<Q> {
    fn drop(&mut self) {
        self.end(|draft, _| draft.open());
    }
}

#[cfg(test)]
mod tests {
    use flotilla_checker::history::{DeleteTopic, ListTopics, Outcome};
    use flotilla_client::{ApiError, ErrorCode};

    use super::*;

    fn outcomes(history: &History) -> Vec<Outcome<()>> {
        let operations = history.operations().iter();
        operations.filter_map(|op| op.action.outcome()).collect()
    }

    fn delete(topic: &str) -> DeleteTopic {
        let topic = topic.to_owned();
        DeleteTopic { topic }
    }

    #[test]
    fn operations_are_in_the_order_of_their_invocations_whoever_ends_first() {
        let recorder = Recorder::new();
        let one = recorder.process(ClientKind::Native);
        let other = recorder.process(ClientKind::Http);
        let first = one.begin(delete("first"));
        let second = other.begin(delete("second"));
        one.event(Action::Crash);
        second.ok(());
        first.ok(());
        let history = recorder.history();
        let processes: Vec<_> = history.operations().iter().map(|op| op.process).collect();
        assert_eq!(processes, [one.number(), other.number(), one.number()]);
        let mut times: Vec<_> = history
            .operations()
            .iter()
            .map(|op| op.invoked_at)
            .collect();
        times.dedup();
        assert!(times.is_sorted());
        assert_eq!(history.operations()[1].client, ClientKind::Http);
        assert!(history.operations().iter().all(|op| op.check().is_ok()));
    }

    #[test]
    fn only_what_surely_did_not_happen_has_failed() {
        let recorder = Recorder::new();
        let process = recorder.process(ClientKind::Native);
        let api = |code| ClientError::from(ApiError::new(code, "no"));
        for code in [ErrorCode::TopicExists, ErrorCode::Timeout] {
            process.begin(delete("a")).error(&api(code));
        }
        for definite in [true, false] {
            let error = ClientError::GaveUp {
                waited: std::time::Duration::ZERO,
                definite,
                last: ApiError::new(ErrorCode::LeaderNotAvailable, "no"),
            };
            process.begin(delete("a")).end_with(Err(&error));
        }
        let found = outcomes(&recorder.history());
        let are_failed: Vec<_> = found.iter().map(Outcome::is_failed).collect();
        assert_eq!(are_failed, [true, false, true, false]);
        let are_unknown: Vec<_> = found.iter().map(Outcome::is_unknown).collect();
        assert_eq!(are_unknown, [false, true, false, true]);
    }

    #[test]
    fn an_operation_that_is_abandoned_is_open() {
        let recorder = Recorder::new();
        let process = recorder.process(ClientKind::Native);
        drop(process.begin(ListTopics {}));
        assert_eq!(outcomes(&recorder.history()), [Outcome::Open]);
    }

    #[test]
    fn no_two_records_have_one_value() {
        let recorder = Recorder::new();
        let mut one = recorder.process(ClientKind::Native);
        let mut other = recorder.process(ClientKind::Native);
        let mut values = [one.next_value(), one.next_value(), other.next_value()].to_vec();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 3);
    }
}
