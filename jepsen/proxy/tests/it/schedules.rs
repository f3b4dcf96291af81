//! Whatever happens to a connection that lives, its bytes arrive whole and in order.

use std::num::NonZeroU64;
use std::time::Duration;

use flotilla_proxy::{Condition, Plan, Slow};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::link::{Line, in_time};

const SCHEDULES: u64 = 12;
const CONNECTIONS: u64 = 4;
const PLANS: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_arrives_whole_whatever_the_schedule() {
    let first: u64 = rand::random();
    for seed in (0..SCHEDULES).map(|number| first.wrapping_add(number)) {
        println!("seed {seed}");
        run_schedule(seed).await;
    }
}

async fn run_schedule(seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    let line = Line::open().await;
    let mut streams = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (dialer, listener) = line.connect().await;
        let (dialer_read, dialer_write) = dialer.into_split();
        let (listener_read, listener_write) = listener.into_split();
        streams.spawn(write_all(listener_write, chance.random(), number));
        streams.spawn(write_all(dialer_write, chance.random(), number));
        let seeds = (seed, number);
        streams.spawn(check_all(dialer_read, seeds));
        streams.spawn(check_all(listener_read, seeds));
    }
    for _ in 0..PLANS {
        let forth = draw_condition(&mut chance);
        let back = draw_condition(&mut chance);
        line.plan(Plan { forth, back });
        // A schedule is made of time: each plan has to be in force for a while.
        sleep(Duration::from_millis(chance.random_range(0..15))).await;
    }
    line.plan(Plan::HEALTHY);
    in_time(streams.join_all()).await;
    line.until("all has ended", |c| c.connections_open == 0)
        .await;
    assert_eq!(line.route.counts().resets, 0);
}

fn draw_condition(chance: &mut StdRng) -> Condition {
    let rate = NonZeroU64::new(chance.random_range(1..50_000_000));
    let slow = Slow {
        delay_min: Duration::ZERO,
        delay_max: Duration::from_millis(chance.random_range(0..20)),
        bytes_per_second: rate.filter(|_| chance.random_bool(0.5)),
    };
    match chance.random_range(0..4) {
        0 => Condition::Healthy,
        1 | 2 => Condition::Cut,
        _ => Condition::Slow(slow),
    }
}

/// Sends a stream that says how it has to go on: its seed, its length, and then what follows from the seed.
async fn write_all(mut to: OwnedWriteHalf, seed: u64, number: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    let length: u64 = chance.random_range(0..3 << 20) / (1 + number * 100);
    to.write_u64(seed).await.unwrap();
    to.write_u64(length).await.unwrap();
    let mut left = length as usize;
    while left > 0 {
        let mut piece = vec![0; chance.random_range(1..=64 << 10).min(left)];
        chance.fill_bytes(&mut piece);
        to.write_all(&piece).await.unwrap();
        left -= piece.len();
    }
    to.shutdown().await.unwrap();
}

async fn check_all(mut from: OwnedReadHalf, (schedule, number): (u64, u64)) {
    let place = format!("seed {schedule}, connection {number}");
    let seed = from.read_u64().await.expect(&place);
    let length = from.read_u64().await.expect(&place);
    let mut received = Vec::new();
    from.read_to_end(&mut received).await.expect(&place);
    let mut chance = StdRng::seed_from_u64(seed);
    let _: u64 = chance.random_range(0..3 << 20);
    let mut expected = Vec::new();
    while expected.len() < length as usize {
        let left = length as usize - expected.len();
        let mut piece = vec![0; chance.random_range(1..=64 << 10).min(left)];
        chance.fill_bytes(&mut piece);
        expected.extend(piece);
    }
    assert_eq!(received.len(), expected.len(), "{place}");
    assert!(received == expected, "{place}: the bytes are not the same");
}
