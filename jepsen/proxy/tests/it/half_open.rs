//! Connections that one end knows to be over, and the other does not.

use std::io::ErrorKind;

use flotilla_proxy::{Condition, CutOptions, Direction, OnHeal, Plan};

use crate::link::{Link, assert_silent, read_once, receive, send};

const RESET: Result<usize, ErrorKind> = Err(ErrorKind::ConnectionReset);

fn half_open(direction: Direction) -> Plan {
    Plan::one_way(direction, Condition::HalfOpen)
}

#[tokio::test]
async fn the_end_that_is_not_told_finds_nothing_but_silence() {
    let mut link = Link::open().await;
    link.line.plan(half_open(Direction::Back));
    assert_eq!(read_once(&mut link.listener).await, RESET);
    send(&mut link.dialer, "are you there?").await;
    link.line
        .until("nobody hears it", |c| c.forth.bytes_held == 14)
        .await;
    assert_silent(&link.dialer);
    assert_eq!(link.line.route.counts().back.connections_hit, 1);

    link.line.plan(Plan::HEALTHY);
    let (mut dialer, mut listener) = link.line.connect().await;
    send(&mut dialer, "anew").await;
    receive(&mut listener, "anew").await;
    assert_silent(&link.dialer);
    assert_eq!(link.line.route.counts().forth.bytes, 6);
}

#[tokio::test]
async fn either_end_can_be_the_one_that_is_not_told() {
    let mut link = Link::open().await;
    link.line.plan(half_open(Direction::Forth));
    assert_eq!(read_once(&mut link.dialer).await, RESET);
    send(&mut link.listener, "hello?").await;
    link.line
        .until("nobody hears it", |c| c.back.bytes_held == 6)
        .await;
    assert_silent(&link.listener);
    drop(link.listener);
    link.line
        .until("it gives up", |c| c.connections_open == 0)
        .await;
}

#[tokio::test]
async fn connections_made_meanwhile_pass_and_their_ends_do_not() {
    let link = Link::open().await;
    link.line.plan(half_open(Direction::Forth));
    let (mut dialer, mut listener) = link.line.connect().await;
    send(&mut dialer, "last words").await;
    receive(&mut listener, "last words").await;
    drop(dialer);
    link.line
        .until("the end is held", |c| c.forth.connections_hit == 2)
        .await;
    assert_silent(&listener);
}

#[tokio::test]
async fn half_open_connections_can_be_reset_in_the_end() {
    let mut link = Link::open().await;
    link.line.route.set_cut_options(CutOptions {
        on_heal: OnHeal::Reset,
        ..CutOptions::default()
    });
    link.line.plan(half_open(Direction::Back));
    assert_eq!(read_once(&mut link.listener).await, RESET);
    link.line.plan(Plan::HEALTHY);
    assert_eq!(read_once(&mut link.dialer).await, RESET);
}
