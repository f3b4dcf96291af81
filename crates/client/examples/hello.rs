//! Writes a few records and reads them back.
//!
//! Start a cluster with `flotilla dev`, then run `cargo run -p flotilla-client --example hello`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use flotilla_client::{
    Client, ClientConfig, ClientError, ConsumerConfig, ErrorCode, NewTopic, OffsetSpec,
    ProducerConfig, ProducerRecord, TopicName, Until,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(ClientConfig::new(["127.0.0.1:7400"])).await?;
    let topic = TopicName::parse("greetings")?;
    create(&client, &topic).await?;

    let producer = client.producer(ProducerConfig::default())?;
    for name in ["Ada", "Grace", "Barbara"] {
        let record = ProducerRecord::new(topic.clone(), format!("hello {name}")).key(name);
        let delivered = producer.send(record).await?.await?;
        println!("{name} -> {}/{}", delivered.partition, delivered.offset);
    }
    producer.close().await?;

    let mut consumer = client.consumer(ConsumerConfig {
        until: Until::HighWatermark,
        ..ConsumerConfig::default()
    })?;
    consumer.assign_topic(&topic, OffsetSpec::Earliest).await?;
    loop {
        let records = consumer.poll(100).await?;
        if records.is_empty() {
            return Ok(());
        }
        for record in records {
            let value = record.value.unwrap_or_default();
            let text = String::from_utf8_lossy(&value);
            println!("{}/{}: {text}", record.partition, record.offset);
        }
    }
}

async fn create(client: &Client, topic: &TopicName) -> Result<(), ClientError> {
    let new_topic = NewTopic::new(topic.clone()).partitions(3);
    match client.admin().create_topic(new_topic).await {
        Err(error) if error.code() != ErrorCode::TopicExists => Err(error),
        _ => Ok(()),
    }
}
