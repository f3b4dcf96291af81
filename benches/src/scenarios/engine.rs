//! Processor time of the journal engine beside that of a plain RocksDB engine.

use anyhow::Result;
use flotilla_tests::phase::phase;

use super::Context;
use crate::arguments::EngineArgs;
use crate::engine::{AtRest, EngineName, Phase, RunOutcome, RunPlan, in_own_process};
use crate::report::{Figure, Judged, Report};
use crate::scratch::settle_disk;

pub(super) async fn run(context: &Context, args: &EngineArgs) -> Result<Report> {
    let pair_count = context.common.or(args.pairs, 5, 1);
    let bytes = context.common.or(args.volume.mib, 2_048, 256) << 20;
    context.scratch.ensure_room(3 * bytes)?;
    let mut report = context.begin("engine").await?;
    let mut pairs = Vec::new();
    for pair in 0..pair_count {
        // Whoever is first in one pair is second in the next.
        let mut order = EngineName::ALL;
        if pair % 2 == 1 {
            order.reverse();
        }
        let mut outcomes = Vec::new();
        for engine in order {
            let directory = context.scratch.fresh(engine.as_str())?;
            settle_disk();
            let plan = RunPlan {
                engine,
                at_rest: AtRest::Sealed,
                phase_bytes: vec![bytes],
                shape: args.shape,
            };
            let outcome = in_own_process(&plan, directory.path()).await?;
            tell(pair, &outcome);
            report.detail(&outcome)?;
            outcomes.push(outcome);
        }
        outcomes.sort_by_key(|outcome| outcome.plan.engine == EngineName::Rocksdb);
        pairs.push(outcomes);
    }
    report.figures = figures(&pairs);
    report.notes.push(
        "user and system time of the whole process, from opening an empty store until everything is \
         sealed, or flushed and compacted"
            .to_owned(),
    );
    Ok(report)
}

fn tell(pair: usize, outcome: &RunOutcome) {
    let run = &outcome.phases[0];
    phase(format_args!(
        "engine: pair {}: {}: {:.3} CPU s/GB ({:.2} user, {:.2} system), {:.0} MB/s accepted, drained \
         after {:.1} s, {:.2} bytes written per byte",
        pair + 1,
        outcome.plan.engine.as_str(),
        run.cpu_per_gb(),
        run.cpu.user,
        run.cpu.system,
        run.accepted_mb_per_second(),
        run.total_seconds,
        run.for_each_byte(run.written.by_calls),
    ));
}

fn figures(pairs: &[Vec<RunOutcome>]) -> Vec<Figure> {
    let of =
        |pair: &[RunOutcome], engine: usize, read: fn(&Phase) -> f64| read(&pair[engine].phases[0]);
    let ratios = pairs
        .iter()
        .map(|pair| of(pair, 0, Phase::cpu_per_gb) / of(pair, 1, Phase::cpu_per_gb));
    let ratio = Figure::new("engine.cpu_ratio", "journal/rocksdb", ratios.collect());
    let mut figures = vec![ratio.judged(Judged::Median, 0.6, 0.4)];
    for (position, engine) in EngineName::ALL.into_iter().enumerate() {
        let mut add = |what: &str, unit, read: fn(&Phase) -> f64| {
            let samples = pairs.iter().map(|pair| of(pair, position, read)).collect();
            let name = format!("engine.{}.{what}", engine.as_str());
            figures.push(Figure::new(name, unit, samples));
        };
        add("cpu", "CPU s/GB", Phase::cpu_per_gb);
        add("accepted", "MB/s", Phase::accepted_mb_per_second);
        add("drained", "s", |run| run.total_seconds);
        add("latency_p50", "ms", |run| run.latency_p50_us as f64 / 1e3);
        add("latency_p99", "ms", |run| run.latency_p99_us as f64 / 1e3);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Account, Shape};
    use crate::process::{CpuSeconds, Written};
    use crate::report::Verdict;

    fn outcome(engine: EngineName, cpu: f64) -> RunOutcome {
        let run = Phase {
            accepted_bytes: 2_000_000_000,
            batches: 1,
            accept_seconds: 4.0,
            total_seconds: 5.0,
            latency_p50_us: 1_500,
            latency_p99_us: 2_500,
            cpu: CpuSeconds {
                user: cpu / 2.0,
                system: cpu / 2.0,
            },
            written: Written::default(),
            account: Account::default(),
            unsealed_bytes_added: 0,
            device_bytes_written: None,
        };
        RunOutcome {
            plan: RunPlan {
                engine,
                at_rest: AtRest::Sealed,
                phase_bytes: vec![2_000_000_000],
                shape: Shape::default(),
            },
            phases: vec![run],
        }
    }

    #[test]
    fn the_ratio_is_that_of_each_pair() {
        let pair = |ours, theirs| {
            vec![
                outcome(EngineName::Journal, ours),
                outcome(EngineName::Rocksdb, theirs),
            ]
        };
        let figures = figures(&[pair(1.0, 2.0), pair(3.0, 2.0), pair(1.0, 4.0)]);
        assert_eq!(figures[0].samples, [0.5, 1.5, 0.25]);
        assert_eq!(figures[0].verdict, Some(Verdict::Reached));
        let cpu = figures
            .iter()
            .find(|figure| figure.name == "engine.rocksdb.cpu");
        assert_eq!(cpu.unwrap().samples, [1.0, 1.0, 2.0]);
        let rate = figures
            .iter()
            .find(|figure| figure.name == "engine.journal.accepted");
        assert_eq!(rate.unwrap().summary.median, 500.0);
    }
}
