//! From the payload of a request to a batch that its partition's leader has begun to append.
//!
//! Records with message ids may be stored already, all or some of them. Those are left out, and what
//! remains is packed anew, until nothing that is known is left.

use std::collections::HashMap;

use flotilla_protocol::v1::produce_request::Payload;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::{AppendError, Appended, Partition, Submitted, Ticket};
use flotilla_state::partition::IdentifiedRecord;
use flotilla_types::{MessageId, Offset, RecordBatch, Term, Timestamp, TopicConfig};

use super::answer::{RecordPlace, Stored};
use super::payload;
use super::validation::Unvalidated;
use crate::node::Node;
use crate::router::Located;

/// What a request asks to be stored, checked.
pub(crate) enum Submission {
    Batch(RecordBatch),
    /// With the batch of all that are not known to be stored.
    Identified(IdentifiedRecords, RecordBatch),
}

/// Records of which some have message ids.
pub(crate) struct IdentifiedRecords {
    records: Vec<v1::Record>,
    ids: Vec<Option<MessageId>>,
    slots: Vec<Slot>,
    config: TopicConfig,
}

/// What is known of a record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// It is to be stored.
    New,
    /// It is there already.
    Known(Offset),
    /// An earlier record of the request has the same message id.
    SameAs(usize),
}

/// A submission that the partition has taken.
pub(crate) struct Taken {
    ticket: Option<Ticket>,
    slots: Vec<Slot>,
    pub(crate) record_count: u32,
    pub(crate) bytes: usize,
    term: Term,
}

/// Why a submission came to nothing.
pub(crate) enum Fault {
    Refused(ApiError),
    Append(AppendError),
}

impl Submission {
    /// `now` is the timestamp of records that have none.
    pub(crate) async fn read(
        node: &Node,
        payload: &Payload,
        located: &Located,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let schema = node.schema_in_force(located).await?;
        let submission = Self::unpack(payload, &located.config, now).await?;
        if let Some(schema) = schema {
            node.validate(&schema, submission.unvalidated()).await?;
        }
        Ok(submission)
    }

    async fn unpack(
        payload: &Payload,
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        if let Payload::Records(records) = payload
            && config.deduplication_window_ms > 0
            && records
                .records
                .iter()
                .any(|record| record.message_id.is_some())
        {
            let identified = IdentifiedRecords::read(&records.records, config)?;
            // All of them are checked, those that will be left out too.
            let batch = identified.pack(now)?;
            return Ok(Self::Identified(identified, batch));
        }
        payload::to_batch(payload, config, now)
            .await
            .map(Self::Batch)
    }

    fn unvalidated(&self) -> Unvalidated {
        match self {
            Self::Batch(batch) => Unvalidated::Batch(batch.clone()),
            Self::Identified(identified, _) => {
                let records = identified.records.iter();
                Unvalidated::Values(records.map(|record| record.value.clone()).collect())
            }
        }
    }

    pub(crate) async fn submit(self, partition: Partition, now: Timestamp) -> Result<Taken, Fault> {
        match self {
            Self::Batch(batch) => {
                let ticket = partition.submit(&batch, now).await;
                Ok(Taken {
                    ticket: Some(ticket.map_err(Fault::Append)?),
                    slots: Vec::new(),
                    record_count: batch.record_count(),
                    bytes: batch.len(),
                    term: partition.leadership().epoch.to_term(),
                })
            }
            Self::Identified(records, batch) => records.submit(batch, partition, now).await,
        }
    }
}

impl IdentifiedRecords {
    fn read(records: &[v1::Record], config: &TopicConfig) -> Result<Self, ApiError> {
        let mut ids = Vec::with_capacity(records.len());
        let mut slots = Vec::with_capacity(records.len());
        let mut first = HashMap::new();
        for (number, record) in records.iter().enumerate() {
            let id = record.message_id.as_deref().map(payload::read_message_id);
            let id = id.transpose()?;
            let earlier = id.and_then(|id| first.get(&id).copied());
            slots.push(earlier.map_or(Slot::New, Slot::SameAs));
            if let (Some(id), None) = (id, earlier) {
                first.insert(id, number);
            }
            ids.push(id);
        }
        Ok(Self {
            records: records.to_vec(),
            ids,
            slots,
            config: *config,
        })
    }

    /// The numbers of the records that are to be stored.
    fn new_records(&self) -> Vec<usize> {
        let slots = self.slots.iter().enumerate();
        let new = slots.filter(|(_, slot)| **slot == Slot::New);
        new.map(|(number, _)| number).collect()
    }

