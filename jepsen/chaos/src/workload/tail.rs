//! Reads of the tail while others append: no read may miss what was acknowledged before.

use std::time::Duration;

use flotilla_checker::history::{ClientKind, Offset, TailRead};
use flotilla_client::{Client, OffsetSpec};
use tokio::task::JoinSet;

use super::Workload;
use super::appender::Appender;
use super::field::{Field, LoadedTopic, Patience};
use super::pace::Pace;
use crate::recorder::ProcessLog;

const PRODUCERS: u32 = 2;
const READERS: u32 = 2;
const BATCH: u32 = 10;
const PERIOD: Duration = Duration::from_millis(100);

pub(super) fn start(field: &Field, processes: &mut JoinSet<()>) -> anyhow::Result<()> {
    let topic = field.topic(Workload::Tail.name())?;
    for _ in 0..PRODUCERS {
        let pace = Pace::of_rate(field.rate(), (PRODUCERS, BATCH), field.stop());
        let appender = Appender::new(field, topic.clone(), Patience::Usual)?;
        processes.spawn(appender.run(field.clone(), pace, BATCH));
    }
    for _ in 0..READERS {
        let (client, log) = (field.client()?, field.process(ClientKind::Native));
        let pace = Pace::every(PERIOD, field.stop());
        processes.spawn(read_tails(client, log, topic.clone(), pace));
    }
    Ok(())
}

async fn read_tails(client: Client, log: ProcessLog, topic: LoadedTopic, mut pace: Pace) {
    while pace.next().await {
        for index in topic.indexes() {
            read_tail(&client, &log, &topic, index).await;
        }
    }
}

async fn read_tail(
    client: &Client,
    log: &ProcessLog,
    topic: &LoadedTopic,
    index: flotilla_client::PartitionIndex,
) {
    let partition = topic.partition(index);
    let reading = log.begin(TailRead { partition });
    let admin = client.admin();
    let answer = admin
        .list_offsets(&topic.name, &[index], OffsetSpec::Latest)
        .await;
    let mut offsets = match answer {
        Ok(offsets) => offsets.into_iter(),
        Err(error) => return reading.error(&error),
    };
    match offsets.next().map(|found| found.offset) {
        Some(offset) => {
            let offset = offset.as_ref().map(|offset| Offset::new(offset.get()));
            reading.end_with(offset);
        }
        None => reading.failed("the partition is missing from the answer"),
    }
}
