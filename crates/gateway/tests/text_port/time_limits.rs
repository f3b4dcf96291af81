//! How long somebody is waited for. Time is paused: it only moves when everybody waits.

use std::time::Duration;

use tokio::time::{self, Instant};

use super::memory::MemoryBroker;
use super::peer::{Scene, settle};

fn orders() -> MemoryBroker {
    MemoryBroker::new().with_topic("orders", 1)
}

/// Lets time pass after everybody has done what they can do now.
async fn advance(time: Duration) {
    settle().await;
    time::advance(time).await;
}

/// Within a moment of it.
fn assert_took(started: Instant, expected: Duration) {
    let took = started.elapsed();
    let moment = Duration::from_millis(10);
    assert!(took >= expected && took < expected + moment, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_told_and_left() {
    let mut scene = Scene::of(orders());
    assert_eq!(scene.peer.ask("PING").await, "PONG");
    let started = Instant::now();
    let told = scene.peer.rest().await;
    assert!(
        told.starts_with("ERR idle no command came for 300 s"),
        "{told}"
    );
    assert_took(started, Duration::from_secs(300));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_is_not_silent() {
    let mut scene = Scene::of(orders());
    for _ in 0..10 {
        assert_eq!(scene.peer.ask("PING").await, "PONG");
        advance(Duration::from_secs(200)).await;
    }
    // Empty lines say nothing.
    scene.peer.send("\r\n").await;
    let started = Instant::now();
    assert!(scene.peer.rest().await.starts_with("ERR idle "));
    assert_took(started, Duration::from_secs(100));
}

#[tokio::test(start_paused = true)]
async fn a_line_or_a_payload_has_to_end() {
    for beginning in ["PIN", "PUB orders 9\r\nx", "PUB or:ders 9\r\nx"] {
        let mut scene = Scene::of(orders());
        let started = Instant::now();
        scene.peer.send(beginning).await;
        advance(Duration::from_secs(20)).await;
        scene.peer.send("x").await;
        let told = scene.peer.rest().await;
        let expected = "ERR half-sent what was begun did not end within 30 s";
        assert!(told.starts_with(expected), "{told}");
        assert_took(started, Duration::from_secs(30));
        assert_eq!(scene.broker.queued(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_waits_for_an_answer_is_not_idle() {
    let mut scene = Scene::of(orders());
    scene.broker.acknowledge(0);
    scene.peer.send("PUB orders 1\nx").await;
    scene.broker.until_queued(1).await;
    advance(Duration::from_secs(1_000)).await;
    scene.broker.acknowledge(1);
    assert_eq!(scene.peer.line().await, "OK 0");
    assert_eq!(scene.peer.ask("\nPING").await, "PONG");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_a_record() {
    let mut scene = Scene::of(orders());
    let started = Instant::now();
    let told = scene.peer.ask("FETCH orders latest wait=2500").await;
    assert!(
        told.starts_with("ERR no-such-offset nothing can be read"),
        "{told}"
    );
    assert_took(started, Duration::from_millis(2_500));

    scene.peer.send("FETCH orders latest wait=2500\n").await;
    advance(Duration::from_millis(2_000)).await;
    scene.broker.store("orders", 0, &[Some("at last")]);
    assert_eq!(scene.peer.line().await, "MSG 0 7");
    assert_eq!(scene.peer.exactly(7).await, "at last");

    let started = Instant::now();
    assert_eq!(
        scene.peer.ask("FETCH orders 1 10 wait=999999").await,
        "END 1"
    );
    assert_took(started, Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_cut_off() {
    let broker = orders();
    let large: &'static str = "x".repeat(20_000).leak();
    broker.store("orders", 0, &[Some(large)]);
    let mut scene = Scene::of(broker);
    let started = Instant::now();
    scene.peer.send("FETCH orders 0\n").await;
    scene.serving.await.unwrap();
    assert_took(started, Duration::from_secs(30));
    assert!(scene.peer.rest().await.len() < 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_served() {
    let broker = orders();
    let large: &'static str = "x".repeat(20_000).leak();
    broker.store("orders", 0, &[Some(large)]);
    let mut scene = Scene::of(broker);
    scene.peer.send("FETCH orders 0\n").await;
    assert_eq!(scene.peer.line().await, "MSG 0 20000");
    for _ in 0..20 {
        advance(Duration::from_secs(20)).await;
        scene.peer.exactly(1_000).await;
    }
    assert_eq!(scene.peer.ask("PING").await, "PONG");
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_flight_and_says_so() {
    let mut scene = Scene::of(orders());
    scene.broker.acknowledge(0);
    scene.peer.send("PUB orders 1\naFETCH orders 0\n").await;
    scene.broker.until_queued(1).await;
    scene.stop.cancel();
    settle().await;
    scene.broker.acknowledge(1);
    assert_eq!(scene.peer.line().await, "OK 0");
    let rest = scene.peer.rest().await;
    assert!(
        rest.starts_with("ERR SHUTTING_DOWN this node stops; "),
        "{rest}"
    );
    assert_eq!(rest.lines().count(), 1);
    scene.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_records_that_may_come() {
    let mut scene = Scene::of(orders());
    let started = Instant::now();
    scene.peer.send("FETCH orders latest wait=30000\n").await;
    advance(Duration::from_secs(1)).await;
    scene.stop.cancel();
    assert!(scene.peer.rest().await.starts_with("ERR SHUTTING_DOWN "));
    assert_took(started, Duration::from_secs(1));
}
