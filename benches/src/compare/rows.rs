//! What is compared with whom, and how it should come out.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::report::{Better, Goal, Judged};

/// One thing to be good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Records of 1 KiB with a full window
    #[value(name = "produce-1kib")]
    #[serde(rename = "produce-1kib")]
    Produce1KiB,
    /// Records of 128 bytes with a full window
    #[value(name = "produce-128b")]
    #[serde(rename = "produce-128b")]
    Produce128B,
    /// Records of 1 KiB from the first on, by one consumer
    Replay,
    /// Records of 1 KiB, each sent when the one before is acknowledged
    OneAtATime,
    /// Records of 1 KiB with a full window, beside Flotilla's own processes without fsync
    WithoutFsync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    #[value(skip)]
    Flotilla,
    #[value(name = "streams")]
    Streams,
    #[value(name = "quorum-queues")]
    QuorumQueues,
    #[value(name = "jetstream")]
    #[serde(rename = "jetstream")]
    JetStream,
    #[value(skip)]
    FlotillaWithoutFsync,
}

/// Flotilla beside one other, in one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) row: Row,
    pub(super) peer: System,
    /// Of our figure to theirs.
    pub(super) must: f64,
    pub(super) aim: f64,
}

/// Each peer's in one go, so that its cluster is started once.
pub(super) const COMPARISONS: [Comparison; 10] = [
    compare(Row::Produce1KiB, System::JetStream, 4.0, 8.0),
    compare(Row::Produce128B, System::JetStream, 6.0, 12.0),
    compare(Row::Replay, System::JetStream, 3.0, 8.0),
    compare(Row::OneAtATime, System::JetStream, 2.0, 0.8),
    compare(Row::Produce1KiB, System::QuorumQueues, 5.0, 12.0),
    compare(Row::OneAtATime, System::QuorumQueues, 1.2, 0.5),
    compare(Row::Produce1KiB, System::Streams, 0.8, 1.5),
    compare(Row::Produce128B, System::Streams, 1.0, 2.0),
    compare(Row::Replay, System::Streams, 0.3, 1.0),
    compare(Row::WithoutFsync, System::FlotillaWithoutFsync, 0.6, 0.9),
];

const fn compare(row: Row, peer: System, must: f64, aim: f64) -> Comparison {
    Comparison {
        row,
        peer,
        must,
        aim,
    }
}

impl Row {
    pub(super) const ALL: [Self; 5] = [
        Self::Produce1KiB,
        Self::Produce128B,
        Self::Replay,
        Self::OneAtATime,
        Self::WithoutFsync,
    ];

    /// In names of figures.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Produce1KiB => "produce_1KiB",
            Self::Produce128B => "produce_128B",
            Self::Replay => "replay_1KiB",
            Self::OneAtATime => "one_at_a_time",
            Self::WithoutFsync => "without_fsync",
        }
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Produce1KiB | Self::Produce128B | Self::WithoutFsync => "records/s",
            Self::Replay => "MB/s",
            Self::OneAtATime => "ms",
        }
    }

    pub(super) const fn better(self) -> Better {
        match self {
            Self::OneAtATime => Better::Lower,
            Self::Produce1KiB | Self::Produce128B | Self::Replay | Self::WithoutFsync => {
                Better::Higher
            }
        }
    }

    pub(super) const fn record_bytes(self) -> usize {
        match self {
            Self::Produce128B => 128,
            Self::Produce1KiB | Self::Replay | Self::OneAtATime | Self::WithoutFsync => 1_024,
        }
    }

    /// Records on their way at a time.
    pub(super) const fn window(self) -> usize {
        match self {
            Self::OneAtATime => 1,
            Self::Produce128B => 16_384,
            Self::Produce1KiB | Self::Replay | Self::WithoutFsync => 4_096,
        }
    }
}

impl System {
    /// In names of figures.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Flotilla => "flotilla",
            Self::Streams => "streams",
            Self::QuorumQueues => "quorum_queues",
            Self::JetStream => "jetstream",
            Self::FlotillaWithoutFsync => "flotilla_without_fsync",
        }
    }

    /// For people.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Flotilla => "Flotilla",
            Self::Streams => "RabbitMQ Streams",
            Self::QuorumQueues => "RabbitMQ quorum queue",
            Self::JetStream => "NATS JetStream",
            Self::FlotillaWithoutFsync => "Flotilla, fsync off",
        }
    }

    /// Whether a record is on the disk of a majority when it is acknowledged.
    pub(super) const fn syncs(self) -> bool {
        match self {
            Self::Flotilla | Self::QuorumQueues => true,
            Self::Streams | Self::JetStream | Self::FlotillaWithoutFsync => false,
        }
    }
}

impl Comparison {
    pub(super) const fn goal(&self) -> Goal {
        Goal {
            judged: Judged::Median,
            better: self.row.better(),
            must: self.must,
            aim: self.aim,
        }
    }

    pub(super) fn name(&self) -> String {
        format!("compare.{}.to_{}", self.row.name(), self.peer.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_better_than_what_must_be_reached() {
        for comparison in &COMPARISONS {
            let Comparison { must, aim, .. } = *comparison;
            let is_better = match comparison.row.better() {
                Better::Lower => aim < must,
                Better::Higher => aim > must,
            };
            assert!(is_better, "{}", comparison.name());
        }
    }

    #[test]
    fn a_peer_is_compared_in_one_go() {
        let mut peers: Vec<_> = COMPARISONS
            .iter()
            .map(|comparison| comparison.peer)
            .collect();
        peers.dedup();
        let in_order = peers.len();
        peers.sort();
        peers.dedup();
        assert_eq!(peers.len(), in_order);
    }
}
