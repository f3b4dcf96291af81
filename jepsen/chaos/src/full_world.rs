//! The world in which everything can happen: nodes with disks of their own, and every link through a network that
//! breaks on command.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use flotilla_chaos_cluster::{Cluster, ClusterOptions, Disk, DiskKind, NodeId, Status};
use flotilla_proxy::{Condition, Plan};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

use crate::fault::{Fault, FaultKind};
use crate::leaders::busiest_leader;
use crate::world::{FaultNote, World};

/// A node that is not ready by then has failed to start.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long the nodes that are left take writes before one of them loses power.
const HEAD_START: Duration = Duration::from_secs(2);
/// How large a node's disk is. It is sparse: only what is written takes room.
const DISK_BYTES: u64 = 4 << 30;
/// What a full disk still has, in bytes.
const FULL_BYTES_FREE: u64 = 8 << 20;

/// Nodes on disks and links that break. They end with this.
pub struct FullWorld {
    cluster: AsyncMutex<Cluster>,
    faults: Mutex<Vec<Standing>>,
    client_addresses: Vec<String>,
    http_addresses: Vec<String>,
    has_images: bool,
    _directory: TempDir,
}

/// A fault that goes on, and the nodes that it has hit.
#[derive(Clone, Debug)]
struct Standing {
    fault: Fault,
    hit: Vec<NodeId>,
}

impl FullWorld {
    /// Starts so many nodes on disks of their own, and waits until they are ready. Without root they have directories,
    /// as in [`on_directories`](Self::on_directories).
    pub async fn start(binary: &Path, node_count: usize, seed: u64) -> anyhow::Result<Self> {
        let disks = match Disk::can_mount() {
            Ok(()) => DiskKind::Image { bytes: DISK_BYTES },
            Err(_) => DiskKind::Directory,
        };
        Self::on(disks, binary, node_count, seed).await
    }

    /// Starts nodes in directories of one disk: their power cannot be cut.
    pub async fn on_directories(
        binary: &Path,
        node_count: usize,
        seed: u64,
    ) -> anyhow::Result<Self> {
        Self::on(DiskKind::Directory, binary, node_count, seed).await
    }

    async fn on(
        disks: DiskKind,
        binary: &Path,
        node_count: usize,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("flotilla-chaos-")
            .tempdir()?;
        let cluster = Cluster::start(ClusterOptions {
            nodes: node_count as u64,
            binary: binary.to_owned(),
            directory: directory.path().join("cluster"),
            disks,
            // Small files, so that everything that happens to files happens often.
            settings: vec![
                (
                    "storage.journal_file_bytes".to_owned(),
                    "4194304".to_owned(),
                ),
                (
                    "storage.journal_bytes_max".to_owned(),
                    "33554432".to_owned(),
                ),
            ],
            seed,
        })
        .await?;
        let texts = |addresses: Vec<std::net::SocketAddr>| {
            addresses.iter().map(ToString::to_string).collect()
        };
        let world = Self {
            client_addresses: texts(cluster.client_addresses()),
            http_addresses: texts(cluster.http_addresses()),
            cluster: AsyncMutex::new(cluster),
            faults: Mutex::default(),
            has_images: disks != DiskKind::Directory,
            _directory: directory,
        };
        world.wait_ready().await?;
        Ok(world)
    }

    async fn strike(
        &self,
        fault: &Fault,
        leader: Option<usize>,
    ) -> anyhow::Result<(Vec<NodeId>, String)> {
        let mut cluster = self.cluster.lock().await;
        let named = |node: usize| NodeId::new(node as u64 + 1).context("there is no such node");
        match fault {
            Fault::Kill { node } => {
                let hit = at_work(&mut cluster, named(*node)?)?;
                cluster.kill(hit)?;
                Ok((vec![hit], format!("killed {}", hit.name())))
            }
            Fault::KillLeader => {
                let hit = at_work(&mut cluster, named(leader.context("nobody leads")?)?)?;
                cluster.kill(hit)?;
                Ok((vec![hit], format!("killed {}, which led most", hit.name())))
            }
            Fault::Pause { node } => {
                let hit = at_work(&mut cluster, named(*node)?)?;
                cluster.pause(hit)?;
                Ok((vec![hit], format!("paused {}", hit.name())))
            }
            Fault::PowerCut { nodes } => {
                let hit = nodes.iter().map(|node| named(*node));
                let hit: Vec<_> = hit.collect::<anyhow::Result<_>>()?;
                cluster.power_cut(&hit).await?;
                Ok((hit.clone(), format!("cut the power of {}", names(&hit))))
            }
            Fault::PauseThenPowerCut => pause_then_power_cut(&mut cluster).await,
            Fault::DiskFull { node } => {
                let hit = named(*node)?;
                cluster.node(hit)?.disk().fill(FULL_BYTES_FREE)?;
                Ok((vec![hit], format!("filled the disk of {}", hit.name())))
            }
            Fault::RollingRestart => {
                for id in cluster.ids() {
                    if cluster.node_mut(id)?.status() == Status::Up {
                        cluster.stop(id).await?;
                        cluster.start_node(id)?;
                        cluster.wait_ready(id, READY_LIMIT).await?;
                    }
                }
                Ok((Vec::new(), "restarted one node after the other".to_owned()))
            }
            link => {
                let leader = leader.map(named).transpose()?;
                let what = break_links(&cluster, link, leader)?;
                Ok((leader.into_iter().collect(), what))
            }
        }
    }

