//! What the groups of a store hold, as a test sees them.

use std::collections::BTreeMap;

use bytes::Bytes;
use flotilla_types::{LogId, RaftGroupId};

use crate::entry::LogEntry;
use crate::error::StorageError;
use crate::rig::Rig;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupModel {
    pub(crate) entries: BTreeMap<u64, LogEntry>,
    pub(crate) purged: Option<LogId>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) removed: bool,
}

pub(crate) type Groups = BTreeMap<u32, GroupModel>;

impl GroupModel {
    pub(crate) fn last(&self) -> Option<LogId> {
        let last = self.entries.last_key_value().map(|(_, entry)| entry.id);
        last.or(self.purged)
    }
}

pub(crate) fn observe(rig: &Rig, id: u32) -> GroupModel {
    let log = match rig.storage().group(RaftGroupId::new(id)) {
        Ok(log) => log,
        Err(StorageError::Removed(_)) => {
            return GroupModel {
                removed: true,
                ..GroupModel::default()
            };
        }
        Err(error) => panic!("group {id}: {error}"),
    };
    let entries = rig
        .read_all(id)
        .unwrap_or_else(|error| panic!("group {id}: {error}"));
    let entries: BTreeMap<_, _> = entries
        .into_iter()
        .map(|entry| (entry.id.index.get(), entry))
        .collect();
    let model = GroupModel {
        entries,
        purged: log.bounds().last_purged,
        vote: log.vote(),
        removed: false,
    };
    assert_eq!(log.bounds().last, model.last(), "end of group {id}");
    model
}

pub(crate) fn matches(found: &Groups, expected: &Groups) -> bool {
    let nothing = GroupModel::default();
    found
        .iter()
        .all(|(id, group)| expected.get(id).unwrap_or(&nothing) == group)
}

pub(crate) fn describe(groups: &Groups) -> String {
    let groups = groups.iter().map(|(id, group)| {
        let ids: Vec<_> = group.entries.values().map(|entry| entry.id.to_string()).collect();
        let (first, last) = (ids.first(), ids.last());
        let GroupModel { purged, vote, removed, .. } = group;
        format!(
            "\n  {id}: {} entries {first:?}..{last:?} purged {purged:?} vote {vote:?} removed {removed}",
            ids.len(),
        )
    });
    groups.collect()
}
