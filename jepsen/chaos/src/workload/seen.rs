//! A record as history knows it.

use flotilla_checker::history::{Offset, SeenRecord};
use flotilla_client::ConsumerRecord;

use crate::payload::decode;

pub(crate) fn seen_record(record: &ConsumerRecord) -> SeenRecord {
    SeenRecord {
        offset: Offset::new(record.offset.get()),
        value: record.value.as_deref().and_then(decode),
        hash: None,
    }
}
