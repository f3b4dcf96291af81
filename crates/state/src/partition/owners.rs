//! The owners of jobs whose producers append here, each fenced in before its first batch.
//!
//! A job has one owner after the other, each with a greater fencing token, and the producer of an owner
//! is known by that token. A partition takes its batches only while its token is the last one that was
//! fenced in for the job. So an owner that was paused, and wakes when another one has begun, can append
//! nothing: neither where it had appended before nor where it never had.
//!
//! An owner may start several producers, one after the other, which all begin with the first sequence.
//! So that none is taken for another, each is an instance of its own: fencing one in gives it the next
//! epoch, and only batches of the latest are taken. To fence the latest in again changes nothing.
//!
//! What is forgotten stays fenced: of each coordinator's tokens the greatest that was forgotten is kept,
//! and none up to it is fenced in again. An owner that is still there gets itself a new token then.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::batch::BatchProducer;
use flotilla_types::limits::{PARTITION_OWNERS_MAX, PRODUCER_EPOCH_MAX};
use flotilla_types::{FencingToken, JobName, Offset, ProducerEpoch, ProducerId};

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
    /// The latest instance of the owner's producer, as it calls itself, and its epoch.
    pub(super) instance: u64,
    pub(super) epoch: ProducerEpoch,
    /// The next offset of the log when the owner was last heard of.
    pub(super) heard_at: Offset,
}

/// What fencing has come to.
pub(super) struct Fenced {
    pub(super) epoch: ProducerEpoch,
    /// Who may not append any more.
    pub(super) replaced: Option<FencingToken>,
}

impl Owner {
    /// The epoch of this instance, which is the latest from now on.
    fn start(&mut self, instance: u64) -> Result<ProducerEpoch, Rejection> {
        if self.instance != instance {
            let next = self.epoch.get().saturating_add(1);
            if next > PRODUCER_EPOCH_MAX {
                return Err(Rejection::OwnerFenced { found: self.token });
            }
            self.epoch = ProducerEpoch::new(next);
            self.instance = instance;
        }
        Ok(self.epoch)
    }
}

impl OwnerTable {
    /// Refuses producers of owners whose time has passed, or has not come.
    pub(super) fn check(&self, producer: BatchProducer) -> Result<(), Rejection> {
        let Some(token) = producer.id.token() else {
            return Ok(());
        };
        let job = self.jobs.get(&token);
        let owner = job.and_then(|job| self.owners.get(job));
        match owner {
            None => Err(Rejection::OwnerFenced { found: token }),
            Some(owner) if owner.epoch != producer.epoch => Err(Rejection::ProducerFenced {
                producer: producer.id,
                current: owner.epoch,
                found: producer.epoch,
            }),
            Some(_) => Ok(()),
        }
    }

    /// Makes this instance of the owner's producer the one that may append for the job.
    pub(super) fn fence(
        &mut self,
        job: &JobName,
        token: FencingToken,
        instance: u64,
        next_offset: Offset,
    ) -> Result<Fenced, Rejection> {
        if let Some(owner) = self.owners.get_mut(job)
            && owner.token == token
        {
            return owner.start(instance).map(|epoch| Fenced {
                epoch,
                replaced: None,
            });
        }
        let known = self.owners.get(job).map(|owner| owner.token);
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
                instance,
                epoch: ProducerEpoch::new(0),
                heard_at: next_offset,
            },
        );
        Ok(Fenced {
            epoch: ProducerEpoch::new(0),
            replaced: known,
        })
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

    /// Forgets the one that was silent longest if there are too many, but not the owner of this job, and
    /// returns its token.
    pub(super) fn forget_surplus(&mut self, but_not: &JobName) -> Option<FencingToken> {
        if self.owners.len() <= PARTITION_OWNERS_MAX {
            return None;
        }
        let mut others = self.by_silence.iter().filter(|(_, job)| job != but_not);
        let (_, job) = others.next().cloned()?;
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
