//! `produce`: writes lines as records and says what became of them.
//!
//! ```text
//!   lines -> feeder -> producer
//!               |          | acknowledgements
//!               +-- queue -+-> settler -> offsets, counts, errors
//! ```
//!
//! Both halves run in one task and end together. The settler alone knows the outcome: a record
//! counts when the cluster has acknowledged it, and each one that was sent is waited for, even
//! after an error or an interruption.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use flotilla_client::{Header, Producer};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::feed::Feeder;
use super::input::{InputFormat, RecordReader};
use super::lines::Lines;
use super::produce_arguments::ProduceArgs;
use super::settle::{Settler, Tally};
use super::sink::Sink;
use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::{Exit, GlobalOptions, Io, Output};

/// Records between the two halves. The producer bounds their bytes until they are acknowledged.
const QUEUE_MAX: usize = 16_384;

pub(crate) async fn produce(
    args: ProduceArgs,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    if args.key_separator.is_some() && args.format != InputFormat::Lines {
        return Err(Failure::usage("--key-separator is for --format lines"));
    }
    let input = open(&args, io)?;
    let producer = io.interrupt.unless_raised(prepare(&args, global)).await?;
    let started = Instant::now();
    let tally = pump(&args, input, producer, global.output, io).await;
    summarize(&tally, started.elapsed(), global.output, &mut io.output)?;
    Ok(tally.exit())
}

fn open(args: &ProduceArgs, io: &mut Io) -> Result<Lines, Failure> {
    let Some(path) = &args.file else {
        if io::stdin().is_terminal() {
            io.output
                .note("reading records from the terminal; Ctrl-D ends the input");
        }
        let input = std::mem::replace(&mut io.input, Box::new(io::empty()));
        return Lines::start(input, "stdin");
    };
    let name = path.display().to_string();
    let input: Box<dyn Read + Send> = match File::open(path) {
        Ok(file) => Box::new(file),
        Err(source) => return Err(Failure::Read { name, source }),
    };
    Lines::start(input, &name)
}

/// Asks for the topic, so that a wrong name is known before the first line.
async fn prepare(args: &ProduceArgs, global: &GlobalOptions) -> Result<Producer, Failure> {
    let client = global.connect().await?;
    let doing = format!("write to topic {}", args.topic);
    let described = client.admin().describe_topic(&args.topic).await;
    described.map_err(Failure::cluster(doing.clone()))?;
    let producer = client.producer(args.batching.to_config());
    producer.map_err(Failure::cluster(doing))
}

/// Sends all of `input` and waits for its fate.
async fn pump<S: Sink>(
    args: &ProduceArgs,
    lines: Lines,
    sink: S,
    format: OutputFormat,
    io: &mut Io,
) -> Tally {
    let (output, input) = mpsc::channel(QUEUE_MAX);
    let stop = CancellationToken::new();
    let headers = args.headers.iter().map(|header| Header {
        key: header.key.clone(),
        value: Some(header.value.clone().into()),
    });
    let feeder = Feeder {
        lines,
        reader: RecordReader {
            topic: args.topic.clone(),
            format: args.format,
            key_separator: args.key_separator.clone(),
            partition: args.partition,
            headers: headers.collect(),
        },
        sink,
        rate: args.rate,
        on_error: args.on_error,
        stop: stop.clone(),
    };
    let settler = Settler {
        input,
        on_error: args.on_error,
        stop,
        format,
        print_offsets: args.print_offsets,
        tally: Tally::default(),
        waiting: None,
    };
    let feeding = async {
        feeder.run(output).await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        tally = settler.run(io) => tally,
        never = feeding => match never {},
    }
}

#[derive(Serialize)]
struct SummaryJson {
    records: u64,
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    bytes_per_second: f64,
    lines_malformed: u64,
    records_failed: u64,
    records_unknown: u64,
    interrupted: bool,
}

fn summarize(
    tally: &Tally,
    elapsed: Duration,
    format: OutputFormat,
    output: &mut Output,
) -> Result<(), Failure> {
    // An empty input takes no time; nothing divided by something is still nothing.
    let seconds = elapsed.as_secs_f64().max(1e-9);
    let records_per_second = tally.acknowledged as f64 / seconds;
    let bytes_per_second = tally.acknowledged_bytes as f64 / seconds;
    match format {
        OutputFormat::Json => output.json(&SummaryJson {
            records: tally.acknowledged,
            bytes: tally.acknowledged_bytes,
            seconds,
            records_per_second,
            bytes_per_second,
            lines_malformed: tally.malformed,
            records_failed: tally.failed,
            records_unknown: tally.unknown,
            interrupted: tally.interruptions > 0,
        }),
        OutputFormat::Table => {
            output.note(format_args!(
                "{} {} acknowledged, {} bytes, in {seconds:.3} s: {records_per_second:.0} \
                 records/s, {:.1} MB/s",
                tally.acknowledged,
                if tally.acknowledged == 1 {
                    "record"
                } else {
                    "records"
                },
                tally.acknowledged_bytes,
                bytes_per_second / 1e6,
            ));
            for (count, what) in [
                (tally.malformed, "lines are no records"),
                (tally.failed, "records failed and were not written"),
                (tally.unknown, "records may have been written or not"),
            ] {
                if count > 0 {
                    output.note(format_args!("{count} {what}"));
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "produce_test.rs"]
mod tests;
