use std::io::Cursor;

use clap::{FromArgMatches, Parser};
use futures::{FutureExt, StreamExt, stream};

use super::super::fake_sink::FakeSink;
use super::*;
use crate::output::Captured;
use crate::{ClientCommand, Interrupt};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: ClientCommand,
    #[command(flatten)]
    global: GlobalOptions,
}

/// What came of producing an input to a [`FakeSink`].
struct Run {
    sink: FakeSink,
    tally: Tally,
    captured: Captured,
}

fn arguments(given: &[&str]) -> (ProduceArgs, OutputFormat) {
    let line = ["flotilla", "produce", "orders"].iter().chain(given);
    let matches = <Line as clap::CommandFactory>::command().get_matches_from(line);
    let line = Line::from_arg_matches(&matches).unwrap();
    match line.command {
        ClientCommand::Produce(args) => (*args, line.global.output),
        _ => unreachable!("the line is that of produce"),
    }
}

async fn produce_with(
    given: &[&str],
    input: impl Read + Send + 'static,
    interrupt: impl FnOnce(&FakeSink) -> Interrupt,
) -> Run {
    let (args, format) = arguments(given);
    let (output, captured) = Captured::new();
    let sink = FakeSink::default();
    let mut io = Io {
        input: Box::new(io::empty()),
        output,
        interrupt: interrupt(&sink),
        user: None,
    };
    let lines = Lines::start(Box::new(input), "stdin").unwrap();
    let tally = pump(&args, lines, sink.clone(), format, &mut io).await;
    summarize(&tally, Duration::from_secs(2), format, &mut io.output).unwrap();
    Run {
        sink,
        tally,
        captured,
    }
}

async fn produce(given: &[&str], input: &str) -> Run {
    produce_with(given, Cursor::new(input.to_owned()), never).await
}

fn never(_: &FakeSink) -> Interrupt {
    Interrupt::new(stream::pending())
}

/// Interruptions that begin when the sink has taken so many records.
fn after(taken: usize, interruptions: usize) -> impl FnOnce(&FakeSink) -> Interrupt {
    move |sink| {
        let sink = sink.clone();
        let first = async move {
            while sink.taken().len() < taken {
                tokio::task::yield_now().await;
            }
        };
        let others = stream::repeat(()).take(interruptions - 1);
        let all = first.into_stream().chain(others);
        Interrupt::new(StreamExt::chain(all, stream::pending()))
    }
}

#[tokio::test]
async fn every_line_becomes_a_record_and_nothing_is_printed_on_stdout() {
    let run = produce(&["--key-separator", ":", "--header", "a=b"], "k:1\nk:2\n").await;
    assert_eq!(run.tally.exit(), Exit::Done);
    let values = run.sink.taken().into_iter().map(|record| record.value);
    assert_eq!(
        values.collect::<Vec<_>>(),
        [Some("1".into()), Some("2".into())]
    );
    assert_eq!(run.sink.taken()[0].headers[0].key, "a");
    assert_eq!(run.captured.data(), "");
    let summary = "2 records acknowledged, 8 bytes, in 2.000 s: 1 records/s, 0.0 MB/s\n";
    assert_eq!(run.captured.notes(), summary);
}

#[tokio::test]
async fn an_empty_input_is_done_at_once() {
    let run = produce(&[], "").await;
    assert_eq!(run.tally.exit(), Exit::Done);
    assert_eq!(run.tally.acknowledged, 0);
}

#[tokio::test]
async fn offsets_are_printed_in_the_order_of_the_input() {
    let run = produce(&["--print-offsets"], "a\nb\nc").await;
    assert_eq!(run.captured.data(), "0\t0\n0\t1\n0\t2\n");
}

