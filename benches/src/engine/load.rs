//! Submitters that keep a bounded number of batches on their way, so that group commit has a group.

use std::thread;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Engine, Shape};
use crate::summary::quantile_of_sorted;

/// What was accepted, and how long each batch took.
#[derive(Debug, Default)]
pub struct Accepted {
    pub bytes: u64,
    pub batches: u64,
    latencies_us: Vec<u64>,
}

impl Accepted {
    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.batches += other.batches;
        self.latencies_us.extend(other.latencies_us);
    }

    /// From submitting a batch to its durability, in microseconds.
    pub fn latency_us(&mut self, quantile: f64) -> u64 {
        self.latencies_us.sort_unstable();
        quantile_of_sorted(&self.latencies_us, quantile).unwrap_or(0)
    }
}

/// Writes `batches_each` batches to each group, after the `written` ones that are there already, and
/// waits until all are durable.
pub fn write(
    engine: &dyn Engine,
    shape: &Shape,
    batches: &[Bytes],
    written: u64,
    batches_each: u64,
) -> Accepted {
    let mut total = Accepted::default();
    thread::scope(|scope| {
        let submitters: Vec<_> = (0..shape.submitters)
            .map(|number| {
                let own = (0..shape.groups).filter(move |group| group % shape.submitters == number);
                let submitter = Submitter::new(engine, shape.window, own.collect(), written);
                scope.spawn(move || submitter.run(batches, batches_each))
            })
            .collect();
        for submitter in submitters {
            total.add(submitter.join().expect("a submitter does not panic"));
        }
    });
    total
}

struct Submitter<'a> {
    engine: &'a dyn Engine,
    window: usize,
    /// This submitter's groups, with the index of their last batch.
    logs: Vec<Log>,
    /// There is room for the whole window, so completions never block.
    done: (Sender<Durable>, Receiver<Durable>),
    accepted: Accepted,
}

struct Log {
    group: u32,
    last: u64,
}

struct Durable {
    log: usize,
    index: u64,
    bytes: u64,
    submitted_at: Instant,
    at: Instant,
}

impl<'a> Submitter<'a> {
    fn new(engine: &'a dyn Engine, window: usize, groups: Vec<u32>, written: u64) -> Self {
        let logs = groups.into_iter().map(|group| Log {
            group,
            last: written,
        });
        Self {
            engine,
            window,
            logs: logs.collect(),
            done: bounded(window),
            accepted: Accepted::default(),
        }
    }

    fn run(mut self, batches: &[Bytes], batches_each: u64) -> Accepted {
        let mut in_flight = 0;
        let mut turn = self.logs.first().map_or(0, |log| log.group as usize);
        for _ in 0..batches_each {
            for log in 0..self.logs.len() {
                if in_flight == self.window {
                    let durable = self.done.1.recv().expect("the sender is here");
                    self.on_durable(&durable);
                    in_flight -= 1;
                    while let Ok(durable) = self.done.1.try_recv() {
                        self.on_durable(&durable);
                        in_flight -= 1;
                    }
                }
                turn = (turn + 1) % batches.len();
                self.submit(log, &batches[turn]);
                in_flight += 1;
            }
        }
        for _ in 0..in_flight {
            let durable = self.done.1.recv().expect("the sender is here");
            self.on_durable(&durable);
        }
        self.accepted
    }

    fn submit(&mut self, log: usize, batch: &Bytes) {
        self.logs[log].last += 1;
        let Log { group, last } = self.logs[log];
        let (done, bytes, submitted_at) = (self.done.0.clone(), batch.len(), Instant::now());
        let on_durable = move || {
            let durable = Durable {
                log,
                index: last,
                bytes: bytes as u64,
                submitted_at,
                at: Instant::now(),
            };
            done.try_send(durable)
                .expect("there is room for the window");
        };
        self.engine.append(group, last, batch, Box::new(on_durable));
    }

    fn on_durable(&mut self, durable: &Durable) {
        let latency = durable.at - durable.submitted_at;
        self.accepted.latencies_us.push(latency.as_micros() as u64);
        self.accepted.batches += 1;
        self.accepted.bytes += durable.bytes;
        let group = self.logs[durable.log].group;
        self.engine
            .acknowledged(group, durable.index, durable.bytes);
    }
}
