//! Operations on jobs, which one process at a time owns.

use serde::{Deserialize, Serialize};

use super::FencingToken;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobAcquire {
    pub job: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobAcquired {
    pub token: FencingToken,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRelease {
    pub job: String,
    pub token: FencingToken,
}

/// On whose behalf records are sent: an owner whom a later one fences.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobGuard {
    pub job: String,
    pub token: FencingToken,
}
