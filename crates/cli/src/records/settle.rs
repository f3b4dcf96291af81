//! The second half of `produce`: waits for acknowledgements and counts them.

use std::time::Duration;

use flotilla_client::{ClientError, Delivered};
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::feed::{Fed, goes_on_after};
use super::produce_arguments::OnError;
use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::{Exit, Io, Output};

/// After so many, failures are only counted.
const FAILURES_TOLD_MAX: u64 = 10;
/// Records that are settled before the next look at interruptions.
const BURST_MAX: usize = 1_024;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// What became of the input.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) acknowledged: u64,
    /// Keys, values and headers of acknowledged records.
    pub(super) acknowledged_bytes: u64,
    /// Lines that are no records.
    pub(super) malformed: u64,
    /// Records that surely were not written.
    pub(super) failed: u64,
    /// Records that may have been written or not.
    pub(super) unknown: u64,
    pub(super) interruptions: u32,
    /// Reading the input or printing offsets failed.
    pub(super) broken: u64,
    /// How the first failure ends the command if nothing was acknowledged.
    first_failure: Option<Exit>,
}

/// Takes what a [`Feeder`](super::feed::Feeder) hands over, in the order of the input.
pub(super) struct Settler<D> {
    pub(super) input: mpsc::Receiver<Fed<D>>,
    pub(super) on_error: OnError,
    /// Told when the feeder shall read no further.
    pub(super) stop: CancellationToken,
    pub(super) format: OutputFormat,
    pub(super) print_offsets: bool,
    pub(super) tally: Tally,
    /// Sent, taken from the input, and not settled.
    pub(super) waiting: Option<Waiting<D>>,
}

pub(super) struct Waiting<D> {
    line: u64,
    payload_bytes: u64,
    delivery: D,
}

enum Settled {
    Delivered {
        line: u64,
        payload_bytes: u64,
        result: Result<Delivered, ClientError>,
    },
    Malformed(Failure),
    Broken(Failure),
}

impl Tally {
    pub(super) fn exit(&self) -> Exit {
        match self.first_failure {
            _ if self.interruptions > 0 => Exit::Interrupted,
            None => Exit::Done,
            Some(_) if self.acknowledged > 0 => Exit::Partial,
            Some(exit) => exit,
        }
    }

    fn failures(&self) -> u64 {
        self.malformed + self.failed + self.unknown + self.broken
    }
}