    /// What lies on the links follows from the faults that stand.
    async fn mend_links(&self) -> anyhow::Result<()> {
        let standing = self.faults.lock().clone();
        let cluster = self.cluster.lock().await;
        cluster.network().heal();
        for Standing { fault, hit } in standing {
            if is_of_links(fault.kind()) {
                break_links(&cluster, &fault, hit.first().copied())?;
            }
        }
        Ok(())
    }
}

const fn is_of_links(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::CutOneWay
            | FaultKind::Isolate
            | FaultKind::MinorityLeader
            | FaultKind::Bridge
            | FaultKind::Delay
    )
}

fn names(nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().map(|node| node.name()).collect();
    names.join(", ")
}

/// This node or, if it is down already, the next one that is not.
fn at_work(cluster: &mut Cluster, wanted: NodeId) -> anyhow::Result<NodeId> {
    let ids = cluster.ids();
    let first = ids.iter().position(|id| *id == wanted);
    let first = first.context("there is no such node")?;
    for step in 0..ids.len() {
        let id = ids[(first + step) % ids.len()];
        if cluster.node_mut(id)?.status() == Status::Up {
            return Ok(id);
        }
    }
    bail!("no node is at work")
}

/// A node sleeps while the others take writes; one of those loses power, and makes up a majority with the one that
/// slept. Whoever acknowledged what it had not synced has lost it now.
async fn pause_then_power_cut(cluster: &mut Cluster) -> anyhow::Result<(Vec<NodeId>, String)> {
    let ids = cluster.ids();
    let [sleeper, loser, rest @ ..] = ids.as_slice() else {
        bail!("it takes three nodes");
    };
    if rest.is_empty() {
        bail!("it takes three nodes");
    }
    // It is about exactly this order of events, so everybody is there when it begins.
    for id in &ids {
        match cluster.node_mut(*id)?.status() {
            Status::Paused => cluster.resume(*id)?,
            Status::Down => cluster.start_node(*id)?,
            Status::Up | Status::Ended(_) => {}
        }
    }
    cluster.wait_all_ready(READY_LIMIT).await?;
    cluster.pause(*sleeper)?;
    sleep(HEAD_START).await;
    cluster.power_cut(&[*loser]).await?;
    for id in rest {
        cluster.pause(*id)?;
    }
    cluster.resume(*sleeper)?;
    cluster.start_node(*loser)?;
    let what = format!(
        "{} slept, {} lost power, {} sleeps",
        sleeper.name(),
        loser.name(),
        names(rest)
    );
    Ok((rest.to_vec(), what))
}

