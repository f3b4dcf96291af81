//! Spreads replicas and preferred leaders evenly over the active nodes, with few moves.
//!
//! It always ends even, and why is said where it is done. Ties go to lower numbers, so that the same
//! state always gives the same answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flotilla_types::{NodeId, PartitionId, RaftGroupId, TopicId};

use super::placement::NodeLoad;
use super::{MetadataState, Partition, PlannedMove};

/// Where each group shall live, as it is being worked out.
pub(super) struct Balance<'a> {
    groups: Vec<PlacedGroup>,
    loads: BTreeMap<NodeId, NodeLoad>,
    /// Replicas of a topic, or of the coordinators, on a node.
    of_topic: BTreeMap<(Option<TopicId>, NodeId), i64>,
    live: &'a BTreeSet<NodeId>,
}

struct PlacedGroup {
    raft_group: RaftGroupId,
    partition: Option<PartitionId>,
    /// The nodes that have a replica, or are getting one.
    hosts: Vec<NodeId>,
    from: Vec<NodeId>,
    /// Preferred leader first.
    to: Vec<NodeId>,
}

impl<'a> Balance<'a> {
    pub(super) fn new(
        state: &MetadataState,
        active: BTreeSet<NodeId>,
        live: &'a BTreeSet<NodeId>,
    ) -> Self {
        let partitions = state.partitions();
        let partitions = partitions.map(|(id, placed)| PlacedGroup::new(placed, Some(id)));
        let coordinators = state.coordinators().iter();
        let coordinators = coordinators.map(|placed| PlacedGroup::new(placed, None));
        let loads = active.into_iter().map(|node| (node, NodeLoad::idle(node)));
        let mut balance = Self {
            groups: partitions.chain(coordinators).collect(),
            loads: loads.collect(),
            of_topic: BTreeMap::new(),
            live,
        };
        balance
            .groups
            .sort_unstable_by_key(|group| group.raft_group);
        for at in 0..balance.groups.len() {
            balance.count(at, 1);
        }
        balance
    }

    /// Lets an active node take the place of each that is not active: `with` if it can, or the one
    /// that holds the least. There must be at least as many active nodes as replicas of any group.
    pub(super) fn leave_inactive(&mut self, with: Option<NodeId>) {
        for at in 0..self.groups.len() {
            for position in 0..self.groups[at].to.len() {
                if self.loads.contains_key(&self.groups[at].to[position]) {
                    continue;
                }
                let with = with.filter(|node| !self.groups[at].to.contains(node));
                if let Some(node) = with.or_else(|| self.idlest_without(at)) {
                    self.change(at, |to| to[position] = node);
                }
            }
        }
    }

