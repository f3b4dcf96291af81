//! Bytes written to the disk for each byte accepted by one replica.
//!
//! ```text
//!   fresh      a fresh directory, everything sealed in the end. Journal files are filled with zeros
//!              when they are used for the first time
//!   again      as many bytes again in the same directory, everything sealed in the end
//!   as usual   a journal that keeps its newest part, as in the product, after as many bytes as it
//!              takes to make it full: the rest of a node's life
//! ```

use anyhow::Result;
use flotilla_tests::phase::phase;

use super::Context;
use crate::arguments::WriteAmplificationArgs;
use crate::engine::{AtRest, EngineName, Phase, RunPlan, in_own_process};
use crate::report::{Figure, Judged, Report};
use crate::scratch::settle_disk;

/// A directory that is written twice, and what its phases are called. `None`: not reported.
struct Case {
    engine: EngineName,
    at_rest: AtRest,
    phases: [Option<&'static str>; 2],
}

const CASES: [Case; 3] = [
    Case {
        engine: EngineName::Journal,
        at_rest: AtRest::Sealed,
        phases: [Some("fresh"), Some("again")],
    },
    Case {
        engine: EngineName::Journal,
        at_rest: AtRest::AsUsual,
        phases: [None, Some("as_usual")],
    },
    Case {
        engine: EngineName::Rocksdb,
        at_rest: AtRest::Sealed,
        phases: [Some("fresh"), Some("again")],
    },
];

pub(super) async fn run(context: &Context, args: &WriteAmplificationArgs) -> Result<Report> {
    let run_count = context.common.or(args.runs, 3, 1);
    let bytes = context.common.or(args.volume.mib, 2_048, 256) << 20;
    context.scratch.ensure_room(4 * bytes)?;
    let mut report = context.begin("write-amplification").await?;
    for case in &CASES {
        let plan = RunPlan {
            engine: case.engine,
            at_rest: case.at_rest,
            phase_bytes: vec![bytes, bytes],
            shape: args.shape,
        };
        let mut runs = Vec::new();
        for _ in 0..run_count {
            let directory = context.scratch.fresh(case.engine.as_str())?;
            settle_disk();
            let outcome = in_own_process(&plan, directory.path()).await?;
            report.detail(&outcome)?;
            runs.push(outcome.phases);
        }
        for (position, name) in case.phases.into_iter().enumerate() {
            if let Some(name) = name {
                let phases: Vec<_> = runs.iter().map(|phases| &phases[position]).collect();
                add_figures(&mut report, (case.engine, name), &phases);
            }
        }
    }
    report.notes.push(
        "device: what everyone wrote to the disk meanwhile, the file system's own journal included, so \
         on a busy machine an upper bound; calls: what the process handed to write calls; pages: what \
         the kernel accounts to the process (/proc/PID/io), with whole folios for parts of them; what \
         as_usual leaves in the journal on top counts as if it were sealed"
            .to_owned(),
    );
    Ok(report)
}

fn add_figures(report: &mut Report, (engine, name): (EngineName, &str), phases: &[&Phase]) {
    let prefix = format!("write_amplification.{}.{name}", engine.as_str());
    let add = |report: &mut Report, what, is_goal: bool, read: fn(&Phase) -> Option<u64>| {
        // What waits to be sealed will be written once.
        let sample = |phase: &&Phase| {
            let unsealed = phase.unsealed_bytes_added as f64 / phase.accepted_bytes as f64;
            Some(phase.for_each_byte(read(phase)?) + unsealed)
        };
        let samples: Vec<_> = phases.iter().filter_map(sample).collect();
        if samples.is_empty() {
            return;
        }
        phase(format_args!(
            "{prefix}.{what}: {samples:.3?} for each byte accepted"
        ));
        let figure = Figure::new(format!("{prefix}.{what}"), "written/accepted", samples);
        report.figures.push(match is_goal {
            true => figure.judged(Judged::Median, 2.2, 2.0),
            false => figure,
        });
    };
    let is_ours = engine == EngineName::Journal;
    add(report, "device", is_ours, |phase| {
        phase.device_bytes_written
    });
    add(report, "calls", is_ours, |phase| {
        Some(phase.written.by_calls)
    });
    add(report, "pages", false, |phase| Some(phase.written.by_pages));
}
