//! `bench produce`: writes records and measures how long each one takes.

use flotilla_client::{Admin, ErrorCode, NewTopic};
use tokio::time::Instant;

use super::arguments::BenchProduceArgs;
use super::load::{Load, LoadClient};
use super::payloads::Payloads;
use super::report::{LatencyOf, LoadReport, Report, Throughput};
use super::supervise::{Clients, Ended};
use crate::failure::Failure;
use crate::pace::Pace;
use crate::records::Sink;
use crate::{Exit, GlobalOptions, Io};

pub(super) async fn run(
    args: BenchProduceArgs,
    global: &GlobalOptions,
    io: &mut Io,
) -> Result<Exit, Failure> {
    let preparing = prepare(&args, global);
    let producers = io.interrupt.unless_raised(preparing).await?;
    let started = Instant::now();
    let Ended {
        results,
        was_interrupted,
    } = start(&args, producers, started).join(io).await?;
    let mut load = Load::new();
    results.into_iter().for_each(|result| load.add(result));
    report(&args, &load, started, was_interrupted).print(global.output, &mut io.output)?;

    let acknowledged = load.acknowledged;
    if let Some(error) = load.first_error {
        let failure = Failure::cluster(format!("write to topic {}", args.load.topic))(error);
        if acknowledged == 0 {
            return Err(failure);
        }
        failure.report(&mut io.output, global.output);
        return Ok(Exit::Partial);
    }
    Ok(match was_interrupted {
        true => Exit::Interrupted,
        false => Exit::Done,
    })
}

/// Makes sure of the topic and connects all clients, so that none of that is measured.
async fn prepare(
    args: &BenchProduceArgs,
    global: &GlobalOptions,
) -> Result<Vec<impl Sink>, Failure> {
    let topic = &args.load.topic;
    let mut producers = Vec::new();
    for client in 0..args.load.clients {
        let connection = global.connect().await?;
        if client == 0 {
            ensure_topic(args, &connection.admin()).await?;
        }
        let producer = connection.producer(args.batching.to_config());
        producers.push(producer.map_err(Failure::cluster(format!("write to topic {topic}")))?);
    }
    Ok(producers)
}

async fn ensure_topic(args: &BenchProduceArgs, admin: &Admin) -> Result<(), Failure> {
    let topic = &args.load.topic;
    if let Some(partitions) = args.partitions {
        let wanted = NewTopic {
            partitions: Some(partitions),
            replication_factor: args.replication_factor,
            ..NewTopic::new(topic.clone())
        };
        match admin.create_topic(wanted).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code() == ErrorCode::TopicExists => {}
            Err(error) => return Err(Failure::cluster(format!("create topic {topic}"))(error)),
        }
    }
    let described = admin.describe_topic(topic).await;
    described.map_err(Failure::cluster(format!(
        "find topic {topic}, which --partitions N would create"
    )))?;
    Ok(())
}

fn start<S: Sink<Delivery: 'static>>(
    args: &BenchProduceArgs,
    producers: Vec<S>,
    started: Instant,
) -> Clients<Load> {
    let mut clients = Clients::new();
    let client_count = producers.len();
    for (client, sink) in producers.into_iter().enumerate() {
        let client = client as u64;
        let load = LoadClient {
            sink,
            topic: args.load.topic.clone(),
            payloads: Payloads::new(client, args.record_size),
            ordinals: (client..args.records).step_by(client_count),
            window: args.load.window as usize,
            pace: args.rate.map(|rate| Pace::new(started, rate)),
            stop: clients.stop.clone(),
            acknowledged: clients.done.clone(),
        };
        clients.running.spawn(load.run());
    }
    clients
}

fn report(args: &BenchProduceArgs, load: &Load, started: Instant, was_interrupted: bool) -> Report {
    let ended = load.last_acknowledged_at.unwrap_or(started);
    Report {
        operation: "produce",
        topic: args.load.topic.to_string(),
        clients: args.load.clients,
        window: args.load.window,
        throughput: Throughput::new(load.acknowledged, load.bytes, ended - started),
        latency_ms: load.latencies.percentiles(),
        latency_of: match args.rate {
            Some(_) => LatencyOf::DueTimeToAcknowledgement,
            None => LatencyOf::SendToAcknowledgementInClosedWindow,
        },
        load: Some(LoadReport {
            record_size: args.record_size,
            compression: args.batching.compression.as_str(),
            rate: args.rate.map(|rate| rate.per_second()),
            send_lateness_ms: load.lateness.percentiles(),
            records_failed: load.failed,
        }),
        interrupted: was_interrupted,
    }
}
