//! Many connections, much data, and the end of everything.

use std::io;
use std::time::Duration;

use flotilla_proxy::{Condition, HELD_BYTES_MAX, Network, Plan, RouteOptions};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::link::{Line, Link, in_time, read_once, receive, send};

/// Who has not got rid of everything by then is taken to be stuck.
const STUCK: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_pass_at_a_time() {
    let line = Line::open().await;
    let mut pairs = Vec::new();
    for _ in 0..1_000 {
        pairs.push(line.connect().await);
    }
    line.plan(Plan::both(Condition::Cut));
    for (number, (dialer, listener)) in pairs.iter_mut().enumerate() {
        send(dialer, &format!("question {number:04}")).await;
        send(listener, &format!("answer {number:04}")).await;
    }
    line.until("all are hit", |c| {
        c.forth.connections_hit == 1_000 && c.back.connections_hit == 1_000
    })
    .await;
    line.plan(Plan::HEALTHY);
    for (number, (dialer, listener)) in pairs.iter_mut().enumerate() {
        receive(listener, &format!("question {number:04}")).await;
        receive(dialer, &format!("answer {number:04}")).await;
    }
    assert_eq!(line.route.counts().connections_open, 1_000);
    drop(pairs);
    line.until("all are closed", |c| c.connections_open == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_into_a_cut_gets_stuck() {
    let Link {
        line,
        mut dialer,
        mut listener,
    } = Link::open().await;
    let reading = tokio::spawn(async move {
        let count = tokio::io::copy(&mut listener, &mut tokio::io::sink()).await;
        (count.unwrap(), listener)
    });
    // A busy connection is the one for which kernels make the most room.
    let much = vec![0; 50 << 20];
    in_time(dialer.write_all(&much)).await.unwrap();
    let all = 1 + much.len() as u64;
    line.until("all has passed", |c| c.forth.bytes == all).await;

    line.plan(Plan::both(Condition::Cut));
    let mut taken = 0;
    let writing = async {
        while taken < much.len() {
            taken += dialer.write(&much[taken..]).await.unwrap();
        }
    };
    assert!(timeout(STUCK, writing).await.is_err(), "all was taken");
    assert!(taken < 10 << 20, "{taken} bytes were taken");
    let counts = line.route.counts().forth;
    assert_eq!(counts.bytes_waiting, HELD_BYTES_MAX as u64, "{counts:?}");
    assert_eq!(counts.bytes, all);

    line.plan(Plan::HEALTHY);
    dialer.shutdown().await.unwrap();
    let (count, _listener) = in_time(reading).await.unwrap();
    assert_eq!(count, (much.len() + taken) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_direction_waits_for_the_other() {
    const MUCH: usize = 200 << 20;
    let Link {
        line,
        dialer,
        listener,
    } = Link::open().await;
    let mut tasks = JoinSet::new();
    for end in [dialer, listener] {
        let (mut read, mut write) = end.into_split();
        tasks.spawn(async move {
            let piece = vec![0; 1 << 20];
            for _ in 0..MUCH / piece.len() {
                write.write_all(&piece).await.unwrap();
            }
        });
        tasks.spawn(async move {
            tokio::io::copy(&mut read, &mut tokio::io::sink())
                .await
                .unwrap();
        });
    }
    in_time(tasks.join_next()).await.unwrap().unwrap();
    let counts = line.route.counts();
    let behind = counts.forth.bytes.min(counts.back.bytes);
    assert!(behind > MUCH as u64 / 10, "{counts:?}");
    in_time(tasks.join_all()).await;
}

#[tokio::test]
async fn who_does_not_read_makes_the_writer_wait() {
    let mut link = Link::open().await;
    let much = vec![0; 100 << 20];
    let writing = timeout(STUCK, link.dialer.write_all(&much));
    assert!(writing.await.is_err(), "all was taken");
    let counts = link.line.route.counts().forth;
    assert!(counts.bytes_waiting <= HELD_BYTES_MAX as u64, "{counts:?}");
    assert_eq!((counts.bytes_held, counts.connections_hit), (0, 0));
}

#[tokio::test]
async fn everything_ends_with_the_network() {
    let mut link = Link::open().await;
    let route = link.line.route.clone();
    link.line.plan(Plan::both(Condition::Cut));
    drop(link.line.network);
    assert!(matches!(read_once(&mut link.dialer).await, Ok(0) | Err(_)));
    assert!(matches!(
        read_once(&mut link.listener).await,
        Ok(0) | Err(_)
    ));
    assert_eq!(route.counts().connections_open, 0);
}

#[tokio::test]
async fn a_network_that_was_closed_has_left_nothing_behind() {
    let link = Link::open().await;
    let address = link.line.route.address();
    in_time(link.line.network.close()).await;
    assert_eq!(link.line.route.counts().connections_open, 0);
    let error = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_port_can_be_asked_for_and_is_nobody_elses() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = free.local_addr().unwrap();
    drop(free);
    let network = Network::new(1);
    let options = || RouteOptions {
        port: Some(upstream.port()),
        ..RouteOptions::new("client", "node 1", upstream)
    };
    let route = network.open(options()).unwrap();
    assert_eq!(route.address().port(), upstream.port());
    let error = network.open(options()).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
}
