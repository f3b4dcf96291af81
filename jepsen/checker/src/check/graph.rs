//! A directed graph, and the knots in it.

/// Nodes are numbered from 0, and edges lead from one to another.
pub(super) struct Graph {
    node_count: usize,
    edges: Vec<(u32, u32)>,
}

/// Edges sorted by where they begin: those of `node` are `targets[starts[node]..starts[node + 1]]`.
struct Adjacency {
    starts: Vec<usize>,
    targets: Vec<u32>,
}

impl Graph {
    pub(super) const fn new() -> Self {
        Self {
            node_count: 0,
            edges: Vec::new(),
        }
    }

    /// Adds `count` nodes, and returns the number of the first.
    pub(super) fn add_nodes(&mut self, count: usize) -> usize {
        let first = self.node_count;
        self.node_count += count;
        assert!(
            u32::try_from(self.node_count).is_ok(),
            "a graph has at most 4 billion nodes"
        );
        first
    }

    pub(super) fn add_edge(&mut self, from: usize, to: usize) {
        self.edges.push((from as u32, to as u32));
    }

    /// The sets of nodes of which each reaches each other one, if they are larger than one node.
    ///
    /// Tarjan's algorithm, in linear time, with a stack of its own.
    pub(super) fn knots(self) -> Vec<Vec<usize>> {
        let adjacency = self.adjacency();
        let mut search = Search::new(&adjacency);
        for node in 0..adjacency.starts.len() - 1 {
            search.visit_all_from(node);
        }
        search.knots
    }

    fn adjacency(self) -> Adjacency {
        let mut starts = vec![0; self.node_count + 1];
        for (from, _) in &self.edges {
            starts[*from as usize + 1] += 1;
        }
        for node in 0..self.node_count {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut targets = vec![0; self.edges.len()];
        for (from, to) in self.edges {
            let at = &mut next[from as usize];
            targets[*at] = to;
            *at += 1;
        }
        Adjacency { starts, targets }
    }
}

struct Search<'a> {
    adjacency: &'a Adjacency,
    /// In which order nodes were found, from 1. 0 is not found yet.
    found: Vec<u32>,
    /// The earliest found node on the stack that a node is known to reach.
    low: Vec<u32>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    found_count: u32,
    knots: Vec<Vec<usize>>,
}

impl<'a> Search<'a> {
    fn new(adjacency: &'a Adjacency) -> Self {
        let node_count = adjacency.starts.len() - 1;
        Self {
            adjacency,
            found: vec![0; node_count],
            low: vec![0; node_count],
            is_open: vec![false; node_count],
            open: Vec::new(),
            found_count: 0,
            knots: Vec::new(),
        }
    }

    fn visit_all_from(&mut self, root: usize) {
        if self.found[root] != 0 {
            return;
        }
        // Nodes that are being visited, each with its next edge.
        let mut path = vec![(root, self.enter(root))];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if *edge == self.adjacency.starts[node + 1] {
                path.pop();
                self.leave(node, path.last().map(|(parent, _)| *parent));
                continue;
            }
            let target = self.adjacency.targets[*edge] as usize;
            *edge += 1;
            if self.found[target] == 0 {
                path.push((target, self.enter(target)));
            } else if self.is_open[target] {
                self.low[node] = self.low[node].min(self.found[target]);
            }
        }
    }

    /// Begins to visit a node, and returns its first edge.
    fn enter(&mut self, node: usize) -> usize {
        self.found_count += 1;
        self.found[node] = self.found_count;
        self.low[node] = self.found_count;
        self.is_open[node] = true;
        self.open.push(node);
        self.adjacency.starts[node]
    }

    fn leave(&mut self, node: usize, parent: Option<usize>) {
        if let Some(parent) = parent {
            self.low[parent] = self.low[parent].min(self.low[node]);
        }
        if self.low[node] != self.found[node] {
            return;
        }
        let is_node = |open: &usize| *open == node;
        let at = self.open.iter().rposition(is_node);
        let knot = self
            .open
            .split_off(at.expect("a node is open until it is left"));
        for closed in &knot {
            self.is_open[*closed] = false;
        }
        if knot.len() > 1 {
            self.knots.push(knot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knots(node_count: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let mut graph = Graph::new();
        graph.add_nodes(node_count);
        for (from, to) in edges {
            graph.add_edge(*from, *to);
        }
        let mut knots = graph.knots();
        for knot in &mut knots {
            knot.sort_unstable();
        }
        knots.sort_unstable();
        knots
    }

    #[test]
    fn a_graph_without_cycles_has_no_knots() {
        assert!(knots(4, &[(0, 1), (1, 2), (0, 2), (3, 2)]).is_empty());
    }

    #[test]
    fn every_knot_is_found_whole_and_alone() {
        let edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (4, 5)];
        assert_eq!(knots(6, &edges), [vec![0, 1, 2], vec![3, 4]]);
    }
}
