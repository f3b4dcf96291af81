//! How an operation ended.

use serde::{Deserialize, Serialize};

use super::Nanos;

/// A request, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call<Q, A> {
    pub request: Q,
    pub outcome: Outcome<A>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome<A> {
    Ok {
        at: Nanos,
        answer: A,
    },
    /// Surely not done.
    Failed {
        at: Nanos,
        reason: String,
    },
    /// Perhaps done, perhaps not, perhaps still to be done: a timeout or a lost connection.
    Unknown {
        at: Nanos,
        reason: String,
    },
    /// Not ended when the run was. It is judged like an unknown one.
    Open,
}

impl<A> Outcome<A> {
    /// When the client knew how it ended, if it ever did.
    pub const fn completed_at(&self) -> Option<Nanos> {
        match self {
            Self::Ok { at, .. } | Self::Failed { at, .. } | Self::Unknown { at, .. } => Some(*at),
            Self::Open => None,
        }
    }

    /// When it was surely done, and the answer.
    pub const fn ok(&self) -> Option<(Nanos, &A)> {
        match self {
            Self::Ok { at, answer } => Some((*at, answer)),
            Self::Failed { .. } | Self::Unknown { .. } | Self::Open => None,
        }
    }

    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Open)
    }

    /// The outcome without its answer.
    pub fn kind(&self) -> Outcome<()> {
        match self {
            Self::Ok { at, .. } => Outcome::Ok {
                at: *at,
                answer: (),
            },
            Self::Failed { at, reason } => Outcome::Failed {
                at: *at,
                reason: reason.clone(),
            },
            Self::Unknown { at, reason } => Outcome::Unknown {
                at: *at,
                reason: reason.clone(),
            },
            Self::Open => Outcome::Open,
        }
    }
}
