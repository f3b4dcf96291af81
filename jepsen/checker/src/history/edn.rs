//! A history in the form of Jepsen's Kafka workload, so that its checker can judge it as well.
//!
//! Partitions become integer keys, in the order of their names, and values become integers in the order
//! in which they are met. What the workload does not know is left out: tails, consumer groups, jobs,
//! topics. Three things need translation:
//!
//! 1. There a process does one thing at a time, and ends with an unknown outcome. So what overlaps, and
//!    what follows an unknown outcome, gets a process number of its own.
//! 2. There a value is sent once. All tries to send a batch become one send, from the first invocation to
//!    the first acknowledgement.
//! 3. There nobody seeks. A seek becomes a crash, after which a client may read from anywhere. The final
//!    read of a replica becomes the poll of a client of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write};

use super::{
    Action, Call, Fetched, History, Nanos, Operation, Outcome, ProcessNumber, Produce, Produced,
    RecordValue, SeenRecord, TopicPartition,
};

impl History {
    /// One operation per line, each invocation and each completion for itself.
    pub fn write_edn(&self, mut writer: impl Write) -> io::Result<()> {
        let mut export = Export::of(self);
        let steps = export.steps(self.operations());
        for (index, line) in lines(&steps).iter().enumerate() {
            writeln!(writer, "{{:index {index} {line}}}")?;
        }
        writer.flush()
    }
}

/// An operation in Jepsen's words, before it has a process number there.
struct Step {
    /// `None` for a client that does nothing else.
    process: Option<ProcessNumber>,
    invoked_at: Nanos,
    function: &'static str,
    request: String,
    end: End,
}

enum End {
    Ok {
        at: Nanos,
        answer: String,
        rebalanced: Vec<usize>,
    },
    Failed(Nanos),
    Unknown(Option<Nanos>),
    /// What the harness does has no end.
    Nemesis,
}

struct Export<'a> {
    keys: BTreeMap<&'a TopicPartition, usize>,
    values: HashMap<(usize, RecordValue), usize>,
    value_count: usize,
}

/// All tries to send one batch.
struct Batch<'a> {
    first: &'a Operation,
    request: &'a Produce,
    outcome: Outcome<&'a Produced>,
}

impl<'a> Export<'a> {
    fn of(history: &'a History) -> Self {
        let mut names = BTreeSet::new();
        for operation in history.operations() {
            match &operation.action {
                Action::Produce(call) => names.extend([&call.request.partition]),
                Action::FinalRead(call) => names.extend([&call.request.partition]),
                Action::Assign(call) => names.extend(&call.request.partitions),
                Action::Fetch(call) => {
                    let answer = call.outcome.ok().map(|(_, answer)| answer);
                    names.extend(answer.into_iter().flat_map(|found| found.records.keys()));
                    names.extend(answer.into_iter().flat_map(|found| &found.rebalanced));
                }
                _ => {}
            }
        }
        Self {
            keys: names.into_iter().zip(0..).collect(),
            values: HashMap::new(),
            value_count: 0,
        }
    }

    fn steps(&mut self, operations: &'a [Operation]) -> Vec<Step> {
        let mut steps: Vec<_> = batches(operations)
            .iter()
            .map(|batch| self.send(batch))
            .collect();
        steps.extend(operations.iter().filter_map(|found| self.step(found)));
        steps
    }

    fn send(&mut self, batch: &Batch<'_>) -> Step {
        let key = self.keys[&batch.request.partition];
        let values: Vec<_> = batch
            .request
            .records
            .iter()
            .map(|record| self.value(key, Some(record.value)))
            .collect();
        let sends = |text: &dyn Fn(usize) -> String| {
            let sends: Vec<_> = (0..values.len())
                .map(|at| format!("[:send {key} {}]", text(at)))
                .collect();
            format!("[{}]", sends.join(" "))
        };
        let end = match &batch.outcome {
            Outcome::Ok { at, answer } => End::Ok {
                at: *at,
                answer: sends(&|at| match answer.places.get(at) {
                    Some(place) => format!("[{} {}]", place.offset, values[at]),
                    None => format!("[nil {}]", values[at]),
                }),
                rebalanced: Vec::new(),
            },
            other => end_without_answer(other),
        };
        Step {
            process: Some(batch.first.process),
            invoked_at: batch.first.invoked_at,
            function: "send",
            request: sends(&|at| values[at].to_string()),
            end,
        }
    }

