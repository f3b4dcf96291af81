//! Which faults begin and end when. It follows from the seed alone, so that a run can be repeated.
//!
//! ```text
//!   round    |  1: kill, pause   | 2: quiet |  3: pause  | ...
//!   faults      ├────────┤                    ├──────┤
//!               ├────┤
//! ```
//!
//! A round takes a drawn time. One in four is quiet, so that the cluster recovers between storms. In each
//! other one a random set of the allowed kinds strikes, among them the kind whose turn it is, so that
//! every kind comes in a run that is long enough. A fault ends within its round.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::fault::{Fault, FaultKind};

/// From what a schedule is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleOptions {
    pub seed: u64,
    pub node_count: usize,
    /// What is allowed. With none, nothing ever happens.
    pub kinds: Vec<FaultKind>,
    /// How long faults go on.
    pub length: Duration,
    /// Shortest and longest time of a round.
    pub round_min: Duration,
    pub round_max: Duration,
}

/// One fault, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From the start of the schedule on.
    pub begins: Duration,
    pub ends: Duration,
    pub fault: Fault,
    /// What else chance decides about it.
    pub seed: u64,
}

/// Steps by their begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub steps: Vec<Step>,
}

impl ScheduleOptions {
    /// Rounds of 5 to 15 seconds, or shorter ones if there would be fewer than four.
    pub fn new(seed: u64, node_count: usize, kinds: Vec<FaultKind>, length: Duration) -> Self {
        let round_max = Duration::from_secs(15).min(length / 3);
        Self {
            seed,
            node_count,
            kinds,
            length,
            round_min: Duration::from_secs(5).min(round_max / 2),
            round_max,
        }
    }
}

impl Schedule {
    pub fn draw(options: &ScheduleOptions) -> Self {
        let mut rng = StdRng::seed_from_u64(options.seed);
        let mut kinds = options.kinds.clone();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.shuffle(&mut rng);
        let mut steps = Vec::new();
        let (mut start, mut storms) = (Duration::ZERO, 0);
        while let Some(length) = draw_round(options, start, &mut rng) {
            let is_quiet = storms > 0 && rng.random_ratio(1, 4);
            if !is_quiet && !kinds.is_empty() {
                let turn = storms % kinds.len();
                storms += 1;
                for (index, kind) in kinds.iter().enumerate() {
                    if index == turn || rng.random_ratio(1, kinds.len() as u32 + 1) {
                        steps.push(draw_step(*kind, options, (start, length), &mut rng));
                    }
                }
            }
            start += length;
        }
        steps.sort_by_key(|step| step.begins);
        Self { steps }
    }

    /// The kinds that come, each once.
    pub fn kinds(&self) -> Vec<FaultKind> {
        let mut kinds: Vec<_> = self.steps.iter().map(|step| step.fault.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

/// How long the round from `start` on takes. `None` if there is no time for one.
fn draw_round(options: &ScheduleOptions, start: Duration, rng: &mut StdRng) -> Option<Duration> {
    let left = options.length.checked_sub(start)?;
    if left < options.round_min || options.round_min.is_zero() {
        return None;
    }
    let longest = options.round_max.max(options.round_min).min(left);
    let millis = options.round_min.as_millis() as u64..=longest.as_millis() as u64;
    Some(Duration::from_millis(rng.random_range(millis)))
}

/// It begins in the first quarter of its round, and ends before the last fifth.
fn draw_step(
    kind: FaultKind,
    options: &ScheduleOptions,
    (start, length): (Duration, Duration),
    rng: &mut StdRng,
) -> Step {
    let begins = start + length.mul_f64(rng.random_range(0.0..0.25));
    let ends = start + length.mul_f64(rng.random_range(0.4..0.8));
    Step {
        begins,
        ends,
        fault: kind.draw(options.node_count, rng),
        seed: rng.random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(seed: u64) -> ScheduleOptions {
        let kinds = vec![FaultKind::Kill, FaultKind::Pause, FaultKind::Isolate];
        ScheduleOptions::new(seed, 3, kinds, Duration::from_secs(120))
    }

    #[test]
    fn a_schedule_follows_from_its_seed_alone() {
        assert_eq!(Schedule::draw(&options(7)), Schedule::draw(&options(7)));
        assert_ne!(Schedule::draw(&options(7)), Schedule::draw(&options(8)));
        let mut turned = options(7);
        turned.kinds.reverse();
        assert_eq!(Schedule::draw(&options(7)), Schedule::draw(&turned));
    }

    #[test]
    fn every_kind_has_its_turn_and_every_fault_ends_in_time() {
        for seed in 0..200 {
            let options = options(seed);
            let schedule = Schedule::draw(&options);
            assert_eq!(schedule.kinds().len(), 3, "seed {seed}");
            assert!(schedule.steps.is_sorted_by_key(|step| step.begins));
            for step in &schedule.steps {
                assert!(step.begins < step.ends && step.ends <= options.length);
            }
        }
    }

    #[test]
    fn some_rounds_are_quiet() {
        let mut options = options(3);
        options.kinds.truncate(1);
        options.length = Duration::from_secs(10_000);
        let storms = Schedule::draw(&options).steps.len();
        assert!((600..=900).contains(&storms), "{storms} of about 1,000");
    }

    #[test]
    fn short_runs_have_short_rounds_and_nothing_comes_of_nothing() {
        let kinds = vec![FaultKind::Kill, FaultKind::Pause];
        let short = ScheduleOptions::new(5, 3, kinds, Duration::from_secs(9));
        assert!(Schedule::draw(&short).steps.len() >= 2);
        let none = ScheduleOptions::new(5, 3, Vec::new(), Duration::from_secs(9));
        assert_eq!(Schedule::draw(&none).steps, []);
    }
}
