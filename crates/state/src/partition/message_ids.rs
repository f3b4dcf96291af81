//! The ids of messages that were appended lately, so that none is appended twice.
//!
//! How long an id counts is said by whoever asks, because that is the topic's configuration: the
//! commands that the leader proposes carry it.

use std::collections::{HashMap, VecDeque};

use flotilla_types::limits::PARTITION_MESSAGE_IDS_MAX;
use flotilla_types::{MessageId, Offset, Timestamp};

/// A record with a message id: its place in the batch, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifiedRecord {
    pub position: u32,
    pub id: MessageId,
}

/// Where a record with a message id is already, and which record of a batch has the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRecord {
    pub position: u32,
    pub offset: Offset,
}

/// Message ids with the records that had them first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageIds {
    records: HashMap<MessageId, Remembered>,
    /// Oldest first. One whose record is another one by now was replaced.
    by_age: VecDeque<(MessageId, Remembered)>,
    /// How long they counted when one was last appended, in milliseconds.
    pub(super) window_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) offset: Offset,
    pub(super) appended_at: Timestamp,
}

impl MessageIds {
    /// Where the record with this id is, if it was appended at `oldest` or later.
    pub(super) fn find(&self, id: MessageId, oldest: Timestamp) -> Option<Offset> {
        let known = self.records.get(&id)?;
        (known.appended_at >= oldest).then_some(known.offset)
    }

    /// Whether as many more can be remembered, once those before `oldest` are forgotten.
    pub(super) fn has_room(&self, more: usize, oldest: Timestamp) -> bool {
        let expired = self
            .by_age
            .partition_point(|(_, remembered)| remembered.appended_at < oldest);
        self.by_age.len() - expired + more <= PARTITION_MESSAGE_IDS_MAX
    }

    /// Times must not go back from call to call.
    pub(super) fn remember(&mut self, id: MessageId, remembered: Remembered) {
        self.records.insert(id, remembered);
        self.by_age.push_back((id, remembered));
    }

    /// Forgets those that did not count any more at `now`.
    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        let oldest = now.minus_millis(self.window_ms.into());
        let is_old =
            |(_, remembered): &mut (MessageId, Remembered)| remembered.appended_at < oldest;
        while let Some((id, remembered)) = self.by_age.pop_front_if(is_old) {
            if self.records.get(&id) == Some(&remembered) {
                self.records.remove(&id);
            }
        }
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &(MessageId, Remembered)> {
        self.by_age.iter()
    }
}
