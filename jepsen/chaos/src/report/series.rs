//! What a history says second by second.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_checker::History;
use flotilla_checker::history::{Action, TopicPartition};

const SECOND: u64 = 1_000_000_000;

/// One second of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Second {
    /// Records that were acknowledged in it.
    pub(super) acknowledged: u64,
    /// Records that consumers were given in it.
    pub(super) consumed: u64,
    /// Of sends that were acknowledged in it, in milliseconds. `None` without any.
    pub(super) latency_p50_ms: Option<f64>,
    pub(super) latency_p99_ms: Option<f64>,
}

/// The run from its start to its last acknowledgement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    pub(super) seconds: Vec<Second>,
    pub(super) availability: Availability,
    /// Of all sends that were acknowledged.
    pub(super) latency_p50_ms: Option<f64>,
    pub(super) latency_p99_ms: Option<f64>,
}

/// In how many of its seconds a partition took a record that was answered within a second. Counted are
/// the partitions that get one in most seconds when all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Availability {
    pub(super) served: usize,
    pub(super) all: usize,
}

/// The seconds of one partition.
#[derive(Default)]
struct Served {
    tried: BTreeSet<u64>,
    served: BTreeSet<u64>,
}

impl Series {
    pub(super) fn of(history: &History) -> Self {
        let mut seconds: Vec<Second> = Vec::new();
        let mut latencies: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut partitions: BTreeMap<&TopicPartition, Served> = BTreeMap::new();
        for operation in history.operations() {
            match &operation.action {
                Action::Produce(call) => {
                    let invoked_at = operation.invoked_at.get();
                    let served = partitions.entry(&call.request.partition).or_default();
                    served.tried.insert(invoked_at / SECOND);
                    let Some((at, answer)) = call.outcome.ok() else {
                        continue;
                    };
                    let (second, latency) = (at.get() / SECOND, at.get() - invoked_at);
                    at_second(&mut seconds, second).acknowledged += answer.places.len() as u64;
                    latencies.entry(second).or_default().push(latency);
                    if latency <= SECOND {
                        served.served.insert(invoked_at / SECOND);
                    }
                }
                Action::Fetch(call) => {
                    if let Some((at, answer)) = call.outcome.ok() {
                        let count: usize = answer.records.values().map(Vec::len).sum();
                        at_second(&mut seconds, at.get() / SECOND).consumed += count as u64;
                    }
                }
                _ => {}
            }
        }
        let mut all = Vec::new();
        for (second, mut of_second) in latencies {
            let known = at_second(&mut seconds, second);
            known.latency_p50_ms = percentile(&mut of_second, 50);
            known.latency_p99_ms = percentile(&mut of_second, 99);
            all.append(&mut of_second);
        }
        Self {
            seconds,
            availability: availability(&partitions),
            latency_p50_ms: percentile(&mut all, 50),
            latency_p99_ms: percentile(&mut all, 99),
        }
    }
}

impl Availability {
    /// `None` if no partition counts.
    pub(super) fn percent(self) -> Option<f64> {
        (self.all > 0).then(|| 100.0 * self.served as f64 / self.all as f64)
    }
}

fn at_second(seconds: &mut Vec<Second>, second: u64) -> &mut Second {
    let index = second as usize;
    if seconds.len() <= index {
        seconds.resize(index + 1, Second::default());
    }
    &mut seconds[index]
}

/// In milliseconds, of nanoseconds.
fn percentile(samples: &mut [u64], percent: usize) -> Option<f64> {
    samples.sort_unstable();
    let rank = (samples.len() * percent).div_ceil(100).saturating_sub(1);
    samples.get(rank).map(|nanos| *nanos as f64 / 1e6)
}

fn availability(partitions: &BTreeMap<&TopicPartition, Served>) -> Availability {
    let mut availability = Availability::default();
    for partition in partitions.values() {
        let (Some(first), Some(last)) = (partition.tried.first(), partition.tried.last()) else {
            continue;
        };
        // The last second may be cut short, and what comes after a gap at the end is the final phase.
        let all = (last - first) as usize;
        let served = partition.served.iter().filter(|second| *second < last);
        let served = served.count();
        if served * 2 >= all {
            availability.all += all;
            availability.served += served;
        }
    }
    availability
}

#[cfg(test)]
mod tests {
    use flotilla_checker::history::{
        Nanos, Offset, Operation, ProcessNumber, Produce, Produced, RecordValue,
    };

    use super::*;

    fn produce(partition: u32, invoked_ms: u64, took_ms: Option<u64>) -> Operation {
        let process = ProcessNumber::new(1);
        let millis = |millis: u64| Nanos::new(millis * 1_000_000);
        let value = RecordValue::new(process, invoked_ms);
        let request = Produce::new(TopicPartition::new("t", partition), [value]);
        let call = Operation::call(process, millis(invoked_ms), request);
        match took_ms {
            Some(took) => call.ok(millis(invoked_ms + took), Produced::from(Offset::new(0), 1)),
            None => call.open(),
        }
    }

    #[test]
    fn every_second_has_its_records_and_its_latencies() {
        let history = [
            produce(0, 100, Some(10)),
            produce(0, 200, Some(30)),
            produce(0, 2_100, Some(5)),
        ];
        let series = Series::of(&history.into_iter().collect());
        let acknowledged: Vec<_> = series.seconds.iter().map(|s| s.acknowledged).collect();
        assert_eq!(acknowledged, [2, 0, 1]);
        assert_eq!(series.seconds[0].latency_p50_ms, Some(10.0));
        assert_eq!(series.seconds[0].latency_p99_ms, Some(30.0));
        assert_eq!(series.seconds[1].latency_p99_ms, None);
    }

    #[test]
    fn a_partition_is_available_in_seconds_in_which_it_answers_in_time() {
        let mut history = History::new();
        for second in 0..10 {
            let took = if second == 4 { 1_500 } else { 20 };
            history.push(produce(0, second * 1_000, Some(took)));
        }
        history.push(produce(1, 0, None));
        history.push(produce(1, 60_000, Some(1)));
        let availability = Series::of(&history).availability;
        assert_eq!((availability.served, availability.all), (8, 9));
    }
}
