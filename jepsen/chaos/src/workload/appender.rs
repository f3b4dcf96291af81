//! Sends batches and writes down what became of them. Each batch goes to one partition, in one request
//! that the client sends again only if it surely did nothing.

use flotilla_checker::history::{ClientKind, Offset, Place, Produce, Produced, RecordValue};
use flotilla_client::{
    Client, ClientError, PartitionIndex, ProducerRecord, Publication, Published,
};
use rand::RngExt;
use rand::rngs::StdRng;

use super::field::{Field, LoadedTopic, Patience};
use super::pace::Pace;
use crate::payload::encode;
use crate::recorder::ProcessLog;

/// How often a client is thrown away: once in so many batches.
const CRASH_ONE_IN: u32 = 500;

pub(crate) struct Appender {
    client: Client,
    log: ProcessLog,
    topic: LoadedTopic,
    patience: Patience,
}

impl Appender {
    pub(crate) fn new(
        field: &Field,
        topic: LoadedTopic,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            client: field.client_with(patience)?,
            log: field.process(ClientKind::Native),
            topic,
            patience,
        })
    }

    /// Sends batches at this pace, each to a partition that chance picks.
    pub(super) async fn run(mut self, field: Field, mut pace: Pace, batch: u32) {
        let mut rng: StdRng = field.rng(&self.log);
        while pace.next().await {
            let partition = rng.random_range(0..self.topic.partitions);
            self.append(PartitionIndex::new(partition), batch).await;
            if rng.random_ratio(1, CRASH_ONE_IN)
                && let Ok(client) = field.client_with(self.patience)
            {
                self.client = client;
            }
        }
    }

    /// Whether all of the batch is stored.
    pub(crate) async fn append(&mut self, partition: PartitionIndex, count: u32) -> bool {
        let values: Vec<_> = (0..count).map(|_| self.log.next_value()).collect();
        let publication = |value: &RecordValue| {
            let record = ProducerRecord::new(self.topic.name.clone(), encode(*value));
            Publication::new(record.partition(partition))
        };
        let publications = values.iter().map(publication).collect();
        let invoked_at = self.log.now();
        let name = self.topic.partition(partition);
        let whole = self.log.begin(Produce::new(name.clone(), values.clone()));
        let outcomes = self.client.publish(publications).await;
        if let Some(answer) = places(&outcomes) {
            whole.ok(answer);
            return true;
        }
        let first_error = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        if let Some(error) = first_error
            && outcomes.iter().all(Result::is_err)
        {
            let all_definite = outcomes
                .iter()
                .all(|outcome| outcome.as_ref().is_err_and(ClientError::is_definite));
            if all_definite {
                whole.error(error);
            } else {
                whole.unknown(&error.to_string());
            }
            return false;
        }
        // A batch that was sent in parts. The whole stays open, and each part says its own.
        drop(whole);
        for (value, outcome) in values.iter().zip(&outcomes) {
            let part = Produce::new(name.clone(), [*value]);
            let part = self.log.begin_at(invoked_at, part);
            part.end_with(outcome.as_ref().map(produced));
        }
        false
    }
}

fn places(outcomes: &[Result<Published, ClientError>]) -> Option<Produced> {
    let places = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().ok().map(place));
    let places = places.collect::<Option<Vec<_>>>()?;
    Some(Produced { places })
}

fn produced(published: &Published) -> Produced {
    Produced {
        places: vec![place(published)],
    }
}

const fn place(published: &Published) -> Place {
    Place {
        offset: Offset::new(published.offset.get()),
        is_duplicate: published.duplicate,
    }
}
