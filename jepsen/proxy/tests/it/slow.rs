//! Delays and rates. Time itself is what these tests are about.

use std::num::NonZeroU64;
use std::time::Duration;

use flotilla_proxy::{Condition, Direction, Plan, Slow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::link::{Link, in_time, read_once, receive, send};

/// How much later than wanted something may come on a busy machine.
const LENIENCE: Duration = Duration::from_secs(3);

fn delay(min_ms: u64, max_ms: u64) -> Condition {
    Condition::delay(Duration::from_millis(min_ms), Duration::from_millis(max_ms))
}

fn rate(bytes_per_second: u64) -> Condition {
    Condition::rate(NonZeroU64::new(bytes_per_second).unwrap())
}

#[tokio::test]
async fn a_delay_keeps_bytes_for_as_long_as_it_says() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Forth, delay(100, 120)));
    let start = Instant::now();
    send(&mut link.dialer, "late").await;
    receive(&mut link.listener, "late").await;
    let taken = start.elapsed();
    let wanted = Duration::from_millis(100)..Duration::from_millis(120) + LENIENCE;
    assert!(wanted.contains(&taken), "{taken:?}");

    let start = Instant::now();
    send(&mut link.listener, "at once").await;
    receive(&mut link.dialer, "at once").await;
    let taken = start.elapsed();
    assert!(
        taken < Duration::from_millis(100),
        "the way back is healthy: {taken:?}"
    );
}

#[tokio::test]
async fn delayed_bytes_keep_their_order() {
    let mut link = Link::open().await;
    link.line.plan(Plan::both(delay(0, 20)));
    let words: Vec<_> = (0..200).map(|number| format!("{number},")).collect();
    for word in &words {
        send(&mut link.dialer, word).await;
    }
    receive(&mut link.listener, &words.concat()).await;
}

#[tokio::test]
async fn delayed_bytes_pass_at_once_when_it_heals() {
    let mut link = Link::open().await;
    link.line.plan(Plan::both(delay(600_000, 600_000)));
    send(&mut link.dialer, "held").await;
    link.line
        .until("it is held", |c| c.forth.bytes_held == 4)
        .await;
    link.line.plan(Plan::HEALTHY);
    receive(&mut link.listener, "held").await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_late_too() {
    let mut link = Link::open().await;
    link.line.plan(Plan::both(delay(100, 100)));
    let start = Instant::now();
    drop(link.dialer);
    assert_eq!(read_once(&mut link.listener).await, Ok(0));
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_rate_bounds_how_fast_bytes_pass() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Forth, rate(1_000_000)));
    let taken = transfer(&mut link, 500_000).await;
    let wanted = Duration::from_millis(450)..Duration::from_millis(500) + LENIENCE;
    assert!(wanted.contains(&taken), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_high_rate_is_reached_although_timers_are_coarse() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Forth, rate(100_000_000)));
    let taken = transfer(&mut link, 50_000_000).await;
    let wanted = Duration::from_millis(450)..Duration::from_millis(500) + LENIENCE;
    assert!(wanted.contains(&taken), "{taken:?}");
}

#[tokio::test]
async fn connections_share_the_rate_of_their_route() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Forth, rate(1_000_000)));
    let (mut dialer, mut listener) = link.line.connect().await;
    let start = Instant::now();
    let second = async {
        let sent = vec![1; 250_000];
        let mut received = vec![0; 250_000];
        let (written, read) = in_time(async {
            tokio::join!(dialer.write_all(&sent), listener.read_exact(&mut received))
        })
        .await;
        written.unwrap();
        read.unwrap();
    };
    tokio::join!(transfer(&mut link, 250_000), second);
    let taken = start.elapsed();
    let wanted = Duration::from_millis(450)..Duration::from_millis(500) + LENIENCE;
    assert!(wanted.contains(&taken), "{taken:?}");
}

#[tokio::test]
async fn delay_and_rate_add_up() {
    let mut link = Link::open().await;
    let slow = Slow {
        delay_min: Duration::from_millis(200),
        delay_max: Duration::from_millis(200),
        bytes_per_second: NonZeroU64::new(100_000),
    };
    link.line.plan(Plan::both(Condition::Slow(slow)));
    let taken = transfer(&mut link, 20_000).await;
    let wanted = Duration::from_millis(370)..Duration::from_millis(400) + LENIENCE;
    assert!(wanted.contains(&taken), "{taken:?}");
}

/// How long so many bytes take from the dialer to the listener.
async fn transfer(link: &mut Link, count: usize) -> Duration {
    let sent = vec![7; count];
    let mut received = vec![0; count];
    let start = Instant::now();
    let (written, read) = in_time(async {
        tokio::join!(
            link.dialer.write_all(&sent),
            link.listener.read_exact(&mut received)
        )
    })
    .await;
    written.unwrap();
    read.unwrap();
    assert_eq!(sent, received);
    start.elapsed()
}
