//! A log, its producers, its readers and a consumer group that all behave, with a record of what they
//! did. Every call takes effect at one moment between its invocation and its completion.

use std::collections::BTreeMap;

use flotilla_checker::History;
use flotilla_checker::history::{
    AssignedBy, Fetch, Fetched, Nanos, Offset, Operation, ProcessNumber, Produced, Request, Seek,
    TailRead,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::story::{READER, Story, Value, at, commit, orders, seen, send, stamp};

/// What is to happen next, as numbers that are taken modulo what there is.
pub(crate) type Step = (u8, u8, u8);

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(any::<Step>(), 1..120)
}

/// The first two have idempotent producers.
const PRODUCERS: usize = 4;
const IDEMPOTENT: usize = 2;
const READERS: usize = 3;
const MEMBER: u32 = 70;

#[derive(Default)]
pub(crate) struct Simulation {
    story: Story,
    /// The moment at which the step takes effect.
    now: u64,
    /// Until when each process is busy.
    busy: BTreeMap<u32, u64>,
    pub(crate) log: Vec<Value>,
    pub(crate) log_start: usize,
    counters: [u64; PRODUCERS],
    /// Where the next record of a producer is already, which does not know it.
    unacknowledged: [Option<u64>; IDEMPOTENT],
    positions: [usize; READERS],
    generation: u64,
    done: usize,
    committed: Option<usize>,
}

pub(crate) fn simulate(steps: &[Step]) -> (History, Simulation) {
    let mut simulation = Simulation {
        now: 100,
        generation: 1,
        ..Simulation::default()
    };
    for step in steps {
        simulation.take(*step);
        simulation.now += 10;
    }
    simulation.finish();
    let history = std::mem::take(&mut simulation.story.history);
    (history, simulation)
}

impl Simulation {
    fn take(&mut self, (what, who, how): Step) {
        match what % 16 {
            0..=6 => self.send(usize::from(who) % PRODUCERS, how),
            7..=9 => self.fetch(usize::from(who) % READERS, usize::from(how % 7)),
            10 => self.tail(how),
            11 => self.seek(usize::from(who) % READERS, usize::from(how)),
            12 => self.process(usize::from(how % 5)),
            13 => self.commit(how),
            14 => self.rebalance(),
            _ => self.trim(usize::from(how % 3)),
        }
    }

    /// A call of `process` with the effect now, or nothing if the process is busy.
    fn call<Q: Request>(
        &mut self,
        process: u32,
        how: u8,
        request: Q,
        end: impl FnOnce(&mut Self) -> Result<Q::Answer, &'static str>,
    ) {
        let free_from = self.busy.get(&process).copied().unwrap_or(0);
        if free_from >= self.now {
            return;
        }
        let invoked_at = free_from.max(self.now - u64::from(how % 37)) + 1;
        let completed_at = self.now + 2 + u64::from(how % 53);
        self.busy.insert(process, completed_at);
        let invoked_at = Nanos::new(invoked_at.min(self.now));
        let draft = Operation::call(ProcessNumber::new(process), invoked_at, request);
        let completed_at = Nanos::new(completed_at);
        let operation = match end(self) {
            Ok(answer) => draft.ok(completed_at, answer),
            Err("refused") => draft.failed(completed_at, "refused"),
            Err(reason) => draft.unknown(completed_at, reason),
        };
        self.story.history.push(operation);
    }

    fn send(&mut self, producer: usize, how: u8) {
        if producer < IDEMPOTENT {
            self.send_idempotent(producer, how);
            return;
        }
        let of = (producer as u32, self.counters[producer]);
        self.call(producer as u32, how, send(of), |simulation| {
            simulation.counters[producer] += 1;
            match how % 5 {
                0 => Err("refused"),
                1 => Err("timeout"),
                2 => {
                    simulation.append(of);
                    Err("timeout")
                }
                _ => Ok(simulation.append(of)),
            }
        });
    }

