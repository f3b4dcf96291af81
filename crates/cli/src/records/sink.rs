//! What records are sent to: a producer, or its stand-in in tests.

use flotilla_client::{ClientError, Delivered, Delivery, Producer, ProducerRecord};

pub(crate) trait Sink: Clone + Send + Sync + 'static {
    type Delivery: Future<Output = Result<Delivered, ClientError>> + Send + Unpin;

    /// Takes a record, waiting while there is no room.
    fn send(
        &self,
        record: ProducerRecord,
    ) -> impl Future<Output = Result<Self::Delivery, ClientError>> + Send;

    /// Waits until the fate of everything that was sent is known. Each delivery says it by itself.
    fn flush(&self) -> impl Future<Output = ()> + Send;
}

impl Sink for Producer {
    type Delivery = Delivery;

    fn send(
        &self,
        record: ProducerRecord,
    ) -> impl Future<Output = Result<Delivery, ClientError>> + Send {
        Self::send(self, record)
    }

    async fn flush(&self) {
        // An error here is that of a delivery, which its owner sees.
        let _ = Self::flush(self).await;
    }
}