    fn step(&mut self, operation: &'a Operation) -> Option<Step> {
        let (function, request, end) = match &operation.action {
            Action::Fetch(call) => ("poll", "[[:poll]]".to_owned(), self.poll_end(call)),
            Action::FinalRead(call) => {
                let end = match call.outcome.ok() {
                    Some((at, log)) => {
                        let records = [(&call.request.partition, &log.records)];
                        End::Ok {
                            at,
                            answer: self.polled(records),
                            rebalanced: Vec::new(),
                        }
                    }
                    None => end_without_answer(&call.outcome),
                };
                ("poll", "[[:poll]]".to_owned(), end)
            }
            Action::Assign(call) => {
                let request = self.key_list(&call.request.partitions);
                let end = end_of_change(&call.outcome, &request);
                ("assign", request, end)
            }
            Action::Subscribe(call) => {
                let of_topics =
                    |name: &&&TopicPartition| call.request.topics.contains(name.topic());
                let partitions = self.keys.keys().filter(of_topics).copied();
                let request = self.key_list(partitions);
                let end = end_of_change(&call.outcome, &request);
                ("subscribe", request, end)
            }
            Action::Crash | Action::Seek(_) => {
                let end = End::Unknown(Some(operation.invoked_at));
                ("crash", "nil".to_owned(), end)
            }
            Action::Fault { name } => ("fault", format!("{name:?}"), End::Nemesis),
            Action::Healed => ("heal", "nil".to_owned(), End::Nemesis),
            _ => return None,
        };
        let is_final = matches!(operation.action, Action::FinalRead(_));
        Some(Step {
            process: (!is_final).then_some(operation.process),
            invoked_at: operation.invoked_at,
            function,
            request,
            end,
        })
    }

    fn poll_end<Q>(&mut self, call: &Call<Q, Fetched>) -> End {
        let Some((at, answer)) = call.outcome.ok() else {
            return end_without_answer(&call.outcome);
        };
        End::Ok {
            at,
            answer: self.polled(&answer.records),
            rebalanced: answer
                .rebalanced
                .iter()
                .map(|name| self.keys[name])
                .collect(),
        }
    }

    fn polled<'b>(
        &mut self,
        records: impl IntoIterator<Item = (&'b TopicPartition, &'b Vec<SeenRecord>)>,
    ) -> String {
        let mut entries = Vec::new();
        for (name, records) in records {
            let key = self.keys[name];
            let pairs: Vec<_> = records
                .iter()
                .map(|seen| format!("[{} {}]", seen.offset, self.value(key, seen.value)))
                .collect();
            entries.push(format!("{key} [{}]", pairs.join(" ")));
        }
        format!("[[:poll {{{}}}]]", entries.join(" "))
    }

    /// The integer for a value. Each foreign one is taken for another.
    fn value(&mut self, key: usize, value: Option<RecordValue>) -> usize {
        let fresh = self.value_count;
        let number = match value {
            Some(value) => *self.values.entry((key, value)).or_insert(fresh),
            None => fresh,
        };
        self.value_count += usize::from(number == fresh);
        number
    }

    fn key_list<'b>(&self, names: impl IntoIterator<Item = &'b TopicPartition>) -> String {
        let keys: Vec<_> = names
            .into_iter()
            .map(|name| self.keys[name].to_string())
            .collect();
        format!("[{}]", keys.join(" "))
    }
}

fn batches(operations: &[Operation]) -> Vec<Batch<'_>> {
    let mut places = HashMap::new();
    let mut batches: Vec<Batch<'_>> = Vec::new();
    let mut sorted: Vec<_> = operations.iter().collect();
    sorted.sort_by_key(|operation| operation.invoked_at);
    for operation in sorted {
        let Action::Produce(call) = &operation.action else {
            continue;
        };
        let Some(record) = call.request.records.first() else {
            continue;
        };
        let outcome = borrowed(&call.outcome);
        let place = *places
            .entry((&call.request.partition, record.value))
            .or_insert(batches.len());
        match batches.get_mut(place) {
            Some(batch) => {
                let known = std::mem::replace(&mut batch.outcome, Outcome::Open);
                batch.outcome = surer(known, outcome);
            }
            None => batches.push(Batch {
                first: operation,
                request: &call.request,
                outcome,
            }),
        }
    }
    batches
}

fn borrowed(outcome: &Outcome<Produced>) -> Outcome<&Produced> {
    match outcome {
        Outcome::Ok { at, answer } => Outcome::Ok { at: *at, answer },
        Outcome::Failed { at, reason } => Outcome::Failed {
            at: *at,
            reason: reason.clone(),
        },
        Outcome::Unknown { at, reason } => Outcome::Unknown {
            at: *at,
            reason: reason.clone(),
        },
        Outcome::Open => Outcome::Open,
    }
}

