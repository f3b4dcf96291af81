//! How long the demo takes: what `make demo` does after the build.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use flotilla_tests::cluster::flotilla_binary;
use flotilla_tests::phase::phase;
use tokio::process::Command;
use tokio::time::Instant;

use super::Context;
use crate::arguments::DemoArgs;
use crate::report::{Figure, Judged, Report};
use crate::scratch::settle_disk;

/// The demo stores so much, three times, while it runs.
const ROOM_BYTES: u64 = 2 << 30;

pub(super) async fn run(context: &Context, args: &DemoArgs) -> Result<Report> {
    let run_count = context.common.or(args.runs, 1, 1);
    context.scratch.ensure_room(ROOM_BYTES)?;
    let mut report = context.begin("demo").await?;
    let binary = flotilla_binary().with_file_name("demo");
    let mut seconds = Vec::new();
    for _ in 0..run_count {
        settle_disk();
        let mut command = Command::new(&binary);
        command.env("TMPDIR", context.scratch.path());
        if context.common.quick {
            command.args(["--records", "100000"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let begun = Instant::now();
        let running = command.kill_on_drop(true).spawn();
        let running = running.with_context(|| format!("cannot run {}", binary.display()))?;
        let output = running.wait_with_output().await?;
        let took = begun.elapsed().as_secs_f64();
        let told = String::from_utf8_lossy(&output.stdout);
        let verdict = told.lines().last().unwrap_or_default().to_owned();
        ensure!(output.status.success(), "the demo failed: {verdict}");
        phase(format_args!("demo: {took:.1} s; {verdict}"));
        report.notes.push(verdict);
        seconds.push(took);
    }
    let figure = Figure::new("demo.seconds", "s", seconds);
    report.figures.push(match context.common.quick {
        true => figure,
        false => figure.judged(Judged::Worst, 120.0, 60.0),
    });
    Ok(report)
}
