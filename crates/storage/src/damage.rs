//! Which groups have stored entries that are damaged or missing, and who wants to know.
//!
//! Such damage concerns one replica, so the node goes on: the group is parked and rebuilt from the
//! others. Damage to the journal concerns all groups and is a [`Failure`](crate::failure::Failure).

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{ErrorChain, RaftGroupId};
use parking_lot::Mutex;

use crate::error::StorageError;

/// Called with a group and what is wrong with it.
pub type DamageListener = Box<dyn Fn(RaftGroupId, &StorageError) + Send + Sync>;

/// Remembers the first damage of each group until the group is reset, and tells it to every
/// listener once, whenever it registers.
#[derive(Default)]
pub(crate) struct Damage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    damaged: BTreeMap<RaftGroupId, StorageError>,
    listeners: Vec<Arc<DamageListener>>,
    found_count: u64,
}

/// Listeners that have to be told. No lock may be held then.
#[must_use]
pub(crate) struct Alarm(Vec<Arc<DamageListener>>);

impl Damage {
    /// Takes note of damage. The alarm is empty for a group that is known to be damaged.
    pub(crate) fn note(&self, group: RaftGroupId, error: &StorageError) -> Alarm {
        let mut state = self.state.lock();
        if state.damaged.contains_key(&group) {
            return Alarm(Vec::new());
        }
        tracing::error!(%group, error = %ErrorChain(error), "stored entries are damaged, the replica has to be rebuilt");
        state.damaged.insert(group, error.clone());
        state.found_count += 1;
        Alarm(state.listeners.clone())
    }

    /// The group was reset: what was damaged is gone.
    pub(crate) fn forget(&self, group: RaftGroupId) {
        self.state.lock().damaged.remove(&group);
    }

    pub(crate) fn groups(&self) -> Vec<RaftGroupId> {
        self.state.lock().damaged.keys().copied().collect()
    }

    /// How often a group was found to be damaged since the start.
    pub(crate) fn found_count(&self) -> u64 {
        self.state.lock().found_count
    }

    /// Registers a listener and tells it what is known by now.
    pub(crate) fn listen(&self, listener: DamageListener) {
        let listener = Arc::new(listener);
        let known = {
            let mut state = self.state.lock();
            state.listeners.push(Arc::clone(&listener));
            state.damaged.clone()
        };
        for (group, error) in known {
            listener(group, &error);
        }
    }
}

impl Alarm {
    pub(crate) fn raise(self, group: RaftGroupId, error: &StorageError) {
        for listener in self.0 {
            listener(group, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::LogIndex;

    use super::*;

    type Heard = Arc<Mutex<Vec<(u32, u64)>>>;

    fn missing(group: u32, index: u64) -> (RaftGroupId, StorageError) {
        let (group, index) = (RaftGroupId::new(group), LogIndex::new(index));
        (group, StorageError::MissingEntry { group, index })
    }

    fn note(damage: &Damage, group: u32, index: u64) {
        let (group, error) = missing(group, index);
        damage.note(group, &error).raise(group, &error);
    }

    fn listener(heard: &Heard) -> DamageListener {
        let heard = Arc::clone(heard);
        Box::new(move |id, error| {
            let StorageError::MissingEntry { group, index } = error else {
                panic!("{error}");
            };
            assert_eq!(id, *group);
            heard.lock().push((group.get(), index.get()));
        })
    }

    #[test]
    fn each_listener_hears_once_of_each_group_until_it_is_reset() {
        let damage = Damage::default();
        let (early, late) = (Heard::default(), Heard::default());
        damage.listen(listener(&early));
        note(&damage, 7, 10);
        note(&damage, 7, 11);
        note(&damage, 3, 1);
        damage.listen(listener(&late));
        assert_eq!(*early.lock(), [(7, 10), (3, 1)]);
        assert_eq!(*late.lock(), [(3, 1), (7, 10)]);
        damage.forget(RaftGroupId::new(7));
        assert_eq!(damage.groups(), [RaftGroupId::new(3)]);
        note(&damage, 7, 12);
        assert_eq!(early.lock().last(), Some(&(7, 12)));
        assert_eq!(late.lock().last(), Some(&(7, 12)));
        assert_eq!(damage.found_count(), 3);
    }
}
