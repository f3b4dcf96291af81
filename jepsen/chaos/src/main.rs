//! `chaos run`: a story on three processes of this machine, or as many as wanted.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use flotilla_chaos::{FaultKind, FullWorld, StoryOptions, Workload, World, tell, write_files};
use flotilla_chaos_cluster::flotilla_binary;

/// Torments a cluster and judges what its clients saw.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts nodes as processes of this machine, and runs workloads while faults strike.
    ///
    /// The last line says the verdict. The exit code is 0 if all promises were kept, 1 if one was
    /// broken, and 2 if the run proves nothing.
    Run(Run),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Everything that chance decides follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long faults strike.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// How nodes are kept: `full` on disks whose power is cut (which needs root), `processes` in directories.
    #[arg(long, value_enum, default_value_t = WorldKind::Full)]
    world: WorldKind,
    /// What may happen, separated by commas. Default: all that can.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<FaultKind>,
    /// What clients do, separated by commas. Default: everything.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Records per second.
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Where history and report go.
    #[arg(long, value_name = "DIR", default_value = "chaos-run")]
    out: PathBuf,
}

/// How nodes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WorldKind {
    Full,
    Processes,
}

fn main() -> ExitCode {
    let Command::Run(run) = Arguments::parse().command;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return give_up(&error.into()),
    };
    match runtime.block_on(run_story(&run)) {
        Ok(code) => code,
        Err(error) => give_up(&error),
    }
}

async fn run_story(run: &Run) -> anyhow::Result<ExitCode> {
    let binary = flotilla_binary().context(
        "there is no broker to run: `make build` makes it, and FLOTILLA_BIN names another one",
    )?;
    let world = match run.world {
        WorldKind::Full => FullWorld::start(&binary, run.nodes, run.seed).await?,
        WorldKind::Processes => FullWorld::on_directories(&binary, run.nodes, run.seed).await?,
    };
    Box::pin(tell_story(run, &world)).await
}

#[expect(clippy::print_stdout, reason = "the verdict is the output")]
async fn tell_story<W: World>(run: &Run, world: &W) -> anyhow::Result<ExitCode> {
    let possible = world.fault_kinds();
    let options = StoryOptions {
        seed: run.seed,
        length: Duration::from_secs(run.seconds),
        faults: or_all(&run.faults, &possible),
        workloads: or_all(&run.workloads, &Workload::ALL),
        rate: run.rate,
    };
    if let Some(kind) = options.faults.iter().find(|kind| !possible.contains(kind)) {
        bail!("{kind} cannot happen in this world: see --world, and whether this is root");
    }
    let started = Instant::now();
    let say = |what: &str| progress(started, what);
    let story = tell(world, options, say).await?;
    write_files(&story, &run.out).context("the report cannot be written")?;
    print!("{}", story.judgement.report);
    for line in story.breakdowns.iter().chain(&story.troubles) {
        println!("{line}");
    }
    println!("{}", story.judgement.line(run.seed));
    Ok(ExitCode::from(story.judgement.ruling.exit_code()))
}

fn or_all<T: Clone>(chosen: &[T], all: &[T]) -> Vec<T> {
    if chosen.is_empty() { all } else { chosen }.to_vec()
}

#[expect(clippy::print_stderr, reason = "progress is for who watches")]
fn progress(started: Instant, what: &str) {
    eprintln!("{:6.1} s  {what}", started.elapsed().as_secs_f64());
}

/// A run that broke down proves nothing.
#[expect(clippy::print_stderr, reason = "this is how a command says it")]
fn give_up(error: &anyhow::Error) -> ExitCode {
    eprintln!("chaos: {error:#}");
    ExitCode::from(2)
}
