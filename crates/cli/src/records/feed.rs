//! The first half of `produce`: from lines to records that are on their way.

use flotilla_client::{ClientError, ErrorCode, ProducerRecord};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::input::{InputFault, RecordReader};
use super::lines::{Line, Lines};
use super::produce_arguments::OnError;
use super::sink::Sink;
use crate::failure::Failure;
use crate::pace::Pace;
use crate::values::Rate;

/// What became of a line at first.
pub(super) enum Fed<D> {
    Sent {
        line: u64,
        payload_bytes: u64,
        delivery: D,
    },
    /// No record.
    Malformed { line: u64, fault: InputFault },
    /// A record that the producer did not take.
    Rejected { line: u64, error: ClientError },
    /// The input cannot be read any further.
    Broken(Failure),
}

pub(super) struct Feeder<S: Sink> {
    pub(super) lines: Lines,
    pub(super) reader: RecordReader,
    pub(super) sink: S,
    pub(super) rate: Option<Rate>,
    pub(super) on_error: OnError,
    /// Read no further.
    pub(super) stop: CancellationToken,
}

impl<S: Sink> Feeder<S> {
    /// Sends the input until its end, until it is told to stop or until an error ends it. Then it
    /// sees to it that nothing lingers.
    pub(super) async fn run(mut self, output: mpsc::Sender<Fed<S::Delivery>>) {
        let stop = self.stop.clone();
        let mut pace = None;
        let mut sent_count = 0;
        loop {
            if let Some(rate) = self.rate {
                let pace = pace.get_or_insert_with(|| Pace::new(Instant::now(), rate));
                tokio::select! {
                    () = sleep_until(pace.due(sent_count)) => {}
                    () = stop.cancelled() => break,
                }
            }
            // Room for the outcome comes first, so that no record is sent of which nobody hears. One
            // that is abandoned while it waits for room in the producer is not sent.
            let feeding = async {
                let permit = output.reserve().await.ok()?;
                Some((permit, self.feed_line().await?))
            };
            let fed = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                fed = feeding => fed,
            };
            let Some((permit, fed)) = fed else { break };
            sent_count += u64::from(matches!(fed, Fed::Sent { .. }));
            let goes_on = self.goes_on_after(&fed);
            permit.send(fed);
            if !goes_on {
                break;
            }
        }
        self.sink.flush().await;
    }

    /// `None` at the end of the input.
    async fn feed_line(&mut self) -> Option<Fed<S::Delivery>> {
        loop {
            let Line { number, bytes } = match self.lines.next().await {
                Ok(line) => line?,
                Err(failure) => return Some(Fed::Broken(failure)),
            };
            match self.reader.read(bytes) {
                Ok(Some(record)) => return Some(self.send(number, record).await),
                Ok(None) => {}
                Err(fault) => {
                    return Some(Fed::Malformed {
                        line: number,
                        fault,
                    });
                }
            }
        }
    }

    async fn send(&self, line: u64, record: ProducerRecord) -> Fed<S::Delivery> {
        let payload_bytes = payload_bytes(&record);
        match self.sink.send(record).await {
            Ok(delivery) => Fed::Sent {
                line,
                payload_bytes,
                delivery,
            },
            Err(error) => Fed::Rejected { line, error },
        }
    }

    fn goes_on_after(&self, fed: &Fed<S::Delivery>) -> bool {
        match fed {
            Fed::Sent { .. } => true,
            Fed::Malformed { .. } => self.on_error == OnError::Skip,
            Fed::Rejected { error, .. } => goes_on_after(error, self.on_error),
            Fed::Broken(_) => false,
        }
    }
}

/// Only what is wrong with one record can be skipped. What is wrong with the topic or the cluster
/// would meet every record that follows.
pub(super) fn goes_on_after(error: &ClientError, on_error: OnError) -> bool {
    let is_about_the_record = matches!(
        error.code(),
        ErrorCode::BatchMalformed
            | ErrorCode::BatchTooLarge
            | ErrorCode::InvalidArgument
            | ErrorCode::UnknownPartition
    );
    on_error == OnError::Skip && is_about_the_record
}

/// Key, value and headers.
fn payload_bytes(record: &ProducerRecord) -> u64 {
    let headers = record.headers.iter();
    let headers = headers.map(|header| {
        let value_bytes = header.value.as_ref().map_or(0, |value| value.len());
        header.key.len() + value_bytes
    });
    let fields = [&record.key, &record.value].into_iter().flatten();
    let bytes = fields.map(|bytes| bytes.len()).sum::<usize>() + headers.sum::<usize>();
    bytes as u64
}