#[tokio::test]
async fn json_output_ends_with_a_summary_on_stdout() {
    let run = produce(&["-o", "json", "--print-offsets"], "a\n").await;
    let data = run.captured.data();
    let lines: Vec<serde_json::Value> = (data.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["offset"], 0);
    assert_eq!(lines[1]["records"], 1);
    assert_eq!(lines[1]["records_per_second"], 0.5);
    assert_eq!(run.captured.notes(), "");
}

#[tokio::test]
async fn a_malformed_line_stops_and_what_came_before_counts() {
    let input = "{\"value\":\"a\"}\nnonsense\n{\"value\":\"b\"}\n";
    let run = produce(&["--format", "jsonl"], input).await;
    assert_eq!((run.tally.acknowledged, run.tally.malformed), (1, 1));
    assert_eq!(run.tally.exit(), Exit::Partial);
    assert!(run.captured.notes().contains("line 2 of the input"));
    assert_eq!(run.sink.taken().len(), 1);
}

#[tokio::test]
async fn a_malformed_first_line_is_a_plain_failure() {
    let run = produce(&["--format", "jsonl"], "nonsense\n").await;
    assert_eq!(run.tally.exit(), Exit::Failed);
}

#[tokio::test]
async fn lines_that_are_no_records_or_too_large_can_be_skipped() {
    let input = "1:a\nno separator\n2:reject:BATCH_TOO_LARGE\n3:fail:BATCH_TOO_LARGE\n4:b\n";
    let run = produce(&["--key-separator", ":", "--on-error", "skip"], input).await;
    let tally = &run.tally;
    assert_eq!(
        (tally.acknowledged, tally.malformed, tally.failed),
        (2, 1, 2)
    );
    assert_eq!(tally.exit(), Exit::Partial);
    assert!(run.captured.notes().contains("write line 3"));
}

#[tokio::test]
async fn what_is_wrong_with_the_topic_is_not_skipped() {
    let run = produce(&["--on-error", "skip"], "reject:UNKNOWN_TOPIC\na\n").await;
    assert_eq!((run.tally.acknowledged, run.tally.failed), (0, 1));
    assert_eq!(run.tally.exit(), Exit::NotFound);
}

#[tokio::test]
async fn an_outcome_that_nobody_knows_is_counted_as_such() {
    let run = produce(&[], "a\nfail:TIMEOUT\n").await;
    assert_eq!((run.tally.acknowledged, run.tally.unknown), (1, 1));
    assert_eq!(run.tally.exit(), Exit::Partial);
    assert!(
        run.captured
            .notes()
            .contains("may have been written or not")
    );
}

#[tokio::test]
async fn many_failures_are_told_only_in_part() {
    let given = ["--format", "jsonl", "--on-error", "skip"];
    let run = produce(&given, &"nonsense\n".repeat(500)).await;
    assert_eq!(run.tally.malformed, 500);
    assert_eq!(run.captured.notes().matches("error:").count(), 10);
}

#[tokio::test]
async fn an_interruption_ends_reading_and_waits_for_acknowledgements() {
    let endless = io::repeat(b'\n');
    let run = produce_with(&[], endless, after(100, 1)).await;
    assert_eq!(run.tally.exit(), Exit::Interrupted);
    assert!(run.tally.acknowledged >= 100);
    assert_eq!(run.tally.acknowledged, run.sink.taken().len() as u64);
    assert_eq!(run.tally.unknown, 0);
}

#[tokio::test]
async fn a_second_interruption_gives_up_and_says_what_is_unknown() {
    let run = produce_with(&[], Cursor::new("a\nhang\nb\n"), after(3, 2)).await;
    assert_eq!(run.tally.exit(), Exit::Interrupted);
    assert_eq!((run.tally.acknowledged, run.tally.unknown), (2, 1));
}

#[tokio::test]
async fn a_rate_spreads_the_records_over_time() {
    let started = Instant::now();
    let run = produce(&["--rate", "10/s"], "a\nb\nc\n").await;
    assert_eq!(run.tally.acknowledged, 3);
    assert!(started.elapsed() >= Duration::from_millis(200));
}
