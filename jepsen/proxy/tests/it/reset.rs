//! Resets, by the plan and by the processes themselves.

use std::io::ErrorKind;

use flotilla_proxy::{Condition, Direction, Plan};

use crate::link::{Line, Link, assert_silent, read_once, receive, send, until};

const RESET: Result<usize, ErrorKind> = Err(ErrorKind::ConnectionReset);

#[tokio::test]
async fn a_reset_is_an_error_at_once_on_both_sides() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Forth, Condition::Reset));
    assert_eq!(read_once(&mut link.dialer).await, RESET);
    assert_eq!(read_once(&mut link.listener).await, RESET);
    link.line.until_refused().await;
    let counts = link.line.route.counts();
    assert!(
        counts.resets >= 1 && counts.forth.connections_hit >= 1,
        "{counts:?}"
    );

    link.line.plan(Plan::HEALTHY);
    let dialled = until("it can be dialled", async || link.line.dial().await.ok());
    let mut dialer = dialled.await;
    let mut listener = link.line.accept().await;
    send(&mut dialer, "again").await;
    receive(&mut listener, "again").await;
}

#[tokio::test]
async fn a_reset_that_is_over_at_once_still_strikes() {
    let mut link = Link::open().await;
    link.line.plan(Plan::both(Condition::Reset));
    link.line.plan(Plan::HEALTHY);
    assert_eq!(read_once(&mut link.dialer).await, RESET);
    assert_eq!(read_once(&mut link.listener).await, RESET);
    assert_eq!(link.line.route.counts().resets, 1);
}

#[tokio::test]
async fn a_process_that_resets_its_end_resets_the_other() {
    let mut link = Link::open().await;
    link.listener.set_zero_linger().unwrap();
    drop(link.listener);
    assert_eq!(read_once(&mut link.dialer).await, RESET);
    assert_eq!(link.line.route.counts().resets, 0, "no fault did it");
}

#[tokio::test]
async fn a_reset_by_a_process_is_not_heard_over_a_cut() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Back, Condition::Cut));
    link.listener.set_zero_linger().unwrap();
    drop(link.listener);
    link.line
        .until("the end is held", |c| c.back.connections_hit == 1)
        .await;
    send(&mut link.dialer, "hello?").await;
    assert_silent(&link.dialer);

    link.line.plan(Plan::HEALTHY);
    assert_eq!(read_once(&mut link.dialer).await, RESET);
}

#[tokio::test]
async fn who_dials_where_nobody_listens_is_reset() {
    let Line {
        network: _network,
        route,
        upstream,
    } = Line::open().await;
    drop(upstream);
    let mut dialer = tokio::net::TcpStream::connect(route.address())
        .await
        .unwrap();
    assert_eq!(read_once(&mut dialer).await, RESET);
    assert_eq!(route.counts().unreachable, 1);
}

#[tokio::test]
async fn a_route_can_lead_elsewhere() {
    let first = Link::open().await;
    let second = Line::open().await;
    first
        .line
        .route
        .set_upstream(second.upstream.local_addr().unwrap());
    let mut dialer = first.line.dial().await.unwrap();
    send(&mut dialer, "moved").await;
    let mut listener = second.accept().await;
    receive(&mut listener, "moved").await;
    assert_silent(&first.listener);
}
