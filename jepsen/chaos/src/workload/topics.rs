//! Topics that come and go: what was created is listed until it is deleted, and what was deleted is not.

use std::collections::BTreeSet;
use std::time::Duration;

use flotilla_checker::history::{ClientKind, CreateTopic, DeleteTopic, ListTopics};
use flotilla_client::{Client, NewTopic, TopicName};
use rand::RngExt;
use tokio::task::JoinSet;

use super::field::Field;
use super::pace::Pace;
use crate::recorder::ProcessLog;

const PROCESSES: u32 = 2;
const PERIOD: Duration = Duration::from_millis(700);
/// Topics of one process that are there at a time.
const TOPICS_MAX: usize = 3;

pub(super) fn start(field: &Field, processes: &mut JoinSet<()>) -> anyhow::Result<()> {
    for _ in 0..PROCESSES {
        let keeper = Keeper {
            client: field.client()?,
            log: field.process(ClientKind::Native),
            names: Vec::new(),
            made: 0,
        };
        processes.spawn(keeper.run(field.clone()));
    }
    Ok(())
}

struct Keeper {
    client: Client,
    log: ProcessLog,
    /// Topics that may be there.
    names: Vec<TopicName>,
    made: u64,
}

impl Keeper {
    async fn run(mut self, field: Field) {
        let mut rng = field.rng(&self.log);
        let mut pace = Pace::every(PERIOD, field.stop());
        while pace.next().await {
            match rng.random_range(0..4) {
                0 if self.names.len() < TOPICS_MAX => self.create().await,
                1 if !self.names.is_empty() => {
                    let name = self.names.remove(0);
                    self.delete(&name).await;
                }
                _ => self.list().await,
            }
        }
    }

    async fn create(&mut self) {
        let text = format!("coming-{}-{}", self.log.number(), self.made);
        self.made += 1;
        let Ok(name) = TopicName::parse(&text) else {
            return;
        };
        let creating = self.log.begin(CreateTopic { topic: text });
        let topic = NewTopic::new(name.clone()).partitions(1);
        let created = self.client.admin().create_topic(topic).await;
        creating.end_with(created.as_ref().map(|_| ()));
        self.names.push(name);
    }

    async fn delete(&self, name: &TopicName) {
        let topic = name.to_string();
        let deleting = self.log.begin(DeleteTopic { topic });
        let deleted = self.client.admin().delete_topic(name).await;
        deleting.end_with(deleted.as_ref().copied());
    }

    async fn list(&self) {
        let listing = self.log.begin(ListTopics {});
        let listed = self.client.admin().list_topics().await;
        let names = listed.as_ref().map(|topics| {
            let names = topics.iter().map(|topic| topic.name.to_string());
            names.collect::<BTreeSet<_>>()
        });
        listing.end_with(names);
    }
}
