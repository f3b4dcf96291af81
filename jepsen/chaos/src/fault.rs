//! What can be done to a cluster.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// One fault, with everything about it that can be known before. Nodes are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed. It is started when the fault ends.
    Kill { node: usize },
    /// As `Kill`, for the node that leads most partitions at that moment.
    KillLeader,
    /// The process stands still.
    Pause { node: usize },
    /// The processes end at one moment, and what was not synchronised to disk is lost.
    PowerCut { nodes: Vec<usize> },
    /// A minority is paused while the others take writes, one of those loses power, and it forms the
    /// majority with those that were paused. Finds every sync that is missing.
    PauseThenPowerCut,
    /// Nothing gets from one node to the other. The other way it does.
    CutOneWay { from: usize, to: usize },
    /// No other node is reached, nor reaches this one.
    Isolate { node: usize },
    /// As `Isolate`, for the node that leads most partitions at that moment.
    MinorityLeader,
    /// Only this node reaches all others.
    Bridge { node: usize },
    /// Every message between nodes takes longer.
    Delay { millis: u64 },
    /// There is no room left on the disk.
    DiskFull { node: usize },
    /// A bit of what is stored is not what was written.
    BitFlip { node: usize },
    /// One node after the other is stopped and started.
    RollingRestart,
    /// A node leaves the cluster, and one comes.
    Membership,
}

/// The name of a fault, whatever it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    Kill,
    KillLeader,
    Pause,
    PowerCut,
    PauseThenPowerCut,
    CutOneWay,
    Isolate,
    MinorityLeader,
    Bridge,
    Delay,
    DiskFull,
    BitFlip,
    RollingRestart,
    Membership,
}

/// A text that names no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFault {
    text: String,
}

impl FaultKind {
    pub const ALL: [Self; 14] = [
        Self::Kill,
        Self::KillLeader,
        Self::Pause,
        Self::PowerCut,
        Self::PauseThenPowerCut,
        Self::CutOneWay,
        Self::Isolate,
        Self::MinorityLeader,
        Self::Bridge,
        Self::Delay,
        Self::DiskFull,
        Self::BitFlip,
        Self::RollingRestart,
        Self::Membership,
    ];

    /// On the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillLeader => "kill-leader",
            Self::Pause => "pause",
            Self::PowerCut => "power-cut",
            Self::PauseThenPowerCut => "pause-then-power-cut",
            Self::CutOneWay => "cut-one-way",
            Self::Isolate => "isolate",
            Self::MinorityLeader => "minority-leader",
            Self::Bridge => "bridge",
            Self::Delay => "delay",
            Self::DiskFull => "disk-full",
            Self::BitFlip => "bit-flip",
            Self::RollingRestart => "rolling-restart",
            Self::Membership => "membership",
        }
    }

    /// In a history, where it has happened.
    pub const fn event_name(self) -> &'static str {
        match self {
            Self::Kill => "node-killed",
            Self::KillLeader => "leader-killed",
            Self::Pause => "node-paused",
            Self::PowerCut => "power-cut",
            Self::PauseThenPowerCut => "paused-then-power-cut",
            Self::CutOneWay => "one-way-cut",
            Self::Isolate => "node-isolated",
            Self::MinorityLeader => "leader-isolated",
            Self::Bridge => "bridge-left",
            Self::Delay => "messages-delayed",
            Self::DiskFull => "disk-filled",
            Self::BitFlip => "bit-flipped",
            Self::RollingRestart => "restarted-by-turns",
            Self::Membership => "membership-changed",
        }
    }

    /// A fault of this kind, wherever chance has it hit.
    pub fn draw(self, node_count: usize, rng: &mut StdRng) -> Fault {
        let mut nodes: Vec<usize> = (0..node_count.max(1)).collect();
        nodes.shuffle(rng);
        let node = nodes[0];
        match self {
            Self::Kill => Fault::Kill { node },
            Self::KillLeader => Fault::KillLeader,
            Self::Pause => Fault::Pause { node },
            Self::PowerCut => {
                nodes.truncate(rng.random_range(1..=nodes.len()));
                nodes.sort_unstable();
                Fault::PowerCut { nodes }
            }
            Self::PauseThenPowerCut => Fault::PauseThenPowerCut,
            Self::CutOneWay => {
                let to = nodes[nodes.len() - 1];
                Fault::CutOneWay { from: node, to }
            }
            Self::Isolate => Fault::Isolate { node },
            Self::MinorityLeader => Fault::MinorityLeader,
            Self::Bridge => Fault::Bridge { node },
            Self::Delay => Fault::Delay {
                millis: rng.random_range(10..=150),
            },
            Self::DiskFull => Fault::DiskFull { node },
            Self::BitFlip => Fault::BitFlip { node },
            Self::RollingRestart => Fault::RollingRestart,
            Self::Membership => Fault::Membership,
        }
    }
}

impl Fault {
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Kill { .. } => FaultKind::Kill,
            Self::KillLeader => FaultKind::KillLeader,
            Self::Pause { .. } => FaultKind::Pause,
            Self::PowerCut { .. } => FaultKind::PowerCut,
            Self::PauseThenPowerCut => FaultKind::PauseThenPowerCut,
            Self::CutOneWay { .. } => FaultKind::CutOneWay,
            Self::Isolate { .. } => FaultKind::Isolate,
            Self::MinorityLeader => FaultKind::MinorityLeader,
            Self::Bridge { .. } => FaultKind::Bridge,
            Self::Delay { .. } => FaultKind::Delay,
            Self::DiskFull { .. } => FaultKind::DiskFull,
            Self::BitFlip { .. } => FaultKind::BitFlip,
            Self::RollingRestart => FaultKind::RollingRestart,
            Self::Membership => FaultKind::Membership,
        }
    }
}

impl FromStr for FaultKind {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| UnknownFault {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = FaultKind::ALL.into_iter().map(FaultKind::name).collect();
        write!(f, "{:?} is no fault: {}", self.text, names.join(", "))
    }
}

impl std::error::Error for UnknownFault {}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_kind_is_drawn_as_what_it_is_and_found_by_its_name() {
        let mut rng = StdRng::seed_from_u64(1);
        for kind in FaultKind::ALL {
            assert_eq!(kind.draw(3, &mut rng).kind(), kind);
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("earthquake".parse::<FaultKind>().is_err());
    }

    #[test]
    fn a_one_way_cut_is_between_two_nodes() {
        let mut rng = StdRng::seed_from_u64(2);
        for _ in 0..50 {
            let Fault::CutOneWay { from, to } = FaultKind::CutOneWay.draw(3, &mut rng) else {
                panic!("it is a cut");
            };
            assert_ne!(from, to);
        }
    }
}