/// What two tries come to: stored if one was, and surely not stored only if none was.
fn surer<'a>(one: Outcome<&'a Produced>, other: Outcome<&'a Produced>) -> Outcome<&'a Produced> {
    match (one.completed_at(), other.completed_at()) {
        (Some(at), Some(other_at)) if one.ok().is_some() && other.ok().is_some() => {
            if at <= other_at { one } else { other }
        }
        _ if one.ok().is_some() => one,
        _ if other.ok().is_some() => other,
        _ if one.is_failed() && other.is_failed() => other,
        _ => Outcome::Open,
    }
}

const fn end_without_answer<A>(outcome: &Outcome<A>) -> End {
    match outcome {
        Outcome::Failed { at, .. } => End::Failed(*at),
        Outcome::Ok { at, .. } | Outcome::Unknown { at, .. } => End::Unknown(Some(*at)),
        Outcome::Open => End::Unknown(None),
    }
}

fn end_of_change(outcome: &Outcome<()>, request: &str) -> End {
    match outcome {
        Outcome::Ok { at, .. } => End::Ok {
            at: *at,
            answer: request.to_owned(),
            rebalanced: Vec::new(),
        },
        other => end_without_answer(other),
    }
}

/// Gives out process numbers: one for each process, and another one wherever it is needed.
#[derive(Default)]
struct Numbers {
    current: HashMap<ProcessNumber, usize>,
    busy: BTreeSet<usize>,
    count: usize,
}

impl Numbers {
    fn begin(&mut self, process: Option<ProcessNumber>) -> usize {
        let known = process.and_then(|process| self.current.get(&process).copied());
        let number = match known {
            Some(number) if !self.busy.contains(&number) => number,
            _ => {
                self.count += 1;
                self.count - 1
            }
        };
        self.busy.insert(number);
        if let Some(process) = process {
            self.current.insert(process, number);
        }
        number
    }

    /// A number that ended with an unknown outcome stays busy for ever.
    fn end(&mut self, number: usize, end: &End) {
        if matches!(end, End::Ok { .. } | End::Failed(_)) {
            self.busy.remove(&number);
        }
    }
}

fn lines(steps: &[Step]) -> Vec<String> {
    let mut moments = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        moments.push((step.invoked_at, false, index));
        let completed_at = match step.end {
            End::Ok { at, .. } | End::Failed(at) | End::Unknown(Some(at)) => Some(at),
            End::Unknown(None) | End::Nemesis => None,
        };
        moments.extend(completed_at.map(|at| (at, true, index)));
    }
    moments.sort_unstable();
    let mut numbers = Numbers::default();
    let mut given = HashMap::new();
    let mut lines = Vec::new();
    for (at, is_completion, index) in moments {
        let step = &steps[index];
        let line = match (&step.end, is_completion) {
            (End::Nemesis, _) => nemesis_line(step),
            (_, false) => {
                let number = numbers.begin(step.process);
                given.insert(index, number);
                client_line("invoke", number, step, &step.request)
            }
            (end, true) => {
                let number = given[&index];
                numbers.end(number, end);
                completion_line(number, step)
            }
        };
        lines.push(format!("{line} :time {at}"));
    }
    lines
}

fn client_line(kind: &str, number: usize, step: &Step, value: &str) -> String {
    let function = step.function;
    format!(":type :{kind} :process {number} :f :{function} :value {value}")
}

fn nemesis_line(step: &Step) -> String {
    let (function, value) = (step.function, &step.request);
    format!(":type :info :process :nemesis :f :{function} :value {value}")
}

fn completion_line(number: usize, step: &Step) -> String {
    let (kind, value, rebalanced) = match &step.end {
        End::Ok {
            answer, rebalanced, ..
        } => ("ok", answer, rebalanced.as_slice()),
        End::Failed(_) => ("fail", &step.request, [].as_slice()),
        End::Unknown(_) | End::Nemesis => ("info", &step.request, [].as_slice()),
    };
    let mut line = client_line(kind, number, step, value);
    if !rebalanced.is_empty() {
        let keys: Vec<_> = rebalanced.iter().map(usize::to_string).collect();
        let _ = write!(line, " :rebalance-log [{{:keys [{}]}}]", keys.join(" "));
    }
    line
}
