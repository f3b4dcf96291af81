//! What producers feel when the node that leads is killed.
//!
//! ```text
//!   balanced ─► kill ─► wait for acknowledgements everywhere ─► restart ─► caught up, balanced ─┐
//!      ▲                                                                                        │
//!      └──────────────────────────── one node after the other ──────────────────────────────────┘
//! ```
//!
//! Each partition gets records at a fixed rate, whatever happens, from one idempotent producer with
//! default settings. So the silence of a partition is the time between two acknowledgements, and it is
//! felt by everyone who writes to it. Timeouts are those of the defaults.
//!
//! When a process is killed, its kernel closes its connections, and the others know at once. A machine
//! that loses its power says nothing. So some nodes are frozen instead, which looks alike from outside.
//!
//! Partitions of another topic, which nobody uses, can be there, too: they need new leaders as well.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flotilla_client::{
    Client, ClientConfig, ClusterDescription, NewTopic, NodeId, PartitionIndex, ProducerConfig,
    TopicName,
};
use flotilla_tests::cluster::{Cluster, Node};
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::is_near;
use futures::future::join;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::time::Instant;

use super::Context;
use super::steady_load::{SteadyLoad, first_after, longest_silence};
use crate::arguments::FailoverArgs;
use crate::report::{Figure, Judged, Report};

const NODE_COUNT: u64 = 3;
const PARTITION_COUNT: u32 = 12;
/// How long acknowledgements are watched after every partition has one: a second stall counts, too.
const WATCH_TIME: Duration = Duration::from_secs(1);
/// A cluster that is not whole and balanced by then has a fault.
const RECOVERY_LIMIT: Duration = Duration::from_secs(90);
/// A replica that lacks no more is as good as the leader's.
const LAG_ENTRIES_MAX: u64 = 64;

pub(super) async fn run(context: &Context, args: &FailoverArgs) -> Result<Report> {
    let kill_count = context.common.or(args.kills, 20, 3);
    let freeze_count = context.common.or(args.freezes, 3, 1);
    let rate = context.common.or(args.rate, 200, 100);
    context.scratch.ensure_room(4 << 30)?;
    let mut report = context.begin("failover").await?;
    let mut cluster = Cluster::start(NODE_COUNT).await;
    let client = Client::connect(ClientConfig::new(cluster.bootstrap())).await?;
    let topic = TopicName::parse("failover")?;
    let new = NewTopic::new(topic.clone()).partitions(PARTITION_COUNT);
    client
        .admin()
        .create_topic(new.replication_factor(3))
        .await?;
    let wanted = wanted_leaders(&client, &topic).await;
    if let Some(count) = args.idle_partitions {
        let idle = NewTopic::new(TopicName::parse("idle")?).partitions(count);
        client
            .admin()
            .create_topic(idle.replication_factor(3))
            .await?;
    }

    let producer = client.producer(ProducerConfig::default())?;
    let period = Duration::from_secs(1) / rate;
    let load = SteadyLoad::start(
        &producer,
        &topic,
        PARTITION_COUNT,
        (period, args.record_size),
    );
    let (mut kills, mut freezes) = (Vec::new(), Vec::new());
    let losses = [Loss::Killed].repeat(kill_count).into_iter();
    for (number, loss) in losses
        .chain([Loss::Frozen].repeat(freeze_count))
        .enumerate()
    {
        restore(&client, &topic, &wanted, &load).await;
        let victim = NodeId::new(number as u64 % NODE_COUNT + 1);
        let outcome = Outcome::inflict(&mut cluster, &client, (victim, loss), &load).await?;
        phase(format_args!("failover: {}: {outcome}", number + 1));
        report.detail(&outcome)?;
        match loss {
            Loss::Killed => kills.push(outcome),
            Loss::Frozen => freezes.push(outcome),
        }
        cluster.start_all().await;
    }
    restore(&client, &topic, &wanted, &load).await;
    let count = load.stop().await?;
    producer.close().await?;
    report.figures = figures(&kills, &freezes);
    report.notes.push(format!(
        "silence is the longest time between two acknowledgements of one partition, of all that the \
         killed node led; {count} records of {} bytes were written meanwhile, {rate} per second and \
         partition, all of them acknowledged",
        args.record_size
    ));
    report.notes.push(format!(
        "acknowledged: from the kill to the first acknowledgement of the last of these partitions; {} \
         idle partitions were there, too",
        args.idle_partitions.unwrap_or(0)
    ));
    report.notes.push(
        "frozen: stopped by SIGSTOP, so that its connections stay open as after a power cut; \
         new_leaders: until the other nodes name one for each partition"
            .to_owned(),
    );
    Ok(report)
}

