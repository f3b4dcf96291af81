//! The replicated state of one coordinator and the questions that can be asked of it.

use std::collections::BTreeMap;

use flotilla_types::GroupId;

use super::Group;
use super::jobs::Jobs;

/// What every replica of a coordinator knows after the same entries. It starts empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorState {
    /// How often anybody joined any group. It outlives the groups, so that the expiry of a member of
    /// a group that was deleted cannot meet another one.
    pub(super) joins: u64,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) jobs: Jobs,
}

impl CoordinatorState {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.get(id)
    }

    /// By id.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&GroupId, &Group)> {
        self.groups.iter()
    }

    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }
}
