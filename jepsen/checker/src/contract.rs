//! What a run must have been like for its verdict to mean anything. A run in which nothing was tried
//! proves nothing, and is never called valid.

use std::collections::BTreeSet;

use crate::history::Nanos;

/// The demands on a run, all of which have to be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contract {
    demands: BTreeSet<Demand>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// A fault of this name was injected, such as `leader-killed`.
    Fault(String),
    /// A record was acknowledged.
    AcknowledgedRecord,
    /// A call that could have changed something ended with an unknown outcome.
    UnknownOutcome,
    /// A consumer was given a record.
    Read,
    /// Every partition that was sent to was read at the end, whole, from this many replicas.
    FinalReads { replicas: usize },
    /// Within this time after all faults were taken back, every partition that was sent to before was
    /// tried, by a producer and by a reader. That they succeed is for the judge to find out.
    RecoveryWithin(Nanos),
}

impl Contract {
    pub fn new(demands: impl IntoIterator<Item = Demand>) -> Self {
        Self {
            demands: demands.into_iter().collect(),
        }
    }

    /// The least that a run with faults owes: records were acknowledged and read while a leader died,
    /// and some client was left in the dark.
    pub fn standard() -> Self {
        Self::new([
            Demand::Fault("leader-killed".to_owned()),
            Demand::AcknowledgedRecord,
            Demand::UnknownOutcome,
            Demand::Read,
        ])
    }

    pub fn demands(&self) -> impl Iterator<Item = &Demand> {
        self.demands.iter()
    }

    pub(crate) fn recovery_within(&self) -> Option<Nanos> {
        self.demands.iter().find_map(|demand| match demand {
            Demand::RecoveryWithin(nanos) => Some(*nanos),
            _ => None,
        })
    }
}
