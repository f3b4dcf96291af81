//! What the text protocol does, done through the doors.

use std::sync::Arc;

use flotilla_client::{
    ApiError, ClientError, ErrorCode, FetchOptions, NewTopic, Publication, Shown, TopicName,
};
use flotilla_net::RemoteCertificate;
use futures::FutureExt;

use super::answer::TextRecord;
use super::backend::{Receipt, TextBackend, TextFetch, TextFetched};
use super::error::{TextCode, TextError};
use crate::door::{Door, Doors, Refusal};

/// What somebody has shown who speaks.
#[derive(Clone)]
pub struct Speaker {
    token: Option<Arc<str>>,
    certificate: RemoteCertificate,
}

/// Lets in whoever speaks, anew for each command: a token may have ended since.
pub struct ThroughDoors {
    doors: Doors,
}

impl ThroughDoors {
    pub fn new(doors: Doors) -> Self {
        Self { doors }
    }

    async fn enter(&self, speaker: &Speaker) -> Result<Arc<Door>, ClientError> {
        let shown = Shown {
            token: speaker.token.as_deref(),
            certificate: speaker.certificate.shown(),
        };
        self.doors
            .enter(shown)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Starting => {
                    let message = "the node does not serve yet: try again in a moment";
                    ApiError::new(ErrorCode::LeaderNotAvailable, message).into()
                }
                Refusal::Refused(error) => error,
            })
    }
}

impl TextBackend for ThroughDoors {
    type Caller = Speaker;

    fn newcomer(&self, certificate: &RemoteCertificate) -> Speaker {
        Speaker {
            token: None,
            certificate: certificate.clone(),
        }
    }

    async fn authenticate(&self, token: String) -> Result<Speaker, TextError> {
        let speaker = Speaker {
            token: Some(token.into()),
            certificate: RemoteCertificate::default(),
        };
        match self.enter(&speaker).await {
            Ok(_) => Ok(speaker),
            Err(error) => {
                let code = TextCode::Broker(error.code());
                Err(TextError::new(code, error.to_string()))
            }
        }
    }

    async fn partitions(
        &self,
        caller: &Self::Caller,
        topic: &TopicName,
    ) -> Result<u32, ClientError> {
        let door = self.enter(caller).await?;
        door.client.partition_count(topic).await
    }

    async fn create_topic(
        &self,
        caller: &Self::Caller,
        topic: &TopicName,
    ) -> Result<(), ClientError> {
        let door = self.enter(caller).await?;
        let topic = NewTopic::new(topic.clone()).partitions(1);
        door.client.admin().create_topic(topic).await?;
        Ok(())
    }

    async fn publish(
        &self,
        caller: &Self::Caller,
        publication: Publication,
    ) -> Result<Receipt, ClientError> {
        let door = self.enter(caller).await?;
        let submitted = door.publisher.submit(publication).await?;
        Ok(submitted.outcome().boxed())
    }

    async fn fetch(
        &self,
        caller: &Self::Caller,
        query: TextFetch,
    ) -> Result<TextFetched, ClientError> {
        let door = self.enter(caller).await?;
        let options = FetchOptions {
            records_max: query.records_max,
            bytes_max: query.bytes_max,
            wait: query.wait,
            ..FetchOptions::new(query.topic, query.partition, query.start)
        };
        let fetched = door.client.fetch(options).await?;
        let records = fetched.records.into_iter().map(|record| TextRecord {
            offset: record.offset,
            value: record.value,
        });
        Ok(TextFetched {
            records: records.collect(),
            next_offset: fetched.next,
            log_start: fetched.log_start,
            high_watermark: fetched.high_watermark,
        })
    }
}
