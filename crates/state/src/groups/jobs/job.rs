//! The jobs of one coordinator, and who owns them.

use std::collections::BTreeMap;

use flotilla_types::{JobName, MemberId, Timestamp};

use super::JobRejection;

/// The jobs of one coordinator. There are none at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// How often anybody acquired any job. Tokens come from here, and so it outlives the jobs: one
    /// that was forgotten begins again with a greater token.
    pub(super) acquisitions: u64,
    pub(super) jobs: BTreeMap<JobName, Job>,
}

/// A job exists from its first owner on, until it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Count of the token of the owner, or of the last one.
    pub token_count: u64,
    pub owner: Option<JobOwner>,
    /// When it was acquired, released or taken away last.
    pub changed_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOwner {
    pub id: MemberId,
    pub client_name: String,
    pub session_timeout_ms: u32,
    /// When it became the owner.
    pub acquired_at: Timestamp,
    /// Which of all acquisitions at this coordinator was this owner's last. No two are equal. The
    /// first one is its token; it is another one if the owner has asked again.
    pub acquired: u64,
}

impl Jobs {
    pub fn job(&self, name: &JobName) -> Option<&Job> {
        self.jobs.get(name)
    }

    /// By name.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = (&JobName, &Job)> {
        self.jobs.iter()
    }

    /// The owner of a job under this token.
    pub fn owner(&self, name: &JobName, owner: &MemberId, token_count: u64) -> Option<&JobOwner> {
        let job = self.jobs.get(name)?;
        let owned = job.owner.as_ref().filter(|known| known.id == *owner);
        owned.filter(|_| job.token_count == token_count)
    }

    /// Why this one cannot become the owner of the job at this moment, if somebody else is.
    pub fn held_by_another(&self, name: &JobName, owner: &MemberId) -> Option<JobRejection> {
        let known = self.jobs.get(name)?.owner.as_ref()?;
        (known.id != *owner).then(|| JobRejection::JobHeld {
            job: name.clone(),
            owner: known.id.clone(),
            client_name: known.client_name.clone(),
        })
    }
}
