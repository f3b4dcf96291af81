//! What every process of a run is given.

use std::sync::Arc;
use std::time::Duration;

use flotilla_checker::history::{ClientKind, TopicPartition};
use flotilla_client::{Client, ClientConfig, NewTopic, PartitionIndex, TopicName};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::recorder::{ProcessLog, Recorder};

/// The cluster as clients see it, the log of the run, and how much is to be done.
#[derive(Clone, Debug)]
pub struct Field {
    options: FieldOptions,
    topics: Arc<Mutex<Vec<LoadedTopic>>>,
}

#[derive(Clone, Debug)]
pub struct FieldOptions {
    pub recorder: Recorder,
    pub client_addresses: Vec<String>,
    pub http_addresses: Vec<String>,
    pub seed: u64,
    /// Records per second.
    pub rate: u32,
    pub stop: CancellationToken,
}

/// How long a client waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// So long that a new leader may answer.
    Usual,
    /// So short that it never knows what became of a request to a leader that stands still.
    Little,
}

/// A topic that records are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedTopic {
    pub name: TopicName,
    pub partitions: u32,
}

impl Field {
    pub fn new(options: FieldOptions) -> Self {
        Self {
            options,
            topics: Arc::default(),
        }
    }

    pub(super) fn with_rate(&self, rate: u32) -> Self {
        let mut field = self.clone();
        field.options.rate = rate;
        field
    }

    pub(super) const fn rate(&self) -> u32 {
        self.options.rate
    }

    pub(super) const fn stop(&self) -> &CancellationToken {
        &self.options.stop
    }

    pub(super) fn http_addresses(&self) -> &[String] {
        &self.options.http_addresses
    }

    /// A fresh client, with so little patience that outages show in its answers.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.client_with(Patience::Usual)
    }

    pub(super) fn client_with(&self, patience: Patience) -> anyhow::Result<Client> {
        let deadline = match patience {
            Patience::Usual => Duration::from_millis(2_500),
            Patience::Little => Duration::from_millis(400),
        };
        let config = ClientConfig {
            deadline,
            attempt_timeout: Duration::from_millis(700),
            connect_timeout: Duration::from_secs(1),
            ..ClientConfig::new(self.options.client_addresses.iter().cloned())
        };
        Ok(Client::unconnected(config)?)
    }

    pub(super) fn process(&self, client: ClientKind) -> ProcessLog {
        self.options.recorder.process(client)
    }

    /// The chances of one process.
    pub(super) fn rng(&self, process: &ProcessLog) -> StdRng {
        let number = u64::from(process.number().get());
        StdRng::seed_from_u64(self.options.seed.wrapping_mul(1_000_003) ^ number)
    }

    /// Every topic that was made so far.
    pub fn topics(&self) -> Vec<LoadedTopic> {
        self.topics.lock().clone()
    }

    pub(super) fn topic(&self, name: &str) -> anyhow::Result<LoadedTopic> {
        let topics = self.topics.lock();
        let found = topics.iter().find(|topic| topic.name.as_str() == name);
        found
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("there is no topic {name}"))
    }

    pub(super) async fn create_topic(&self, name: &str, partitions: u32) -> anyhow::Result<()> {
        let name = TopicName::parse(name)?;
        let topic = NewTopic::new(name.clone()).partitions(partitions);
        self.client()?.admin().create_topic(topic).await?;
        self.topics.lock().push(LoadedTopic { name, partitions });
        Ok(())
    }
}

impl LoadedTopic {
    pub fn partition(&self, index: PartitionIndex) -> TopicPartition {
        TopicPartition::new(self.name.as_str(), index.get())
    }

    pub fn indexes(&self) -> impl Iterator<Item = PartitionIndex> + use<> {
        (0..self.partitions).map(PartitionIndex::new)
    }
}