    /// Gives coordinators that were placed when there were fewer nodes the replicas that they lack.
    pub(super) fn raise_coordinators(&mut self, wanted: usize) {
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            let missing = match group.partition {
                None => wanted.saturating_sub(group.to.len()),
                Some(_) => 0,
            };
            for _ in 0..missing {
                if let Some(node) = self.idlest_without(at) {
                    self.change(at, |to| to.push(node));
                }
            }
        }
    }

    /// In the end the nodes' replicas differ by at most one, and so do their preferred leaders. All
    /// replicas must be on active nodes.
    ///
    /// It ends, because every step makes the sum of the squares of what it evens out smaller, and
    /// leaves what was even.
    pub(super) fn even_out(&mut self) {
        while self.move_one_replica() {}
        while self.move_one_leader() {}
    }

    pub(super) fn into_moves(self) -> Vec<PlannedMove> {
        let changed = self
            .groups
            .into_iter()
            .filter(|group| group.from != group.to);
        changed
            .map(|group| PlannedMove {
                raft_group: group.raft_group,
                partition: group.partition,
                from: group.from,
                to: group.to,
            })
            .collect()
    }

    /// From a node that holds the most to one that holds the least. If they differ by two or more,
    /// there is a group on the one that is not on the other.
    fn move_one_replica(&mut self) -> bool {
        let loads = self.loads.values();
        let fullest = loads.max_by_key(|load| (load.replicas, load.preferred_leaders));
        let loads = self.loads.values();
        let idlest = loads.min_by_key(|load| (load.replicas, load.preferred_leaders));
        let (Some(fullest), Some(idlest)) = (fullest, idlest) else {
            return false;
        };
        if fullest.replicas <= idlest.replicas + 1 {
            return false;
        }
        let leads_more = fullest.preferred_leaders > idlest.preferred_leaders;
        let (from, to) = (fullest.node, idlest.node);
        let key = |group: &PlacedGroup| {
            let gap = self.of(group, from) - self.of(group, to);
            let leader_fits = (group.to[0] == from) == leads_more;
            (group.cost(from, to), Reverse(gap), !leader_fits)
        };
        match self.best(from, to, |_| true, key) {
            Some(at) => {
                self.change(at, |replicas| replace(replicas, from, to));
                true
            }
            None => false,
        }
    }

    /// From a node that is preferred by the most groups towards one that is by two fewer, at least.
    fn move_one_leader(&mut self) -> bool {
        let leaders = |load: &&NodeLoad| load.preferred_leaders;
        let Some(most) = self.loads.values().max_by_key(leaders).copied() else {
            return false;
        };
        let Some(fewest) = self.loads.values().min_by_key(leaders).copied() else {
            return false;
        };
        if most.preferred_leaders <= fewest.preferred_leaders + 1 {
            return false;
        }
        self.pass_leadership_on(most) || self.swap(most.node, fewest.node)
    }

    /// Along groups that are led by one node and held by the next, to the one with the fewest that
    /// can be reached. No replica moves.
    fn pass_leadership_on(&mut self, from: NodeLoad) -> bool {
        let mut led_and_held: BTreeMap<NodeId, BTreeMap<NodeId, usize>> = BTreeMap::new();
        for (at, group) in self.groups.iter().enumerate() {
            let held = led_and_held.entry(group.to[0]).or_default();
            for follower in &group.to[1..] {
                held.entry(*follower).or_insert(at);
            }
        }
        // By which node, and which of its groups, each node was reached.
        let mut reached: BTreeMap<NodeId, (NodeId, usize)> = BTreeMap::new();
        let mut next = VecDeque::from([from.node]);
        while let Some(node) = next.pop_front() {
            for (follower, at) in led_and_held.get(&node).into_iter().flatten() {
                if *follower != from.node && !reached.contains_key(follower) {
                    reached.insert(*follower, (node, *at));
                    next.push_back(*follower);
                }
            }
        }
        let ends = reached.keys().filter_map(|node| self.loads.get(node));
        let ends = ends.filter(|end| end.preferred_leaders + 2 <= from.preferred_leaders);
        let Some(mut end) = ends
            .min_by_key(|end| (end.preferred_leaders, end.node))
            .map(|end| end.node)
        else {
            return false;
        };
        while let Some((before, at)) = reached.remove(&end) {
            self.change(at, |replicas| promote(replicas, end));
            end = before;
        }
        true
    }

    /// Two groups change places, one of which the first node leads. The nodes hold as many replicas
    /// as before.
    ///
    /// There are two such groups. What the first node leads is not held by the second, or leadership
    /// could have been passed on. As both hold as many groups, give or take one, the second holds at
    /// least as many that the first does not hold, less one. That is more than it leads itself.
    fn swap(&mut self, most: NodeId, fewest: NodeId) -> bool {
        let cost = PlacedGroup::cost;
        let led = self.best(
            most,
            fewest,
            |group| group.to[0] == most,
            |group| cost(group, most, fewest),
        );
        let followed = self.best(
            fewest,
            most,
            |group| group.to[0] != fewest,
            |group| cost(group, fewest, most),
        );
        match (led, followed) {
            (Some(led), Some(followed)) => {
                self.change(led, |replicas| replace(replicas, most, fewest));
                self.change(followed, |replicas| replace(replicas, fewest, most));
                true
            }
            _ => false,
        }
    }

    /// Of the groups on `on` and not on `not_on`, the one with the least key.
    fn best<K: Ord>(
        &self,
        on: NodeId,
        not_on: NodeId,
        fits: impl Fn(&PlacedGroup) -> bool,
        key: impl Fn(&PlacedGroup) -> K,
    ) -> Option<usize> {
        let groups = self.groups.iter().enumerate();
        let movable = groups.filter(|(_, group)| {
            group.to.contains(&on) && !group.to.contains(&not_on) && fits(group)
        });
        let best = movable.min_by_key(|(_, group)| key(group));
        best.map(|(at, _)| at)
    }

    /// The node that holds the least of those without a replica of this group. One that is up comes
    /// before any that is down.
    fn idlest_without(&self, at: usize) -> Option<NodeId> {
        let held = &self.groups[at].to;
        let others = self
            .loads
            .values()
            .filter(|load| !held.contains(&load.node));
        let idlest = others.min_by_key(|load| {
            let is_down = !self.live.contains(&load.node);
            (is_down, load.replicas, load.preferred_leaders, load.node)
        });
        idlest.map(|load| load.node)
    }

    fn of(&self, group: &PlacedGroup, node: NodeId) -> i64 {
        let key = (group.topic(), node);
        self.of_topic.get(&key).copied().unwrap_or_default()
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut Vec<NodeId>)) {
        self.count(at, -1);
        change(&mut self.groups[at].to);
        self.count(at, 1);
    }

    /// Adds what a group weighs to its nodes, or takes it away.
    fn count(&mut self, at: usize, sign: i64) {
        let group = &self.groups[at];
        for (position, node) in group.to.iter().enumerate() {
            *self.of_topic.entry((group.topic(), *node)).or_default() += sign;
            if let Some(load) = self.loads.get_mut(node) {
                let leads = i64::from(position == 0);
                load.replicas = load.replicas.saturating_add_signed(sign);
                let led = load.preferred_leaders.saturating_add_signed(sign * leads);
                load.preferred_leaders = led;
            }
        }
    }
}

impl PlacedGroup {
    fn new(placed: &Partition, partition: Option<PartitionId>) -> Self {
        Self {
            raft_group: placed.raft_group,
            partition,
            hosts: placed.hosts().collect(),
            from: placed.wanted().to_vec(),
            to: placed.wanted().to_vec(),
        }
    }

    fn topic(&self) -> Option<TopicId> {
        self.partition.map(|partition| partition.topic)
    }

    /// How many more replicas would have to be copied if it went from one node to the other.
    fn cost(&self, from: NodeId, to: NodeId) -> i8 {
        i8::from(self.hosts.contains(&from)) - i8::from(self.hosts.contains(&to))
    }
}

fn replace(replicas: &mut [NodeId], old: NodeId, new: NodeId) {
    for replica in replicas.iter_mut().filter(|replica| **replica == old) {
        *replica = new;
    }
}

fn promote(replicas: &mut [NodeId], leader: NodeId) {
    if let Some(position) = replicas.iter().position(|replica| *replica == leader) {
        replicas[..=position].rotate_right(1);
    }
}
