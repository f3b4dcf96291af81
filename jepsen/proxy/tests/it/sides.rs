//! Faults that are named by who is concerned.

use std::collections::BTreeSet;

use flotilla_proxy::{Condition, Direction, Network, NoSuchEnd, Plan, RouteOptions};

const NODES: [&str; 3] = ["node 1", "node 2", "node 3"];

/// Three nodes that all dial one another, and a client of each. Nobody has to listen.
fn cluster() -> Network {
    let network = Network::new(1);
    let nowhere = "127.0.0.1:1".parse().unwrap();
    for to in NODES {
        for from in NODES.into_iter().chain(["client"]) {
            if from != to {
                network.open(RouteOptions::new(from, to, nowhere)).unwrap();
            }
        }
    }
    network
}

/// The routes whose plan is not healthy, as `from > to: plan`.
fn faults(network: &Network) -> BTreeSet<String> {
    let reports = network.describe().into_iter();
    reports
        .filter(|report| report.plan != Plan::HEALTHY)
        .map(|report| format!("{} > {}: {}", report.from, report.to, report.plan))
        .collect()
}

fn set(lines: &[&str]) -> BTreeSet<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[tokio::test]
async fn a_network_partition_cuts_exactly_the_pairs_across() {
    let network = cluster();
    network
        .partition(&[&["node 1"], &["node 2", "node 3"]])
        .unwrap();
    let across = set(&[
        "node 1 > node 2: cut",
        "node 1 > node 3: cut",
        "node 2 > node 1: cut",
        "node 3 > node 1: cut",
    ]);
    assert_eq!(faults(&network), across);
    network.heal();
    assert_eq!(faults(&network), set(&[]));
}

#[tokio::test]
async fn a_bridge_is_seen_from_both_sides() {
    let network = cluster();
    network.bridge(&["node 1"], "node 2", &["node 3"]).unwrap();
    let across = set(&["node 1 > node 3: cut", "node 3 > node 1: cut"]);
    assert_eq!(faults(&network), across);
}

#[tokio::test]
async fn a_one_way_cut_concerns_both_who_dials_and_who_is_dialled() {
    let network = cluster();
    network.cut_one_way("node 1", "node 2").unwrap();
    let one_way = set(&[
        "node 1 > node 2: cut forth, healthy back",
        "node 2 > node 1: healthy forth, cut back",
    ]);
    assert_eq!(faults(&network), one_way);
    network.cut_one_way("node 2", "node 1").unwrap();
    let both_ways = set(&["node 1 > node 2: cut", "node 2 > node 1: cut"]);
    assert_eq!(faults(&network), both_ways);
}

#[tokio::test]
async fn a_node_can_be_isolated_from_all_or_from_clients() {
    let network = cluster();
    network.isolate_from_clients("node 2").unwrap();
    assert_eq!(faults(&network), set(&["client > node 2: cut"]));
    network.isolate("node 1").unwrap();
    let isolated = set(&[
        "client > node 1: cut",
        "client > node 2: cut",
        "node 1 > node 2: cut",
        "node 1 > node 3: cut",
        "node 2 > node 1: cut",
        "node 3 > node 1: cut",
    ]);
    assert_eq!(faults(&network), isolated, "faults add up");
}

#[tokio::test]
async fn a_plan_can_be_put_on_one_pair() {
    let network = cluster();
    let plan = Plan::one_way(Direction::Forth, Condition::Reset);
    network.set_plan("client", "node 3", plan).unwrap();
    let faulty = set(&["client > node 3: reset forth, healthy back"]);
    assert_eq!(faults(&network), faulty);

    let reports = network.describe();
    let report = reports.iter().find(|report| report.plan == plan).unwrap();
    let line = report.to_string();
    assert!(line.starts_with("client → node 3 (127.0.0.1:"), "{line}");
    assert!(
        line.contains("reset forth, healthy back; 0 connections"),
        "{line}"
    );
}

#[tokio::test]
async fn a_fault_on_nobody_is_an_error() {
    let network = cluster();
    let nobody = NoSuchEnd("node 4".to_owned());
    assert_eq!(network.isolate("node 4"), Err(nobody.clone()));
    let sides: &[&[&str]] = &[&["node 1"], &["node 4"]];
    assert_eq!(network.partition(sides), Err(nobody));
    assert_eq!(faults(&network), set(&[]));
}
