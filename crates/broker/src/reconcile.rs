//! Brings this node's partitions and links to where metadata wants them.
//!
//! Metadata decides, this loop carries out: it opens what is placed here, drops what was deleted or
//! lives elsewhere now, and tells the links where the other nodes listen. It decides nothing and
//! proposes nothing.
//! Partitions wait until this start of the node is registered, as [`joining`](crate::joining) says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flotilla_raft::{GroupKind, GroupSpec};
use flotilla_state::metadata::{self, MetadataState, NodeDuty};
use flotilla_types::{ErrorChain, NodeId, RaftGroupId};
use futures::StreamExt;

use crate::node::Node;

/// Partitions that are opened at a time: each may have to read its state from disk.
const OPENING_MAX: usize = 16;

/// Replicas that are dropped at a time. Others must agree to each.
const DROPPING_MAX: usize = 16;
/// Between two attempts to drop replicas.
const DROPPING_PAUSE: Duration = Duration::from_millis(200);

/// How far this node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// Of the metadata that is carried out completely. `None` before the first.
    pub(crate) version: Option<u64>,
    /// Partitions opened so far. It tells those who wait for one that it may be there.
    pub(crate) opened: u64,
}

/// Runs until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut reconciler = Reconciler {
        present: node.raft.stored_groups().into_iter().collect(),
        told: BTreeMap::new(),
        node: node.clone(),
    };
    let mut state = node.watch_state();
    let mut registered = node.registered.subscribe();
    let mut joined = node.joined.subscribe();
    loop {
        let current = state.borrow_and_update().clone();
        reconciler.introduce_peers(&current);
        let may_open = *registered.borrow_and_update();
        if may_open {
            reconciler.carry_out(&current).await;
        }
        // Before that, what lives elsewhere by what this node knows may live here by now.
        let may_drop = *joined.borrow_and_update();
        let dropping = reconciler.drop_moved(&current, may_drop);
        let Some(has_dropped) = node.stop.run_until_cancelled(dropping).await else {
            return;
        };
        tokio::select! {
            () = node.stop.cancelled() => return,
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            // The senders live in the node.
            _ = registered.changed() => {}
            _ = joined.changed() => {}
            () = tokio::time::sleep(DROPPING_PAUSE), if !has_dropped => {}
        }
    }
}

struct Reconciler {
    node: Arc<Node>,
    /// Groups that this node has opened or holds data of.
    present: BTreeSet<RaftGroupId>,
    /// What the links were told last.
    told: BTreeMap<NodeId, metadata::Node>,
}

impl Reconciler {
    async fn carry_out(&mut self, state: &MetadataState) {
        self.remove_deleted(state).await;
        if self.open_placed(state).await {
            let version = Some(state.version());
            self.node
                .reconciled
                .send_modify(|now| now.version = version);
        }
    }

    fn introduce_peers(&mut self, state: &MetadataState) {
        for peer in state.nodes() {
            if peer.id == self.node.id || self.told.get(&peer.id) == Some(peer) {
                continue;
            }
            let raft = &self.node.raft;
            match peer.duty {
                NodeDuty::Removed => raft.forget_peer(peer.id),
                NodeDuty::Active | NodeDuty::Spare | NodeDuty::Draining => {
                    raft.set_peer(peer.id, &peer.addresses.peer, Some(peer.incarnation));
                }
            }
            self.told.insert(peer.id, peer.clone());
        }
    }

    async fn remove_deleted(&mut self, state: &MetadataState) {
        let deleted = self
            .present
            .extract_if(.., |group| state.is_removed(*group));
        for group in deleted.collect::<Vec<_>>() {
            tracing::info!(%group, "dropping the data of a partition that was deleted");
            self.node.raft.remove_group(group).await;
        }
    }

    /// False if something is left to be dropped.
    async fn drop_moved(&mut self, state: &MetadataState, may_drop: bool) -> bool {
        if !may_drop {
            return true;
        }
        let node = &self.node;
        let leaving = self.present.iter().filter_map(|group| {
            let placed = state.placement(*group)?;
            let others: Vec<_> = placed.hosts().collect();
            (!placed.is_hosted_by(node.id)).then_some((*group, others))
        });
        let mut leaving: Vec<_> = leaving.collect();
        let leaving_count = leaving.len();
        leaving.truncate(DROPPING_MAX);
        let mut dropping = futures::stream::iter(leaving)
            .map(|(group, others)| async move {
                let is_dropped = node.raft.drop_replica(group, &others).await;
                is_dropped.then_some(group)
            })
            .buffer_unordered(DROPPING_MAX);
        let mut dropped = Vec::new();
        while let Some(group) = dropping.next().await {
            dropped.extend(group);
        }
        drop(dropping);
        let is_done = dropped.len() == leaving_count;
        for group in dropped {
            self.present.remove(&group);
        }
        is_done
    }

    /// False if the node stops on the way or cannot go on.
    async fn open_placed(&mut self, state: &MetadataState) -> bool {
        let node = &self.node;
        let partitions = state.partitions_on(node.id);
        let partitions = partitions.map(|(_, placed)| (GroupKind::Partition, placed));
        let coordinators = state.coordinators_on(node.id);
        let coordinators = coordinators.map(|placed| (GroupKind::Coordinator, placed));
        let missing = partitions.chain(coordinators).filter(|(_, placed)| {
            let group = placed.raft_group;
            !node.raft.has_opened(group) && !node.raft.is_parked(group)
        });
        let specs: Vec<_> = missing
            .map(|(kind, placed)| GroupSpec {
                id: placed.raft_group,
                kind,
                replicas: placed.replicas.clone(),
                is_new_member: !placed.replicas.contains(&node.id),
            })
            .collect();
        self.present.extend(specs.iter().map(|spec| spec.id));
        let mut opening = futures::stream::iter(specs)
            .map(|spec| open(node, spec))
            .buffer_unordered(OPENING_MAX);
        while let Some(opened) = opening.next().await {
            if !opened || node.stop.is_cancelled() {
                return false;
            }
            node.reconciled.send_modify(|now| now.opened += 1);
        }
        true
    }
}

/// A replica that cannot be opened is data that cannot be read: the node must not go on as if it
/// had none.
async fn open(node: &Node, spec: GroupSpec) -> bool {
    let group = spec.id;
    match node.raft.open_group(spec).await {
        Ok(_) => true,
        Err(error) => {
            node.fail(format!(
                "cannot open raft group {group}: {}",
                ErrorChain(&error)
            ));
            false
        }
    }
}