/// Who leads what in the balanced cluster.
type Leaders = BTreeMap<PartitionIndex, NodeId>;

/// In a fresh cluster the preferred replicas lead, and each node is preferred equally often.
async fn wanted_leaders(client: &Client, topic: &TopicName) -> Leaders {
    let share = PARTITION_COUNT as usize / NODE_COUNT as usize;
    until("leaders are spread evenly", RECOVERY_LIMIT, async || {
        let cluster = client.admin().describe_cluster().await.ok()?;
        let leaders: Leaders = cluster
            .partitions
            .iter()
            .filter(|partition| partition.topic == *topic)
            .filter_map(|partition| Some((partition.index, partition.leader?.node)))
            .collect();
        let led = |id| leaders.values().filter(|leader| **leader == id).count();
        let mut nodes = cluster.nodes.iter();
        nodes.all(|node| led(node.id) == share).then_some(leaders)
    })
    .await
}

/// Waits until all nodes have everything, gives each node its share of the leaderships back, and waits
/// until every partition is acknowledged again.
async fn restore(client: &Client, topic: &TopicName, wanted: &Leaders, load: &SteadyLoad) {
    until(
        "the cluster is whole and balanced",
        RECOVERY_LIMIT,
        async || {
            let cluster = client.admin().describe_cluster().await.ok()?;
            if !is_whole(&cluster, topic) {
                return None;
            }
            let mut partitions = cluster.partitions.iter();
            // Those that nobody uses are led by whomever.
            if !partitions
                .clone()
                .all(|partition| partition.leader.is_some())
            {
                return None;
            }
            let misplaced = partitions.find(|partition| {
                let leader = partition.leader.map(|leader| leader.node);
                partition.topic == *topic && leader != wanted.get(&partition.index).copied()
            });
            let Some(misplaced) = misplaced else {
                return Some(());
            };
            // The cluster would do it by itself, but takes its time over it. A transfer that fails is
            // tried again with the next look.
            let to = wanted.get(&misplaced.index)?;
            let _ = client
                .admin()
                .transfer_leader(topic, misplaced.index, *to)
                .await;
            None
        },
    )
    .await;
    let since = Instant::now();
    until(
        "every partition is acknowledged",
        RECOVERY_LIMIT,
        async || {
            let is_fresh = |partition| load.answered_since(partition, since);
            (0..PARTITION_COUNT)
                .map(PartitionIndex::new)
                .all(is_fresh)
                .then_some(())
        },
    )
    .await;
}

