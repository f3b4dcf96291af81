//! A stand-in for a producer, whose cluster is a script.

use std::sync::{Arc, Mutex};

use flotilla_client::{
    ApiError, ClientError, Delivered, ErrorCode, Offset, PartitionIndex, ProducerRecord,
};
use futures::future::BoxFuture;

use super::sink::Sink;

/// Acknowledges records in order, except that the value of a record can ask for something else:
/// `reject:CODE` is not taken, `fail:CODE` fails later, `hang` is never settled.
#[derive(Clone, Default)]
pub(crate) struct FakeSink {
    taken: Arc<Mutex<Vec<ProducerRecord>>>,
}

impl FakeSink {
    pub(crate) fn taken(&self) -> Vec<ProducerRecord> {
        self.taken.lock().unwrap().clone()
    }
}

impl Sink for FakeSink {
    type Delivery = BoxFuture<'static, Result<Delivered, ClientError>>;

    async fn send(&self, record: ProducerRecord) -> Result<Self::Delivery, ClientError> {
        let value = record.value.clone().unwrap_or_default();
        let value = String::from_utf8_lossy(&value).into_owned();
        if let Some(code) = value.strip_prefix("reject:") {
            return Err(error(code));
        }
        let mut taken = self.taken.lock().unwrap();
        let offset = Offset::new(taken.len() as u64);
        taken.push(record);
        Ok(Box::pin(async move {
            match value.strip_prefix("fail:") {
                Some(code) => return Err(error(code)),
                None if value == "hang" => std::future::pending().await,
                None => {}
            }
            Ok(Delivered {
                partition: PartitionIndex::new(0),
                offset,
            })
        }))
    }

    async fn flush(&self) {}
}

fn error(code: &str) -> ClientError {
    let code = ErrorCode::parse(code).unwrap();
    ApiError::new(code, "as the script says").into()
}
