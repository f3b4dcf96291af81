//! One run of one engine, in a process of its own, so that all that the process used is the engine's.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::{Account, AtRest, Engine, EngineName, JournalEngine, PlainRocksDb, Shape, write};
use crate::payloads::Payloads;
use crate::process::{CpuSeconds, Process, Written};
use crate::scratch::{device_bytes_written, settle_file_system};

/// Different batches that take turns: more than the caches of a processor hold.
const BATCH_POOL_BYTES: usize = 64 << 20;

/// What to run.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    #[arg(long, value_enum)]
    pub engine: EngineName,
    #[arg(long, value_enum)]
    pub at_rest: AtRest,
    /// Bytes to write and drain, one phase after the other
    #[arg(long, required = true)]
    pub phase_bytes: Vec<u64>,
    #[command(flatten)]
    pub shape: Shape,
}

/// What one engine did and used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunOutcome {
    pub plan: RunPlan,
    pub phases: Vec<Phase>,
}

/// Some bytes accepted, and drained to the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phase {
    pub accepted_bytes: u64,
    pub batches: u64,
    /// Until the last batch was durable.
    pub accept_seconds: f64,
    /// Until everything was in its final place.
    pub total_seconds: f64,
    pub latency_p50_us: u64,
    pub latency_p99_us: u64,
    /// Of the whole process, from before the store was opened or from the phase before.
    pub cpu: CpuSeconds,
    /// As the kernel counts it for this process.
    pub written: Written,
    /// As the engine counts it.
    pub account: Account,
    /// By how much the bytes have grown that wait to be written to their final place.
    pub unsealed_bytes_added: i64,
    /// By everyone to the device, the file system's own journal included.
    pub device_bytes_written: Option<u64>,
}

impl Phase {
    /// Processor seconds for each 10^9 accepted bytes.
    pub fn cpu_per_gb(&self) -> f64 {
        self.cpu.total() / (self.accepted_bytes as f64 / 1e9)
    }

    /// So many bytes, for each byte accepted.
    pub fn for_each_byte(&self, bytes: u64) -> f64 {
        bytes as f64 / self.accepted_bytes as f64
    }

    pub fn accepted_mb_per_second(&self) -> f64 {
        self.accepted_bytes as f64 / 1e6 / self.accept_seconds
    }
}

/// Counters at one moment.
struct Counters {
    at: Instant,
    cpu: CpuSeconds,
    written: Written,
    device_bytes_written: Option<u64>,
}

impl Counters {
    fn read(directory: &Path) -> Result<Self> {
        let cpu = Process::Own.cpu()?;
        let at = Instant::now();
        settle_file_system(directory)?;
        Ok(Self {
            at,
            cpu,
            written: Process::Own.written()?,
            device_bytes_written: device_bytes_written(directory),
        })
    }
}

/// Runs here: writes and drains each phase in turn.
pub fn run(plan: &RunPlan, directory: &Path) -> Result<RunOutcome> {
    let shape = &plan.shape;
    ensure!(
        shape.batch_bytes > 0 && shape.groups > 0 && shape.submitters > 0 && shape.window > 0,
        "the load has no size"
    );
    let pool = BATCH_POOL_BYTES.div_ceil(shape.batch_bytes);
    let batches = Payloads::new(1, shape.batch_bytes).pool(pool);
    let before = Counters::read(directory)?;
    let data = directory.join("data");
    let engine: Box<dyn Engine> = match plan.engine {
        EngineName::Journal => Box::new(JournalEngine::open(&data, shape.groups, plan.at_rest)?),
        EngineName::Rocksdb => Box::new(PlainRocksDb::open(&data)?),
    };
    let phases = run_phases(engine.as_ref(), plan, (directory, before), &batches);
    engine.close();
    Ok(RunOutcome {
        plan: plan.clone(),
        phases: phases?,
    })
}

fn run_phases(
    engine: &dyn Engine,
    plan: &RunPlan,
    (directory, mut before): (&Path, Counters),
    batches: &[Bytes],
) -> Result<Vec<Phase>> {
    let shape = &plan.shape;
    let mut phases = Vec::new();
    let (mut written, mut unsealed_before) = (0, 0);
    let mut account_before = Account::default();
    for bytes in &plan.phase_bytes {
        let batches_each = bytes / (shape.batch_bytes as u64 * u64::from(shape.groups));
        let begun = Instant::now();
        let mut accepted = write(engine, shape, batches, written, batches_each);
        written += batches_each;
        let accept_seconds = begun.elapsed().as_secs_f64();
        engine.drain()?;
        let after = Counters::read(directory)?;
        let unsealed = engine.unsealed_bytes();
        let account = engine.account();
        let device = after.device_bytes_written.zip(before.device_bytes_written);
        phases.push(Phase {
            accepted_bytes: accepted.bytes,
            batches: accepted.batches,
            accept_seconds,
            total_seconds: (after.at - begun).as_secs_f64(),
            latency_p50_us: accepted.latency_us(0.5),
            latency_p99_us: accepted.latency_us(0.99),
            cpu: after.cpu.since(before.cpu),
            written: after.written.since(before.written),
            account: account.since(account_before),
            unsealed_bytes_added: unsealed.cast_signed() - unsealed_before,
            device_bytes_written: device.map(|(after, before)| after - before),
        });
        account_before = account;
        unsealed_before = unsealed.cast_signed();
        before = after;
    }
    Ok(phases)
}

/// Runs this program again with a hidden command, and reads what it prints. The process ends with the
/// future.
pub async fn in_own_process(plan: &RunPlan, directory: &Path) -> Result<RunOutcome> {
    let RunPlan {
        engine,
        at_rest,
        phase_bytes,
        shape,
    } = plan;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "engine-run",
        "--engine",
        engine.as_str(),
        "--at-rest",
        at_rest.as_str(),
    ]);
    command.arg("--directory").arg(directory);
    for bytes in phase_bytes {
        command.args(["--phase-bytes", &bytes.to_string()]);
    }
    command.args(["--batch-bytes", &shape.batch_bytes.to_string()]);
    command.args(["--groups", &shape.groups.to_string()]);
    command.args(["--submitters", &shape.submitters.to_string()]);
    command.args(["--window", &shape.window.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.kill_on_drop(true).spawn()?;
    let output = child.wait_with_output().await?;
    ensure!(
        output.status.success(),
        "the run of {} ended with {}",
        engine.as_str(),
        output.status
    );
    serde_json::from_slice(&output.stdout).context("a run prints its outcome")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn both_engines_account_for_what_they_accept() -> Result<()> {
        for engine in EngineName::ALL {
            let directory = TempDir::new()?;
            let plan = RunPlan {
                engine,
                at_rest: AtRest::Sealed,
                phase_bytes: vec![16 << 20, 8 << 20],
                shape: Shape {
                    groups: 2,
                    ..Shape::default()
                },
            };
            let outcome = run(&plan, directory.path())?;
            let accepted = outcome.phases.iter().map(|phase| phase.accepted_bytes);
            assert_eq!(accepted.collect::<Vec<_>>(), [16 << 20, 8 << 20]);
            for phase in &outcome.phases {
                assert!(phase.accept_seconds <= phase.total_seconds, "{phase:?}");
                assert!(phase.latency_p50_us <= phase.latency_p99_us, "{phase:?}");
                assert_eq!(phase.unsealed_bytes_added, 0, "{phase:?}");
            }
        }
        Ok(())
    }
}