fn break_links(cluster: &Cluster, fault: &Fault, leader: Option<NodeId>) -> anyhow::Result<String> {
    let network = cluster.network();
    let all: Vec<String> = cluster.ids().iter().map(|id| id.name()).collect();
    let name = |node: usize| {
        all.get(node)
            .map(String::as_str)
            .context("there is no such node")
    };
    let but = |left_out: &str| -> Vec<&str> {
        all.iter()
            .map(String::as_str)
            .filter(|name| *name != left_out)
            .collect()
    };
    match fault {
        Fault::CutOneWay { from, to } => {
            network.cut_one_way(name(*from)?, name(*to)?)?;
            Ok(format!(
                "nothing gets from {} to {}",
                name(*from)?,
                name(*to)?
            ))
        }
        Fault::Isolate { node } => {
            network.partition(&[&[name(*node)?], &but(name(*node)?)])?;
            Ok(format!("{} sees no other node", name(*node)?))
        }
        Fault::MinorityLeader => {
            let leader = leader.context("nobody leads")?.name();
            network.partition(&[&[&leader], &but(&leader)])?;
            Ok(format!("{leader}, which led most, sees no other node"))
        }
        Fault::Bridge { node } => {
            let middle = name(*node)?;
            let others = but(middle);
            let (left, right) = others.split_at(others.len() / 2);
            network.bridge(left, middle, right)?;
            Ok(format!("only {middle} sees all others"))
        }
        Fault::Delay { millis } => {
            let delay = Condition::delay(Duration::ZERO, Duration::from_millis(*millis));
            for from in &all {
                for to in but(from) {
                    network.set_plan(from, to, Plan::both(delay))?;
                }
            }
            Ok(format!(
                "messages between nodes take up to {millis} ms longer"
            ))
        }
        other => bail!("there is no {} in this world", other.kind()),
    }
}

impl World for FullWorld {
    fn client_addresses(&self) -> Vec<String> {
        self.client_addresses.clone()
    }

    fn http_addresses(&self) -> Vec<String> {
        self.http_addresses.clone()
    }

    fn node_count(&self) -> usize {
        self.client_addresses.len()
    }

    fn fault_kinds(&self) -> Vec<FaultKind> {
        let mut kinds = vec![
            FaultKind::Kill,
            FaultKind::KillLeader,
            FaultKind::Pause,
            FaultKind::CutOneWay,
            FaultKind::Isolate,
            FaultKind::MinorityLeader,
            FaultKind::Bridge,
            FaultKind::Delay,
            FaultKind::RollingRestart,
        ];
        if self.has_images {
            kinds.extend([
                FaultKind::PowerCut,
                FaultKind::PauseThenPowerCut,
                FaultKind::DiskFull,
            ]);
        }
        kinds
    }

    async fn begin(&self, fault: &Fault, _rng: &mut StdRng) -> anyhow::Result<FaultNote> {
        let leader = match fault {
            Fault::KillLeader | Fault::MinorityLeader => {
                busiest_leader(&self.client_addresses).await?
            }
            _ => None,
        };
        let (hit, what) = self.strike(fault, leader).await?;
        let fault = fault.clone();
        self.faults.lock().push(Standing { fault, hit });
        Ok(FaultNote::new(what))
    }

    async fn end(&self, fault: &Fault) -> anyhow::Result<()> {
        let ended = {
            let mut faults = self.faults.lock();
            let found = faults.iter().position(|standing| standing.fault == *fault);
            found.map(|found| faults.remove(found))
        };
        let Some(Standing { fault, hit }) = ended else {
            return Ok(());
        };
        if is_of_links(fault.kind()) {
            return self.mend_links().await;
        }
        let mut cluster = self.cluster.lock().await;
        for id in hit {
            // Another fault may have hit the node since.
            let status = cluster.node_mut(id)?.status();
            match (&fault, status) {
                (Fault::DiskFull { .. }, _) => cluster.node(id)?.disk().empty()?,
                (Fault::Pause { .. } | Fault::PauseThenPowerCut, Status::Paused) => {
                    cluster.resume(id)?;
                }
                (_, Status::Down) => cluster.start_node(id)?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn heal_all(&self) -> anyhow::Result<()> {
        self.faults.lock().clear();
        let mut cluster = self.cluster.lock().await;
        cluster.network().heal();
        for id in cluster.ids() {
            let node = cluster.node_mut(id)?;
            if node.disk().is_image() {
                node.disk().empty()?;
            }
            match node.status() {
                Status::Paused => node.resume()?,
                Status::Down => node.start()?,
                Status::Up | Status::Ended(_) => {}
            }
        }
        Ok(())
    }

    async fn wait_ready(&self) -> anyhow::Result<()> {
        Ok(self
            .cluster
            .lock()
            .await
            .wait_all_ready(READY_LIMIT)
            .await?)
    }

    async fn describe(&self) -> String {
        self.cluster.lock().await.describe()
    }

    async fn panics(&self) -> Vec<String> {
        let mut cluster = self.cluster.lock().await;
        let mut told = cluster.panics();
        for id in cluster.ids() {
            if let Ok(node) = cluster.node_mut(id)
                && let Status::Ended(status) = node.status()
            {
                told.push(format!(
                    "{} ended by itself: {status}; its log ends with {}",
                    id.name(),
                    node.log_tail(5)
                ));
            }
        }
        told
    }
}
