//! Carries a schedule out, and notes what really happened.

mod schedule;

use std::time::Duration;

use flotilla_checker::history::{Action, ClientKind, Nanos};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use schedule::{Schedule, ScheduleOptions, Step};

use crate::fault::{Fault, FaultKind};
use crate::recorder::{ProcessLog, Recorder};
use crate::world::World;

/// A fault that really happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpan {
    pub kind: FaultKind,
    /// In the words of who did it.
    pub what: String,
    pub begun_at: Nanos,
    /// `None` while it lasts.
    pub ended_at: Option<Nanos>,
}

/// The one who injects faults. History knows it as a process of its own.
pub struct Nemesis<'a, W> {
    world: &'a W,
    log: ProcessLog,
    spans: Vec<FaultSpan>,
    /// Faults that could not be begun or ended, one line each.
    troubles: Vec<String>,
}

/// What is to be done at a moment.
enum Move {
    Begin(Step),
    End { fault: Fault, span: usize },
}

impl<'a, W: World> Nemesis<'a, W> {
    pub fn new(world: &'a W, recorder: &Recorder) -> Self {
        Self {
            world,
            log: recorder.process(ClientKind::Harness),
            spans: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Does what the schedule says, each thing at its time or as soon as the one before it is done.
    pub async fn run(&mut self, schedule: &Schedule, length: Duration, stop: &CancellationToken) {
        let start = Instant::now();
        let begins = schedule.steps.iter().cloned();
        let mut moves: Vec<(Duration, Move)> = begins
            .map(|step| (step.begins, Move::Begin(step)))
            .collect();
        while let Some(next) = (0..moves.len()).min_by_key(|index| moves[*index].0) {
            let (at, next) = moves.remove(next);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(start + at) => {}
            }
            match next {
                Move::Begin(step) => {
                    let ends = step.ends;
                    if let Some(span) = self.begin(&step).await {
                        let fault = step.fault;
                        moves.push((ends, Move::End { fault, span }));
                    }
                }
                Move::End { fault, span } => self.end(&fault, span).await,
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep_until(start + length) => {}
        }
    }

    /// Takes everything back and waits until the cluster is there again.
    pub async fn heal(&mut self) -> anyhow::Result<()> {
        self.world.heal_all().await?;
        let now = self.log.now();
        for span in &mut self.spans {
            span.ended_at.get_or_insert(now);
        }
        self.log.event(Action::Healed);
        self.world.wait_ready().await
    }

    /// What happened, and what could not be done.
    pub fn into_notes(self) -> (Vec<FaultSpan>, Vec<String>) {
        (self.spans, self.troubles)
    }

    /// The place of the fault among the spans, if it happened.
    async fn begin(&mut self, step: &Step) -> Option<usize> {
        let kind = step.fault.kind();
        let begun_at = self.log.now();
        let mut rng = StdRng::seed_from_u64(step.seed);
        match self.world.begin(&step.fault, &mut rng).await {
            Ok(note) => {
                let name = kind.event_name().to_owned();
                self.log.event(Action::Fault { name });
                self.spans.push(FaultSpan {
                    kind,
                    what: note.what,
                    begun_at,
                    ended_at: None,
                });
                Some(self.spans.len() - 1)
            }
            Err(error) => {
                self.troubles
                    .push(format!("{kind} did not begin: {error:#}"));
                None
            }
        }
    }

    async fn end(&mut self, fault: &Fault, span: usize) {
        if let Err(error) = self.world.end(fault).await {
            let kind = fault.kind();
            self.troubles.push(format!("{kind} did not end: {error:#}"));
            return;
        }
        self.spans[span].ended_at = Some(self.log.now());
        if self.spans.iter().all(|span| span.ended_at.is_some()) {
            self.log.event(Action::Healed);
        }
    }
}
