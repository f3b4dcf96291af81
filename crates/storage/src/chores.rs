//! What waits for the sealer. Any thread may add to it; none waits for it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use flotilla_types::RaftGroupId;
use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub(crate) struct Chores {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queues: [GroupQueue; Chore::ALL.len()],
    stop: bool,
}

/// Groups in the order in which they were named, each of them once. First come, first served: a busy
/// group that is named again at once waits behind all others.
#[derive(Default)]
struct GroupQueue {
    order: VecDeque<RaftGroupId>,
    present: HashSet<RaftGroupId>,
}

/// What can be asked of the sealer for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    /// It may have a run that is worth a segment.
    Seal,
    /// As `Seal`, and the journal has synced all that was applied when the chore was asked for.
    SealNow,
    /// As `SealNow`, and its run has to leave the journal even when it is small.
    MakeRoom,
    /// A purge point is durable.
    DropPurged,
    /// Its tombstone is durable in the journal and in the tables.
    DropRemoved,
    /// A reset is durable, and what the tables hold of former lives has to go.
    SweepReset,
}

impl Chore {
    const ALL: [Self; 6] = [
        Self::Seal,
        Self::SealNow,
        Self::MakeRoom,
        Self::DropPurged,
        Self::DropRemoved,
        Self::SweepReset,
    ];

    /// What is merely due can wait until the sealer looks around.
    const fn is_urgent(self) -> bool {
        !matches!(self, Self::Seal)
    }
}

impl GroupQueue {
    fn push(&mut self, group: RaftGroupId) -> bool {
        let is_new = self.present.insert(group);
        if is_new {
            self.order.push_back(group);
        }
        is_new
    }

    fn pop(&mut self) -> Option<RaftGroupId> {
        let group = self.order.pop_front()?;
        self.present.remove(&group);
        Some(group)
    }
}

impl State {
    fn queue(&mut self, chore: Chore) -> &mut GroupQueue {
        &mut self.queues[chore as usize]
    }

    fn is_urgent(&self) -> bool {
        let mut urgent = Chore::ALL.into_iter().filter(|chore| chore.is_urgent());
        self.stop || urgent.any(|chore| !self.queues[chore as usize].order.is_empty())
    }
}

impl Chores {
    pub(crate) fn ask(&self, chore: Chore, group: RaftGroupId) {
        let mut state = self.state.lock();
        if state.queue(chore).push(group) && chore.is_urgent() {
            self.changed.notify_all();
        }
    }

    /// All groups that wait for this chore.
    pub(crate) fn take_all(&self, chore: Chore) -> Vec<RaftGroupId> {
        let queue = std::mem::take(self.state.lock().queue(chore));
        queue.order.into()
    }

    pub(crate) fn take_one(&self, chore: Chore) -> Option<RaftGroupId> {
        self.state.lock().queue(chore).pop()
    }

    pub(crate) fn is_waiting(&self, chore: Chore) -> bool {
        !self.state.lock().queue(chore).order.is_empty()
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }

    /// Waits until something urgent is asked for, at most `longest`.
    pub(crate) fn wait(&self, longest: Duration) {
        let mut state = self.state.lock();
        if !state.is_urgent() {
            self.changed.wait_for(&mut state, longest);
        }
    }

    /// Waits for the whole time, unless the sealer is stopped.
    pub(crate) fn pause(&self, time: Duration) {
        let mut state = self.state.lock();
        self.changed
            .wait_while_for(&mut state, |state| !state.stop, time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_waits_once_and_in_turn() {
        let chores = Chores::default();
        for group in [7, 3, 7, 5] {
            chores.ask(Chore::SealNow, RaftGroupId::new(group));
        }
        assert_eq!(chores.take_one(Chore::SealNow), Some(RaftGroupId::new(7)));
        chores.ask(Chore::SealNow, RaftGroupId::new(7));
        let rest: Vec<_> = chores.take_all(Chore::SealNow);
        assert_eq!(rest, [3, 5, 7].map(RaftGroupId::new));
        assert!(!chores.is_waiting(Chore::SealNow));
    }
}
