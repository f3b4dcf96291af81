//! A run from its first record to its verdict.
//!
//! ```text
//!   topics ─► workloads ════════════════════════════╗ stop
//!             schedule: faults begin and end ─► heal ─► settle ─► final reads ─► judge
//! ```

use std::time::Duration;

use flotilla_checker::history::Nanos;
use flotilla_checker::{Contract, Demand, History, Property, Report, Verdict, judge};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::fault::FaultKind;
use crate::final_phase;
use crate::nemesis::{FaultSpan, Nemesis, Schedule, ScheduleOptions};
use crate::recorder::Recorder;
use crate::workload::{self, Field, FieldOptions, Workload};
use crate::world::World;

/// How long the workloads go on after the cluster was healed.
const SETTLE: Duration = Duration::from_secs(2);
/// Whatever a client has begun is over by then.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Within this time after healing every partition has to take and show records.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryOptions {
    pub seed: u64,
    /// How long faults strike.
    pub length: Duration,
    pub faults: Vec<FaultKind>,
    pub workloads: Vec<Workload>,
    /// Records per second, of all workloads together.
    pub rate: u32,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Story {
    pub options: StoryOptions,
    pub node_count: usize,
    pub history: History,
    pub contract: Contract,
    pub judgement: Judgement,
    pub spans: Vec<FaultSpan>,
    /// Faults that could not be begun or ended.
    pub troubles: Vec<String>,
    /// What is wrong whatever the history says: nodes that panicked or did not come back.
    pub breakdowns: Vec<String>,
    /// The nodes and links at the end, and what they have met.
    pub world_after: String,
}

/// What the checkers say, and what the nodes say themselves.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub report: Report,
    pub ruling: Ruling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    Pass,
    Fail,
    Unknown,
}

/// Runs a story on a world that is ready. `say` is told how it goes.
///
/// # Errors
///
/// If it cannot begin. What goes wrong later is part of the story.
pub async fn tell<W: World>(
    world: &W,
    options: StoryOptions,
    mut say: impl FnMut(&str) + Send,
) -> anyhow::Result<Story> {
    let recorder = Recorder::new();
    let stop = CancellationToken::new();
    let field = Field::new(FieldOptions {
        recorder: recorder.clone(),
        client_addresses: world.client_addresses(),
        http_addresses: world.http_addresses(),
        seed: options.seed,
        rate: options.rate,
        stop: stop.clone(),
    });
    let mut processes = JoinSet::new();
    workload::start(&options.workloads, &field, &mut processes).await?;
    say(&format!("{} processes at work", processes.len()));

    let (kinds, nodes) = (options.faults.clone(), world.node_count());
    let drawn = ScheduleOptions::new(options.seed, nodes, kinds, options.length);
    let schedule = Schedule::draw(&drawn);
    let mut nemesis = Nemesis::new(world, &recorder);
    say(&format!(
        "{} faults in {:?}",
        schedule.steps.len(),
        options.length
    ));
    nemesis.run(&schedule, options.length, &stop).await;

    say("healing");
    let mut breakdowns = Vec::new();
    if let Err(error) = nemesis.heal().await {
        breakdowns.push(format!("the cluster did not come back: {error:#}"));
    }
    sleep(SETTLE).await;
    stop.cancel();
    if timeout(STOP_LIMIT, async {
        while processes.join_next().await.is_some() {}
    })
    .await
    .is_err()
    {
        say("some clients are still waiting, and are left behind");
        processes.shutdown().await;
    }
    say("reading everything");
    final_phase::run(&field, &recorder, RECOVERY_LIMIT - SETTLE).await?;

    breakdowns.extend(world.panics().await);
    let world_after = world.describe().await;
    let (spans, troubles) = nemesis.into_notes();
    let history = recorder.history();
    say(&format!(
        "judging {} operations",
        history.operations().len()
    ));
    let contract = contract(&schedule);
    let judgement = Judgement::of(&history, &contract, &breakdowns);
    Ok(Story {
        options,
        node_count: world.node_count(),
        history,
        contract,
        judgement,
        spans,
        troubles,
        breakdowns,
        world_after,
    })
}

/// Every kind that was to come has to have come, and clients have to have felt it.
fn contract(schedule: &Schedule) -> Contract {
    let kinds = schedule.kinds().into_iter();
    let faults = kinds.map(|kind| Demand::Fault(kind.event_name().to_owned()));
    let mut demands: Vec<_> = faults.collect();
    if !demands.is_empty() {
        demands.push(Demand::UnknownOutcome);
    }
    let within = u64::try_from(RECOVERY_LIMIT.as_nanos()).unwrap_or(u64::MAX);
    demands.extend([
        Demand::AcknowledgedRecord,
        Demand::Read,
        Demand::FinalReads { replicas: 1 },
        Demand::RecoveryWithin(Nanos::new(within)),
    ]);
    Contract::new(demands)
}

impl Judgement {
    pub fn of(history: &History, contract: &Contract, breakdowns: &[String]) -> Self {
        let report = judge(history, contract);
        let ruling = match report.verdict {
            _ if !breakdowns.is_empty() => Ruling::Fail,
            Verdict::Invalid => Ruling::Fail,
            Verdict::Unknown => Ruling::Unknown,
            Verdict::Valid => Ruling::Pass,
        };
        Self { report, ruling }
    }

    /// The last line of a run.
    pub fn line(&self, seed: u64) -> String {
        let coverage = &self.report.coverage;
        let count = |property| self.report.counts.get(&property).copied().unwrap_or(0);
        let lost = count(Property::LostWrite) + count(Property::Unseen);
        format!(
            "verdict: {} seed={seed} acknowledged={} unknown={} lost={lost} duplicated={} faults={}",
            self.ruling.word(),
            coverage.acknowledged_records,
            coverage.unknown_changes,
            count(Property::Duplicate),
            coverage.faults.values().sum::<usize>(),
        )
    }
}

impl Ruling {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Of the process that ran the story.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Unknown => 2,
        }
    }
}