    /// An idempotent producer sends again what it does not know to be stored.
    fn send_idempotent(&mut self, producer: usize, how: u8) {
        let sequence = self.counters[producer];
        let of = (producer as u32, sequence);
        let stored_at = self.unacknowledged[producer];
        let request = send(of).stamped(stamp(producer as u64, 0, sequence));
        self.call(producer as u32, how, request, |simulation| {
            let answer = match (stored_at, how % 4) {
                (Some(offset), _) => at(offset).again(),
                (None, 0) => return Err("timeout"),
                (None, _) => simulation.append(of),
            };
            if how % 4 > 1 {
                simulation.counters[producer] += 1;
                simulation.unacknowledged[producer] = None;
                return Ok(answer);
            }
            let offset = answer.places[0].offset.get();
            simulation.unacknowledged[producer] = Some(offset);
            Err("timeout")
        });
    }

    fn append(&mut self, of: Value) -> Produced {
        self.log.push(of);
        at(self.log.len() as u64 - 1)
    }

    fn fetch(&mut self, reader: usize, count: usize) {
        let request = Fetch {
            assigned_by: AssignedBy::Assign,
        };
        self.call(READER + reader as u32, count as u8, request, |simulation| {
            let start = simulation.positions[reader].max(simulation.log_start);
            let end = (start + count).min(simulation.log.len());
            simulation.positions[reader] = end.max(start);
            let records = (start..end).map(|at| seen(at as u64, simulation.log[at]));
            Ok(Fetched::of(orders(), records.collect()))
        });
    }

    fn tail(&mut self, how: u8) {
        let partition = orders();
        self.call(99, how, TailRead { partition }, |simulation| {
            Ok(Offset::new(simulation.log.len() as u64))
        });
    }

    fn seek(&mut self, reader: usize, to: usize) {
        let to = to % (self.log.len() + 1);
        let request = Seek {
            partition: orders(),
            to: Offset::new(to as u64),
        };
        self.call(READER + reader as u32, 0, request, |simulation| {
            simulation.positions[reader] = to;
            Ok(())
        });
    }

    fn member(&self) -> u32 {
        MEMBER + (self.generation % 3) as u32
    }

    fn process(&mut self, count: usize) {
        let start = self.done.max(self.log_start);
        let end = (start + count).min(self.log.len()).max(start);
        self.done = end;
        self.at_once(|story, member| story.done(member, start as u64, end as u64));
    }

    fn commit(&mut self, how: u8) {
        let offset = self.done;
        let request = commit(self.generation, offset as u64);
        let member = self.member();
        self.call(member, 0, request, |simulation| {
            if how % 5 != 1 {
                simulation.committed = Some(offset);
            }
            if how % 5 < 2 { Err("timeout") } else { Ok(()) }
        });
    }

    /// The next member begins where the one before it committed, and a late commit is refused.
    fn rebalance(&mut self) {
        let (old_generation, old_member) = (self.generation, self.member());
        self.generation += 1;
        let (generation, committed) = (self.generation, self.committed);
        self.done = committed.unwrap_or(0);
        self.at_once(|story, member| story.granted(member, generation));
        self.now += 60;
        let read = committed.map(|offset| offset as u64);
        self.at_once(|story, member| story.read_committed(member, read));
        self.now += 60;
        self.call(old_member, 0, commit(old_generation, 0), |_| Err("refused"));
    }

    /// Something that the current member does by itself, without overlapping anything of its own.
    fn at_once(&mut self, tell: impl FnOnce(&mut Story, u32)) {
        let member = self.member();
        let free_from = self.busy.get(&member).copied().unwrap_or(0);
        self.now = self.now.max(free_from + 1);
        self.story.set_now(self.now);
        tell(&mut self.story, member);
        self.busy.insert(member, self.now + 6);
    }

    fn trim(&mut self, count: usize) {
        self.log_start = (self.log_start + count).min(self.log.len());
    }

    fn finish(&mut self) {
        self.story.set_now(self.now + 1_000);
        let log_start = self.log_start;
        for node in 1..=2 {
            let values = &self.log[log_start..];
            self.story.stored(node, log_start as u64, values);
        }
    }
}