/// Every node is there, and its replicas lack next to nothing. Under load there is always something on its way.
fn is_whole(cluster: &ClusterDescription, topic: &TopicName) -> bool {
    let mut nodes = cluster.nodes.iter();
    nodes.all(|node| is_near(cluster, topic, node.id, LAG_ENTRIES_MAX))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Loss {
    /// By SIGKILL.
    Killed,
    /// By SIGSTOP, and killed when it was replaced.
    Frozen,
}

impl Loss {
    fn inflict(self, node: &mut Node) -> Result<()> {
        match self {
            Self::Killed => node.kill(),
            Self::Frozen => {
                let id = node.process_id().context("the node runs")?;
                let id = Pid::from_raw(id.cast_signed()).context("a process has an id")?;
                kill_process(id, Signal::STOP)?;
            }
        }
        Ok(())
    }
}

/// One loss, and what was felt of it.
#[derive(Debug, Serialize)]
struct Outcome {
    node: u64,
    loss: Loss,
    was_metadata_leader: bool,
    /// Partitions that nobody uses and the node led.
    idle_led: usize,
    /// Until the survivors named another leader of each partition.
    led_again_ms: f64,
    partitions: Vec<Outage>,
    /// The longest silence of a partition that another node led.
    elsewhere_ms: f64,
}

/// What a partition that the dead node led went through.
#[derive(Debug, Serialize)]
struct Outage {
    partition: u32,
    /// From the kill to the first acknowledgement of a record that was sent after it.
    first_ms: f64,
    /// The longest time between two acknowledgements.
    silence_ms: f64,
}

impl Outcome {
    async fn inflict(
        cluster: &mut Cluster,
        client: &Client,
        (victim, loss): (NodeId, Loss),
        load: &SteadyLoad,
    ) -> Result<Self> {
        let before = client.admin().describe_cluster().await?;
        let (led, idle): (Vec<_>, Vec<_>) = before
            .partitions
            .iter()
            .filter(|partition| partition.leader.is_some_and(|leader| leader.node == victim))
            .partition(|partition| partition.topic == *load.topic());
        let led: Vec<_> = led.iter().map(|partition| partition.index).collect();
        ensure!(!led.is_empty(), "node {victim} leads nothing");
        let observer = observer(cluster, victim).await?;
        load.forget();
        let killed_at = Instant::now();
        loss.inflict(cluster.node_mut(victim))?;
        let goes_on = |partition: &PartitionIndex| {
            let first = first_after(&load.acknowledgements(*partition), killed_at);
            first.is_some_and(|first| first.elapsed() >= WATCH_TIME)
        };
        let acknowledged = until("all partitions go on", RECOVERY_LIMIT, async || {
            led.iter().all(goes_on).then_some(())
        });
        let (led_again_at, ()) =
            join(led_again(&observer, load.topic(), victim), acknowledged).await;
        // One that was frozen has to go, too. This does nothing to one that is gone.
        cluster.node_mut(victim).kill();
        let outage = |partition: &PartitionIndex| {
            let acknowledgements = load.acknowledgements(*partition);
            let first = first_after(&acknowledgements, killed_at).context("it was there before")?;
            Ok(Outage {
                partition: partition.get(),
                first_ms: millis(first - killed_at),
                silence_ms: millis(longest_silence(&acknowledgements, killed_at)),
            })
        };
        let elsewhere = (0..PARTITION_COUNT).map(PartitionIndex::new);
        let elsewhere = elsewhere.filter(|partition| !led.contains(partition));
        let elsewhere = elsewhere
            .map(|partition| longest_silence(&load.acknowledgements(partition), killed_at));
        Ok(Self {
            node: victim.get(),
            loss,
            idle_led: idle.len(),
            was_metadata_leader: before.metadata_leader.map(|leader| leader.node) == Some(victim),
            led_again_ms: millis(led_again_at - killed_at),
            partitions: led.iter().map(outage).collect::<Result<_>>()?,
            elsewhere_ms: millis(elsewhere.max().unwrap_or_default()),
        })
    }

    /// Until the first partition of the dead node went on.
    fn first_seconds(&self) -> f64 {
        let times = self.partitions.iter().map(|outage| outage.first_ms);
        times.fold(f64::INFINITY, f64::min) / 1e3
    }

    /// Until the last partition of the dead node went on.
    fn last_seconds(&self) -> f64 {
        let times = self.partitions.iter().map(|outage| outage.first_ms);
        times.fold(0.0, f64::max) / 1e3
    }

    /// The longest silence of all partitions of the dead node.
    fn silence_seconds(&self) -> f64 {
        let times = self.partitions.iter().map(|outage| outage.silence_ms);
        times.fold(0.0, f64::max) / 1e3
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "node {}, which led {} partitions, {} idle ones{}, was {:?}: new leaders after {:.3} s, first \
             acknowledgement after {:.3} s, longest silence {:.3} s, elsewhere {:.3} s",
            self.node,
            self.partitions.len(),
            self.idle_led,
            if self.was_metadata_leader {
                " and the metadata"
            } else {
                ""
            },
            self.loss,
            self.led_again_ms / 1e3,
            self.first_seconds(),
            self.silence_seconds(),
            self.elsewhere_ms / 1e3,
        )
    }
}

