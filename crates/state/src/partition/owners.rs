//! The owners of jobs whose producers append here, each fenced in before its first batch.
//!
//! A job has one owner after the other, each with a greater fencing token, and the producer of an owner
//! is known by that token. A partition takes its batches only while its token is the last one that was
//! fenced in for the job. So an owner that was paused, and wakes when another one has begun, can append
//! nothing: neither where it had appended before nor where it never had.
//!
//! What is forgotten stays fenced: of each coordinator's tokens the greatest that was forgotten is kept,
//! and none up to it is fenced in again. An owner that is still there gets itself a new token then.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::limits::PARTITION_OWNERS_MAX;
use flotilla_types::{FencingToken, JobName, Offset, ProducerId};

use super::Rejection;

/// The last owner of each job that the partition remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnerTable {
    owners: BTreeMap<JobName, Owner>,
    /// Derived from `owners`, as is `by_silence`.
    jobs: BTreeMap<FencingToken, JobName>,
    by_silence: BTreeSet<(Offset, JobName)>,
    /// By coordinator: no token up to this one is fenced in any more.
    floors: BTreeMap<u8, FencingToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) token: FencingToken,
    /// The next offset of the log when the owner was last heard of.
    pub(super) heard_at: Offset,
}

impl OwnerTable {
    /// Refuses producers of owners whose time has passed, or has not come.
    pub(super) fn check(&self, producer: ProducerId) -> Result<(), Rejection> {
        match producer.token() {
            Some(token) if !self.jobs.contains_key(&token) => {
                Err(Rejection::OwnerFenced { found: token })
            }
            _ => Ok(()),
        }
    }

    /// Makes `token` the one that may append for the job, and returns the one that may not any more.
    pub(super) fn fence(
        &mut self,
        job: &JobName,
        token: FencingToken,
        next_offset: Offset,
    ) -> Result<Option<FencingToken>, Rejection> {
        let known = self.owners.get(job).map(|owner| owner.token);
        if known == Some(token) {
            return Ok(None);
        }
        let floor = self.floors.get(&token.coordinator()).copied();
        let is_taken = self.jobs.contains_key(&token);
        if !token.is_possible() || is_taken || floor.max(known) >= Some(token) {
            return Err(Rejection::OwnerFenced { found: token });
        }
        self.remove(job);
        self.insert(
            job.clone(),
            Owner {
                token,
                heard_at: next_offset,
            },
        );
        Ok(known)
    }

    /// Notes that the producer of an owner has appended at this offset.
    pub(super) fn hear(&mut self, producer: ProducerId, offset: Offset) {
        let job = producer.token().and_then(|token| self.jobs.get(&token));
        let Some(job) = job.cloned() else { return };
        if let Some(owner) = self.owners.get_mut(&job) {
            self.by_silence.remove(&(owner.heard_at, job.clone()));
            owner.heard_at = offset;
            self.by_silence.insert((offset, job));
        }
    }

    /// Forgets the one that was silent longest if there are too many, and returns its token.
    pub(super) fn forget_surplus(&mut self) -> Option<FencingToken> {
        if self.owners.len() <= PARTITION_OWNERS_MAX {
            return None;
        }
        let (_, job) = self.by_silence.first().cloned()?;
        let token = self.remove(&job)?.token;
        let floor = self.floors.entry(token.coordinator()).or_insert(token);
        *floor = token.max(*floor);
        Some(token)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&JobName, &Owner)> {
        self.owners.iter()
    }

    pub(super) fn floors(&self) -> impl Iterator<Item = FencingToken> {
        self.floors.values().copied()
    }

    /// Puts back what `iter` and `floors` told. `None` if they contradict themselves.
    pub(super) fn restore(
        owners: impl Iterator<Item = (JobName, Owner)>,
        floors: impl Iterator<Item = FencingToken>,
    ) -> Option<Self> {
        let mut table = Self::default();
        for (job, owner) in owners {
            let is_new = !table.owners.contains_key(&job) && !table.jobs.contains_key(&owner.token);
            if !is_new {
                return None;
            }
            table.insert(job, owner);
        }
        for floor in floors {
            if table.floors.insert(floor.coordinator(), floor).is_some() {
                return None;
            }
        }
        Some(table)
    }

    fn insert(&mut self, job: JobName, owner: Owner) {
        self.jobs.insert(owner.token, job.clone());
        self.by_silence.insert((owner.heard_at, job.clone()));
        self.owners.insert(job, owner);
    }

    fn remove(&mut self, job: &JobName) -> Option<Owner> {
        let owner = self.owners.remove(job)?;
        self.jobs.remove(&owner.token);
        self.by_silence.remove(&(owner.heard_at, job.clone()));
        Some(owner)
    }
}
