//! **cycle.** Operations can be put in one order in which a record is sent before it is read, everything
//! below an offset is sent before a read that shows that offset, and what was completed before
//! something else was invoked comes before it, for one process as for all.
//!
//! Source: Jepsen's Kafka workload, `G1c` with process and real-time edges, for a log of which the order
//! is known. Elle is not needed for that.
//!
//! ```text
//!   time       ● ──► ● ──► ● ──► ● ──► ●        a node for each invocation and completion
//!              │     ▲           │     ▲        time leads into what is invoked,
//!              ▼     │           ▼     │        what is completed leads into time
//!            send ───┘         read ───┘
//!              │                 ▲
//!              ▼                 │              a send leads to its offset,
//!   log        ● ──► ● ──► ● ────┘              the last offset of a read leads to the read
//! ```
//!
//! Such an order exists if, and only if, this graph has no cycle. It has a few nodes and edges for each
//! operation.

use std::collections::BTreeMap;

use super::Checker;
use super::graph::Graph;
use crate::history::{Action, Nanos, Offset};
use crate::report::{Findings, Property};
use crate::view::{PartitionView, View};

pub(super) struct Cycle;

impl Checker for Cycle {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        let mut graph = Graph::new();
        let operation_count = view.operations.len();
        graph.add_nodes(operation_count);
        add_time(view, &mut graph);
        add_process_order(view, &mut graph);
        for partition in &view.partitions {
            add_log(partition, &mut graph);
        }
        for knot in graph.knots() {
            let is_operation = |node: &usize| *node < operation_count;
            let mut operations: Vec<_> = knot.into_iter().filter(is_operation).collect();
            operations.sort_by_key(|index| (view.operations[*index].invoked_at, *index));
            let count = operations.len();
            let what = || format!("{count} operations each come before the others");
            findings.add(Property::Cycle, None, &operations, what);
        }
    }
}

/// Whether an operation takes part: it sends or reads.
fn takes_part(action: &Action) -> bool {
    matches!(
        action,
        Action::Produce(_) | Action::Fetch(_) | Action::FinalRead(_)
    )
}

/// When an operation was surely done.
fn done_at(action: &Action) -> Option<Nanos> {
    let at = match action {
        Action::Produce(call) => call.outcome.ok()?.0,
        Action::Fetch(call) => call.outcome.ok()?.0,
        Action::FinalRead(call) => call.outcome.ok()?.0,
        _ => return None,
    };
    Some(at)
}

/// Of an invocation and a completion at one moment neither is before the other, so that the
/// invocation is put first.
fn add_time(view: &View<'_>, graph: &mut Graph) {
    const INVOKED: u8 = 0;
    const DONE: u8 = 1;
    let mut moments = Vec::new();
    for (index, operation) in view.operations.iter().enumerate() {
        if takes_part(&operation.action) {
            moments.push((operation.invoked_at, INVOKED, index));
            moments.extend(done_at(&operation.action).map(|at| (at, DONE, index)));
        }
    }
    moments.sort_unstable();
    let first = graph.add_nodes(moments.len());
    for (node, (_, kind, operation)) in (first..).zip(&moments) {
        if node > first {
            graph.add_edge(node - 1, node);
        }
        if *kind == INVOKED {
            graph.add_edge(node, *operation);
        } else {
            graph.add_edge(*operation, node);
        }
    }
}

/// From each operation to the next of the same process, which may begin in the moment of its end.
fn add_process_order(view: &View<'_>, graph: &mut Graph) {
    let mut last = BTreeMap::new();
    for (index, operation) in view.in_time() {
        if !takes_part(&operation.action) {
            continue;
        }
        let before = last.insert(operation.process, (index, done_at(&operation.action)));
        if let Some((before, Some(done_at))) = before
            && done_at <= operation.invoked_at
        {
            graph.add_edge(before, index);
        }
    }
}

fn add_log(partition: &PartitionView<'_>, graph: &mut Graph) {
    let first = graph.add_nodes(partition.offsets.len());
    for node in first + 1..first + partition.offsets.len() {
        graph.add_edge(node - 1, node);
    }
    for entry in &partition.log {
        if let Some(record) = entry.record {
            let sent = &partition.records[record];
            graph.add_edge(sent.operation, first + partition.position(entry.offset));
        }
    }
    let mut reads: BTreeMap<usize, Offset> = BTreeMap::new();
    for seen in &partition.sightings {
        let last = reads.entry(seen.operation).or_insert(seen.offset);
        *last = seen.offset.max(*last);
    }
    for (operation, last) in reads {
        graph.add_edge(first + partition.position(last), operation);
    }
}