    fn pack(&self, now: Timestamp) -> Result<RecordBatch, ApiError> {
        let records = self.records.iter().zip(&self.slots);
        let new = records.filter(|(_, slot)| **slot == Slot::New);
        payload::pack(new.map(|(record, _)| record), &self.config, now)
    }

    /// `batch` holds the records that are not known to be stored.
    async fn submit(
        mut self,
        mut batch: RecordBatch,
        partition: Partition,
        now: Timestamp,
    ) -> Result<Taken, Fault> {
        loop {
            let new = self.new_records();
            let term = partition.leadership().epoch.to_term();
            let identified = (0..).zip(&new).filter_map(|(position, number)| {
                let id = (*self.ids.get(*number)?)?;
                Some(IdentifiedRecord { position, id })
            });
            let identified: Vec<_> = identified.collect();
            let ids = (self.config.deduplication_window_ms, &identified[..]);
            let submitted = partition.submit_identified(&batch, ids, now).await;
            match submitted.map_err(Fault::Append)? {
                Submitted::Accepted(ticket) => {
                    return Ok(Taken {
                        ticket: Some(ticket),
                        slots: self.slots,
                        record_count: batch.record_count(),
                        bytes: batch.len(),
                        term,
                    });
                }
                Submitted::Known(known) => {
                    for known in known {
                        let number = new.get(known.position as usize);
                        if let Some(slot) = number.and_then(|number| self.slots.get_mut(*number)) {
                            *slot = Slot::Known(known.offset);
                        }
                    }
                    if !self.slots.contains(&Slot::New) {
                        return Ok(Taken {
                            ticket: None,
                            slots: self.slots,
                            record_count: 0,
                            bytes: 0,
                            term,
                        });
                    }
                    batch = self.pack(now).map_err(Fault::Refused)?;
                }
            }
        }
    }
}

impl Taken {
    /// Where everything is, once it is stored on a majority.
    pub(crate) async fn wait(self) -> Result<Stored, AppendError> {
        let mut stored = match self.ticket {
            Some(ticket) => Stored::from(ticket.wait().await?),
            None => all_known(&self.slots, self.term),
        };
        stored.records = places(&self.slots, stored.base_offset);
        Ok(stored)
    }
}

fn all_known(slots: &[Slot], term: Term) -> Stored {
    let known = slots.iter().find_map(|slot| match slot {
        Slot::Known(offset) => Some(*offset),
        Slot::New | Slot::SameAs(_) => None,
    });
    let offset = known.unwrap_or(Offset::ZERO);
    Stored::from(Appended {
        base_offset: offset,
        end_offset: offset,
        duplicate: true,
        term,
    })
}

fn places(slots: &[Slot], base_offset: Offset) -> Vec<RecordPlace> {
    let mut next_offset = base_offset;
    let mut places: Vec<RecordPlace> = Vec::with_capacity(slots.len());
    for slot in slots {
        let place = match slot {
            Slot::New => {
                let offset = next_offset;
                next_offset = next_offset.advance(1);
                RecordPlace {
                    offset,
                    duplicate: false,
                }
            }
            Slot::Known(offset) => RecordPlace {
                offset: *offset,
                duplicate: true,
            },
            Slot::SameAs(number) => RecordPlace {
                offset: places
                    .get(*number)
                    .map_or(base_offset, |place| place.offset),
                duplicate: true,
            },
        };
        places.push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use flotilla_types::ErrorCode;

    use super::*;

    fn records(ids: &[Option<&str>]) -> Vec<v1::Record> {
        let record = |id: &Option<&str>| v1::Record {
            message_id: id.map(str::to_owned),
            ..v1::Record::default()
        };
        ids.iter().map(record).collect()
    }

    #[test]
    fn of_equal_ids_in_one_request_the_first_is_stored() {
        let ids = [Some("a"), None, Some("b"), Some("a"), None];
        let read = IdentifiedRecords::read(&records(&ids), &TopicConfig::default()).unwrap();
        assert_eq!(read.new_records(), [0, 1, 2, 4]);
        let places = places(&read.slots, Offset::new(7));
        let offsets: Vec<_> = places
            .iter()
            .map(|place| (place.offset.get(), place.duplicate))
            .collect();
        assert_eq!(
            offsets,
            [(7, false), (8, false), (9, false), (7, true), (10, false)]
        );
    }

    #[test]
    fn an_id_without_or_with_too_much_text_is_refused() {
        for id in [String::new(), "a".repeat(257)] {
            let records = records(&[Some(&id)]);
            let error = IdentifiedRecords::read(&records, &TopicConfig::default()).err();
            assert_eq!(
                error.map(|error| error.code),
                Some(ErrorCode::InvalidArgument)
            );
        }
    }
}