/// A client of its own that begins with the nodes that stay and waits for none that does not answer.
async fn observer(cluster: &Cluster, victim: NodeId) -> Result<Client> {
    let stay = cluster.nodes().iter().filter(|node| node.id() != victim);
    let config = ClientConfig {
        attempt_timeout: Duration::from_millis(250),
        ..ClientConfig::new(stay.map(Node::client_address))
    };
    Ok(Client::connect(config).await?)
}

/// When nothing was led by the victim any more, as the other nodes say.
async fn led_again(observer: &Client, topic: &TopicName, victim: NodeId) -> Instant {
    until(
        "every partition has a new leader",
        RECOVERY_LIMIT,
        async || {
            let described = observer.admin().describe_topic(topic).await.ok()?;
            let mut partitions = described.partitions.iter();
            let has_another = partitions
                .all(|partition| partition.leader.is_some_and(|leader| leader.node != victim));
            has_another.then(Instant::now)
        },
    )
    .await
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn figures(kills: &[Outcome], freezes: &[Outcome]) -> Vec<Figure> {
    let figure = |name: &str, losses: &[Outcome], read: fn(&Outcome) -> f64| {
        Figure::new(name, "s", losses.iter().map(read).collect())
    };
    let silence = |name| figure(name, kills, Outcome::silence_seconds);
    let goes_on = |name| figure(name, kills, Outcome::last_seconds);
    let mut figures = vec![
        silence("failover.silence_p50").judged(Judged::Median, 1.5, 0.5),
        silence("failover.silence_worst").judged(Judged::Worst, 3.0, 1.0),
        goes_on("failover.acknowledged_p50").judged(Judged::Median, 1.5, 0.5),
        goes_on("failover.acknowledged_worst").judged(Judged::Worst, 3.0, 1.0),
        figure("failover.first_partition", kills, Outcome::first_seconds),
        figure("failover.elsewhere", kills, |kill| kill.elsewhere_ms / 1e3),
    ];
    if !freezes.is_empty() {
        let frozen = figure("failover.frozen.silence", freezes, Outcome::silence_seconds);
        figures.push(frozen);
        let led = |freeze: &Outcome| freeze.led_again_ms / 1e3;
        figures.push(figure("failover.frozen.new_leaders", freezes, led));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_judged_by_its_slowest_partition() {
        let outage = |first_ms, silence_ms| Outage {
            partition: 0,
            first_ms,
            silence_ms,
        };
        let kill = Outcome {
            node: 1,
            loss: Loss::Killed,
            was_metadata_leader: false,
            idle_led: 0,
            led_again_ms: 30.0,
            partitions: vec![outage(700.0, 705.0), outage(400.0, 2_000.0)],
            elsewhere_ms: 20.0,
        };
        assert_eq!((kill.first_seconds(), kill.last_seconds()), (0.4, 0.7));
        assert_eq!(kill.silence_seconds(), 2.0);
        let figures = figures(&[kill], &[]);
        assert_eq!(figures[1].verdict, Some(crate::report::Verdict::Reached));
    }
}
