//! The command line around the library.

use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use flotilla_benches::arguments::{Arguments, Command, Common, EngineRunArgs, Format};
use flotilla_benches::compare;
use flotilla_benches::engine;
use flotilla_benches::report::{Report, Results};
use flotilla_benches::scenarios::{self, Context};
use flotilla_benches::scratch::Scratch;
use flotilla_tests::phase::phase;
use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

fn main() -> ExitCode {
    // The generator is the same process for all that it drives.
    flotilla_types::keep_freed_memory();
    let Arguments { command, common } = Arguments::parse();
    let ended = match &command {
        // Without a runtime, whose threads would be on the engine's account.
        Command::EngineRun(args) => run_engine(args),
        Command::Draw(args) => compare::draw(&args.results, &args.svg),
        _ => run_scenarios(&command, common),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            phase(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_engine(args: &EngineRunArgs) -> Result<()> {
    let outcome = engine::run(&args.plan, &args.directory)?;
    serde_json::to_writer(io::stdout(), &outcome)?;
    Ok(())
}

#[tokio::main]
async fn run_scenarios(command: &Command, common: Common) -> Result<()> {
    let begun = Instant::now();
    let scratch = Scratch::create(common.data_dir.as_deref())?;
    let context = Context { common, scratch };
    let mut reports = Vec::new();
    let ended = run_until_signal(&context, command, &mut reports).await;
    // What was measured before a failure is not lost with it.
    if !reports.is_empty() {
        print_and_save(&context.common, reports, begun)?;
    }
    ended
}

async fn run_until_signal(
    context: &Context,
    command: &Command,
    reports: &mut Vec<Report>,
) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    // The harness panics when a node does not come up. Everything is cleaned up then, too.
    let running = AssertUnwindSafe(scenarios::run(context, command, reports)).catch_unwind();
    tokio::select! {
        ended = running => ended.map_err(|_| anyhow!("a cluster did not do its part"))?,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    }
}

fn print_and_save(common: &Common, reports: Vec<Report>, begun: Instant) -> Result<()> {
    let results = Results::new(std::env::args().collect(), reports, begun.elapsed());
    let mut output = io::stdout().lock();
    match common.output {
        Format::Table => output.write_all(results.to_table().as_bytes())?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut output, &results)?;
            writeln!(output)?;
        }
    }
    let saved = results.save(&common.results)?;
    phase(format_args!("every reading is in {}", saved.display()));
    Ok(())
}
