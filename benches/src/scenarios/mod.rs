//! What is measured, one file for each row of figures.

mod cold_start;
mod demo;
mod engine;
mod failover;
mod grow;
mod idle;
mod leadership_move;
mod partitions;
mod steady_load;
mod tail;
mod throughput;
mod write_amplification;

use std::time::Duration;

use anyhow::Result;
use flotilla_tests::phase::phase;

use crate::arguments::{
    ColdStartArgs, Command, Common, DemoArgs, EngineArgs, FailoverArgs, GrowArgs, IdleArgs,
    LeadershipMoveArgs, PartitionsArgs, TailArgs, ThroughputArgs, Volume, WriteAmplificationArgs,
};
use crate::compare;
use crate::engine::Shape;
use crate::machine::Load;
use crate::report::Report;
use crate::scratch::{Scratch, settle_disk};

/// How long the machine is watched before a scenario.
const CALM_TIME: Duration = Duration::from_secs(2);
const CALM_TIME_QUICK: Duration = Duration::from_millis(200);

/// What all scenarios need.
pub struct Context {
    pub common: Common,
    pub scratch: Scratch,
}

/// Runs what the command asks for, one scenario after the other. What was measured before an error is
/// in `reports`.
pub async fn run(context: &Context, command: &Command, reports: &mut Vec<Report>) -> Result<()> {
    let commands = match command {
        Command::All => everything(),
        one => vec![one.clone()],
    };
    for command in &commands {
        match command {
            Command::Compare(args) => compare::run(context, args, reports).await?,
            one => reports.push(run_one(context, one).await?),
        }
    }
    Ok(())
}

async fn run_one(context: &Context, command: &Command) -> Result<Report> {
    match command {
        Command::Engine(args) => engine::run(context, args).await,
        Command::WriteAmplification(args) => write_amplification::run(context, args).await,
        Command::Failover(args) => failover::run(context, args).await,
        Command::LeadershipMove(args) => leadership_move::run(context, args).await,
        Command::Partitions(args) => partitions::run(context, args).await,
        Command::Grow(args) => grow::run(context, args).await,
        Command::Tail(args) => tail::run(context, args).await,
        Command::ColdStart(args) => cold_start::run(context, args).await,
        Command::Idle(args) => idle::run(context, args).await,
        Command::Throughput(args) => throughput::run(context, args).await,
        Command::Demo(args) => demo::run(context, args).await,
        Command::All | Command::Compare(_) | Command::Draw(_) | Command::EngineRun(_) => {
            anyhow::bail!("this is no single scenario")
        }
    }
}

/// Gentle ones first, so that none inherits the load of a rough one.
fn everything() -> Vec<Command> {
    vec![
        Command::Idle(IdleArgs::default()),
        Command::Engine(EngineArgs {
            pairs: None,
            volume: Volume::default(),
            shape: Shape::default(),
        }),
        Command::WriteAmplification(WriteAmplificationArgs {
            runs: None,
            volume: Volume::default(),
            shape: Shape::default(),
        }),
        Command::ColdStart(ColdStartArgs::default()),
        Command::Failover(FailoverArgs {
            record_size: 1_024,
            ..FailoverArgs::default()
        }),
        Command::LeadershipMove(LeadershipMoveArgs::default()),
        Command::Tail(TailArgs::default()),
        Command::Grow(GrowArgs::default()),
        Command::Partitions(PartitionsArgs::default()),
        Command::Throughput(ThroughputArgs::default()),
        Command::Demo(DemoArgs::default()),
    ]
}

impl Context {
    /// A report that begins with a look at the machine, and a warning if it is busy.
    pub async fn begin(&self, scenario: &'static str) -> Result<Report> {
        settle_disk();
        let time = self.common.or(None, CALM_TIME, CALM_TIME_QUICK);
        let load = Load::observe(time).await?;
        phase(format_args!(
            "{scenario}: load average {:.2}, {:.2} of {} cores busy",
            load.average, load.busy_cores, load.cores
        ));
        if !load.is_calm() {
            phase(format_args!(
                "{scenario}: WARNING: the machine is busy, so times will be worse than they are"
            ));
        }
        Ok(Report::new(scenario, load))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn everything_has_the_same_defaults_as_each_command_alone() {
        let words = |debug: String| debug.split(['(', ' ']).next().map(str::to_owned);
        for command in everything() {
            let name = words(format!("{command:?}")).unwrap();
            let kebab = match name.as_str() {
                "WriteAmplification" => "write-amplification".to_owned(),
                "ColdStart" => "cold-start".to_owned(),
                "LeadershipMove" => "leadership-move".to_owned(),
                other => other.to_lowercase(),
            };
            let parsed = Arguments::try_parse_from(["flotilla-benches", &kebab]).unwrap();
            assert_eq!(format!("{:?}", parsed.command), format!("{command:?}"));
        }
    }
}
