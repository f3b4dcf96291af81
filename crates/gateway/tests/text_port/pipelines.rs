//! Many commands at once.

use std::fmt::Write;
use std::sync::Arc;

use flotilla_gateway::text::{TextConfig, TextServer};
use flotilla_net::RemoteCertificate;
use tokio::io::duplex;

use super::memory::{MemoryBroker, TOKEN};
use super::peer::{Peer, Scene, settle};

#[tokio::test(start_paused = true)]
async fn a_thousand_records_keep_their_order() {
    let mut scene = Scene::of(MemoryBroker::new());
    let mut sent = String::new();
    let mut expected = Vec::new();
    for number in 0..1_000 {
        let payload = format!("record {number}");
        write!(sent, "PUB orders {}\r\n{payload}", payload.len()).unwrap();
        expected.push(payload);
    }
    scene.peer.send_all(sent).await;
    let answers = scene.peer.rest().await;
    let offsets: String = (0..1_000)
        .map(|offset| format!("OK {offset}\r\n"))
        .collect();
    assert_eq!(answers, offsets);
    assert_eq!(scene.broker.values("orders", 0), expected);
    assert_eq!(*scene.broker.creations.borrow(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_earlier_ones() {
    let mut scene = Scene::of(MemoryBroker::new().with_topic("orders", 1));
    scene.broker.acknowledge(0);
    scene
        .peer
        .send("PUB orders 1\naPUB orders 1\nbPING\nFETCH orders 0 9\n")
        .await;
    scene.broker.until_queued(2).await;
    settle().await;
    scene.broker.acknowledge(1);
    assert_eq!(scene.peer.line().await, "OK 0");
    scene.broker.acknowledge(2);
    assert_eq!(scene.peer.line().await, "OK 1");
    assert_eq!(scene.peer.line().await, "PONG");
    let fetched = "MSG 0 1\r\naMSG 1 1\r\nbEND 2";
    assert_eq!(scene.peer.exactly(fetched.len()).await, fetched);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_changes_between_two_commands() {
    let mut scene = Scene::of(MemoryBroker::new().with_topic("orders", 1));
    scene.broker.acknowledge(0);
    let sent = format!("PUB orders 1\naAUTH {TOKEN}\nPUB orders 1\nb");
    scene.peer.send(sent).await;
    settle().await;
    assert_eq!(
        scene.broker.callers(),
        [None],
        "the rest waits for the answer"
    );
    scene.broker.acknowledge(9);
    for expected in ["OK 0", "OK", "OK 1"] {
        assert_eq!(scene.peer.line().await, expected);
    }
    assert_eq!(scene.broker.callers(), [None, Some("alice")]);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_commands_are_in_flight() {
    let mut scene = Scene::of(MemoryBroker::new().with_topic("orders", 1));
    scene.broker.acknowledge(0);
    scene.peer.send("PUB orders 1\nx".repeat(200)).await;
    scene.broker.until_queued(128).await;
    settle().await;
    assert_eq!(scene.broker.queued(), 128);
    scene.broker.acknowledge(usize::MAX);
    for offset in 0..200 {
        assert_eq!(scene.peer.line().await, format!("OK {offset}"));
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_bytes_are_in_flight() {
    let config = TextConfig {
        bytes_in_flight_max: 1_000,
        ..TextConfig::default()
    };
    let broker = MemoryBroker::new().with_topic("orders", 1);
    let mut scene = Scene::with(broker, config);
    scene.broker.acknowledge(0);
    let payload = "x".repeat(400);
    scene
        .peer
        .send(format!("PUB orders 400\n{payload}").repeat(8))
        .await;
    scene.broker.until_queued(3).await;
    settle().await;
    assert_eq!(scene.broker.queued(), 3);
    scene.broker.acknowledge(usize::MAX);
    for offset in 0..8 {
        assert_eq!(scene.peer.line().await, format!("OK {offset}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_size_in_the_middle_leaves_the_rest_alone() {
    let mut scene = Scene::of(MemoryBroker::new().with_topic("orders", 1));
    let sent = "PUB orders 3\nonePUB orders 3\nthree\nPUB orders 3\nsix";
    scene.peer.send_all(sent).await;
    let answers = scene.peer.rest().await;
    let codes: Vec<_> = answers
        .lines()
        .map(|line| line.split(" expected").next().unwrap())
        .collect();
    assert_eq!(codes, ["OK 0", "OK 1", "ERR size-mismatch", "OK 2"]);
    assert_eq!(scene.broker.values("orders", 0), ["one", "thr", "six"]);
}

#[tokio::test(start_paused = true)]
async fn two_connections_may_create_the_same_topic() {
    let mut scene = Scene::of(MemoryBroker::new());
    let broker = Arc::clone(&scene.broker);
    let server = TextServer::new(TextConfig::default(), broker);
    let (ours, theirs) = duplex(1_000);
    let stop = scene.stop.clone();
    let serving = tokio::spawn(async move {
        server
            .serve_connection(theirs, &RemoteCertificate::default(), &stop)
            .await
    });
    let mut other = Peer::new(ours);
    scene.peer.send("PUB orders 1\na").await;
    other.send("PUB orders 1\nb").await;
    let mut answers = [scene.peer.line().await, other.line().await];
    answers.sort();
    assert_eq!(answers, ["OK 0", "OK 1"]);
    assert_eq!(*scene.broker.creations.borrow(), 2);
    other.send_all("").await;
    serving.await.unwrap();
}
