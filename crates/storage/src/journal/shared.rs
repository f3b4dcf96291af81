//! What the handle and the writer share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flotilla_types::RaftGroupId;
use parking_lot::{Mutex, RwLock};

use super::JournalConfig;
use super::group::{Group, GroupIndex};
use super::spares::Spares;
use super::table::FileTable;
use crate::clock::MonotonicClock;
use crate::disk::Disk;
use crate::error::StorageError;

/// No lock here is held while another one of these is taken, except a group's inside `groups`.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: JournalConfig,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn MonotonicClock>,
    pub(crate) groups: RwLock<HashMap<RaftGroupId, Arc<Group>>>,
    pub(crate) files: Mutex<FileTable>,
    pub(crate) spares: Spares,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) failure: Failure,
    /// Is told how large the journal is whenever it has taken another file.
    pub(crate) on_growth: OnceLock<GrowthCallback>,
    /// When the oldest unfinished mutation was submitted, or its write began.
    waiting_since: Mutex<Option<Duration>>,
}

/// The first failure, and who wants to know.
#[derive(Default)]
pub(crate) struct Failure(Mutex<FailureState>);

#[derive(Default)]
struct FailureState {
    error: Option<StorageError>,
    callbacks: Vec<FailureCallback>,
}

pub(crate) struct GrowthCallback(pub(crate) Box<dyn Fn(u64) + Send + Sync>);

pub(crate) type FailureCallback = Box<dyn FnOnce(&StorageError) + Send>;

impl Shared {
    pub(crate) fn new(
        config: JournalConfig,
        (disk, clock): (Arc<dyn Disk>, Arc<dyn MonotonicClock>),
        spares: Spares,
        (groups, files): (HashMap<RaftGroupId, Arc<Group>>, FileTable),
    ) -> Self {
        Self {
            config,
            disk,
            clock,
            groups: RwLock::new(groups),
            files: Mutex::new(files),
            spares,
            bytes_written: AtomicU64::new(0),
            failure: Failure::default(),
            on_growth: OnceLock::new(),
            waiting_since: Mutex::new(None),
        }
    }

    pub(crate) fn group(&self, id: RaftGroupId) -> Option<Arc<Group>> {
        self.groups.read().get(&id).map(Arc::clone)
    }

    pub(crate) fn group_or_new(&self, id: RaftGroupId) -> Arc<Group> {
        if let Some(group) = self.group(id) {
            return group;
        }
        let mut groups = self.groups.write();
        let group = groups
            .entry(id)
            .or_insert_with(|| Arc::new(Group::new(id, GroupIndex::default())));
        Arc::clone(group)
    }

    pub(crate) fn count_written(&self, bytes: u64) {
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Something waits for the writer from now on, if nothing did before.
    pub(crate) fn start_waiting(&self) {
        let mut since = self.waiting_since.lock();
        if since.is_none() {
            *since = Some(self.clock.now());
        }
    }

    /// The writer got something done; more may wait.
    pub(crate) fn stop_waiting(&self, more_waits: bool) {
        let now = more_waits.then(|| self.clock.now());
        *self.waiting_since.lock() = now;
    }

    pub(crate) fn stalled_for(&self) -> Duration {
        let since = *self.waiting_since.lock();
        since.map_or(Duration::ZERO, |since| {
            self.clock.now().saturating_sub(since)
        })
    }
}

impl Failure {
    /// Calls the callback when the journal fails, at once if it has failed.
    pub(crate) fn subscribe(&self, callback: FailureCallback) {
        let mut state = self.0.lock();
        match state.error.clone() {
            Some(error) => {
                drop(state);
                callback(&error);
            }
            None => state.callbacks.push(callback),
        }
    }

    /// The journal fails; only the first failure counts.
    pub(crate) fn report(&self, error: &StorageError) {
        let mut state = self.0.lock();
        if state.error.is_some() {
            return;
        }
        tracing::error!(error = %error.chain(), "the journal failed; nothing is acknowledged any more");
        state.error = Some(error.clone());
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        for callback in callbacks {
            callback(error);
        }
    }

    pub(crate) fn error(&self) -> Option<StorageError> {
        self.0.lock().error.clone()
    }
}

impl std::fmt::Debug for GrowthCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GrowthCallback")
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Failure").field(&self.error()).finish()
    }
}