impl<D> Settler<D>
where
    D: Future<Output = Result<Delivered, ClientError>> + Unpin,
{
    /// Runs until everything that was fed is settled. The first interruption makes the feeder stop;
    /// a second one gives up on what is not settled.
    pub(super) async fn run(mut self, io: &mut Io) -> Tally {
        let Io {
            output, interrupt, ..
        } = io;
        let started = Instant::now();
        let mut progress = interval(PROGRESS_INTERVAL);
        progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let shows_progress = output.can_show_progress(self.print_offsets);
        loop {
            tokio::select! {
                biased;
                () = interrupt.raised() => {
                    self.tally.interruptions += 1;
                    self.stop.cancel();
                    if self.tally.interruptions > 1 {
                        self.give_up();
                        break;
                    }
                    output.note("interrupted: waiting for acknowledgements; again to give up");
                }
                _ = progress.tick(), if shows_progress => {
                    let seconds = started.elapsed().as_secs();
                    output.progress(format_args!(
                        "{} records acknowledged, {seconds} s", self.tally.acknowledged
                    ));
                }
                settled = self.next_settled() => match settled {
                    Some(settled) => {
                        self.on_settled(settled, output);
                        self.settle_burst(output);
                    }
                    None => break,
                },
            }
        }
        self.tally
    }

    /// Takes what is settled already: a batch is acknowledged as a whole.
    fn settle_burst(&mut self, output: &mut Output) {
        for _ in 0..BURST_MAX {
            match self.next_settled().now_or_never() {
                Some(Some(settled)) => self.on_settled(settled, output),
                Some(None) | None => return,
            }
        }
    }

    /// `None` when all is settled. Cancel safe.
    async fn next_settled(&mut self) -> Option<Settled> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                let result = (&mut waiting.delivery).await;
                let (line, payload_bytes) = (waiting.line, waiting.payload_bytes);
                self.waiting = None;
                return Some(Settled::Delivered {
                    line,
                    payload_bytes,
                    result,
                });
            }
            match self.input.recv().await? {
                Fed::Sent {
                    line,
                    payload_bytes,
                    delivery,
                } => {
                    self.waiting = Some(Waiting {
                        line,
                        payload_bytes,
                        delivery,
                    });
                }
                Fed::Malformed {
                    line,
                    fault: source,
                } => return Some(Settled::Malformed(Failure::Input { line, source })),
                Fed::Rejected { line, error } => {
                    return Some(Settled::Delivered {
                        line,
                        payload_bytes: 0,
                        result: Err(error),
                    });
                }
                Fed::Broken(failure) => return Some(Settled::Broken(failure)),
            }
        }
    }

    fn on_settled(&mut self, settled: Settled, output: &mut Output) {
        match settled {
            Settled::Delivered {
                line,
                payload_bytes,
                result: Ok(delivered),
            } => {
                self.tally.acknowledged += 1;
                self.tally.acknowledged_bytes += payload_bytes;
                if let Err(failure) = self.print(line, delivered, output) {
                    // What is on its way is still waited for; printing ends.
                    self.print_offsets = false;
                    self.stop.cancel();
                    self.tally.broken += 1;
                    self.tell(&failure, output);
                }
            }
            Settled::Delivered {
                line,
                result: Err(error),
                ..
            } => {
                if !goes_on_after(&error, self.on_error) {
                    self.stop.cancel();
                }
                match error.is_definite() {
                    true => self.tally.failed += 1,
                    false => self.tally.unknown += 1,
                }
                let failure = Failure::cluster(format!("write line {line}"))(error);
                self.tell(&failure, output);
            }
            Settled::Malformed(failure) => {
                self.tally.malformed += 1;
                self.tell(&failure, output);
            }
            Settled::Broken(failure) => {
                self.tally.broken += 1;
                self.tell(&failure, output);
            }
        }
    }

    /// Prints where a record went, at once if nothing else is about to be printed.
    fn print(&self, line: u64, record: Delivered, output: &mut Output) -> Result<(), Failure> {
        if !self.print_offsets {
            return Ok(());
        }
        let (partition, offset) = (record.partition.get(), record.offset.get());
        match self.format {
            OutputFormat::Table => output.line(format_args!("{partition}\t{offset}"))?,
            OutputFormat::Json => output.json(&serde_json::json!({
                "line": line,
                "partition": partition,
                "offset": offset,
            }))?,
        }
        match self.input.is_empty() {
            true => output.flush(),
            false => Ok(()),
        }
    }

    fn tell(&mut self, failure: &Failure, output: &mut Output) {
        self.tally
            .first_failure
            .get_or_insert_with(|| failure.exit());
        match self.tally.failures() {
            ..=FAILURES_TOLD_MAX => failure.report(output, self.format),
            told if told == FAILURES_TOLD_MAX + 1 => {
                output.note("more failures follow; they are counted and not told");
            }
            _ => {}
        }
    }

    /// Counts what has come in and is not waited for any more.
    fn give_up(&mut self) {
        let waiting = self.waiting.take();
        if let Some(waiting) = waiting {
            self.abandon(waiting.payload_bytes, waiting.delivery);
        }
        while let Ok(fed) = self.input.try_recv() {
            match fed {
                Fed::Sent {
                    payload_bytes,
                    delivery,
                    ..
                } => self.abandon(payload_bytes, delivery),
                Fed::Malformed { .. } => self.tally.malformed += 1,
                Fed::Rejected { .. } => self.tally.failed += 1,
                Fed::Broken(_) => self.tally.broken += 1,
            }
        }
    }

    fn abandon(&mut self, payload_bytes: u64, delivery: D) {
        match delivery.now_or_never() {
            Some(Ok(_)) => {
                self.tally.acknowledged += 1;
                self.tally.acknowledged_bytes += payload_bytes;
            }
            Some(Err(error)) if error.is_definite() => self.tally.failed += 1,
            Some(Err(_)) | None => self.tally.unknown += 1,
        }
    }
}
