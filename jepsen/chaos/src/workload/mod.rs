//! What clients do during a run. A workload is a set of processes, each with a client of its own and one
//! thing after the other, on a topic that no other workload sends to.

mod appender;
mod assigned;
mod field;
mod groups;
mod http_publish;
mod idempotent;
mod jobs;
mod pace;
mod seen;
mod tail;
mod topics;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use field::{Field, FieldOptions, LoadedTopic};
use flotilla_client::PartitionIndex;
pub(crate) use seen::seen_record;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::appender::Appender;
use self::field::Patience;

/// The sets of processes that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// Producers without an identity, and consumers that choose their partitions.
    Assigned,
    /// Idempotent producers with keys and many partitions.
    Idempotent,
    /// Members of a consumer group that come, stand still and go.
    Groups,
    /// Owners of a job, who write for it, also when they own it no more.
    Jobs,
    /// Records with message ids over HTTP, sent again through other nodes.
    Http,
    /// Reads of the tail while others append.
    Tail,
    /// Topics that are created, listed and deleted.
    Topics,
}

/// A text that names no workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWorkload {
    text: String,
}

impl Workload {
    pub const ALL: [Self; 7] = [
        Self::Assigned,
        Self::Idempotent,
        Self::Groups,
        Self::Jobs,
        Self::Http,
        Self::Tail,
        Self::Topics,
    ];

    /// On the command line, and the topic's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Idempotent => "idempotent",
            Self::Groups => "groups",
            Self::Jobs => "jobs",
            Self::Http => "http",
            Self::Tail => "tail",
            Self::Topics => "topics",
        }
    }

    /// How much of the rate it takes, compared to the others.
    const fn weight(self) -> u32 {
        match self {
            Self::Assigned | Self::Idempotent => 40,
            Self::Groups => 14,
            Self::Jobs | Self::Tail => 5,
            Self::Http => 1,
            Self::Topics => 0,
        }
    }

    const fn partitions(self) -> u32 {
        match self {
            Self::Assigned => 4,
            Self::Idempotent | Self::Groups => 6,
            Self::Jobs | Self::Http | Self::Tail => 2,
            Self::Topics => 0,
        }
    }
}

/// Makes the topics, and starts the processes. They end soon after the field's stop.
///
/// # Errors
///
/// If the topics cannot be made, which no fault has disturbed yet.
pub(crate) async fn start(
    workloads: &[Workload],
    field: &Field,
    processes: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let weights: u32 = workloads.iter().map(|workload| workload.weight()).sum();
    for workload in workloads {
        if workload.partitions() > 0 {
            field
                .create_topic(workload.name(), workload.partitions())
                .await?;
        }
    }
    for workload in workloads {
        let share = u64::from(field.rate()) * u64::from(workload.weight());
        let rate = u32::try_from(share / u64::from(weights.max(1)))?.max(1);
        let field = field.with_rate(rate);
        match workload {
            Workload::Assigned => assigned::start(&field, processes)?,
            Workload::Idempotent => idempotent::start(&field, processes)?,
            Workload::Groups => groups::start(&field, processes)?,
            Workload::Jobs => jobs::start(&field, processes)?,
            Workload::Http => http_publish::start(&field, processes)?,
            Workload::Tail => tail::start(&field, processes)?,
            Workload::Topics => topics::start(&field, processes)?,
        }
    }
    Ok(())
}

/// Sends one record to a partition, other ones until one is stored or the deadline has passed.
pub(crate) async fn append_one(
    field: &Field,
    topic: &LoadedTopic,
    index: PartitionIndex,
    deadline: Instant,
) -> anyhow::Result<()> {
    let mut appender = Appender::new(field, topic.clone(), Patience::Usual)?;
    while !appender.append(index, 1).await && Instant::now() < deadline {
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|workload| workload.name() == text);
        found.ok_or_else(|| UnknownWorkload {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for UnknownWorkload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Workload::ALL.into_iter().map(Workload::name).collect();
        write!(f, "{:?} is no workload: {}", self.text, names.join(", "))
    }
}

impl std::error::Error for UnknownWorkload {}
