//! A cut is silence, and nothing is lost by it.

use flotilla_proxy::{Condition, CutOptions, Direction, NewConnections, OnHeal, Plan};
use tokio::io::AsyncWriteExt;

use crate::link::{Line, Link, assert_silent, read_once, receive, send};

const CUT: Plan = Plan::both(Condition::Cut);

#[tokio::test]
async fn a_cut_is_silence_and_then_the_bytes_come_in_order() {
    let mut link = Link::open().await;
    send(&mut link.dialer, "before,").await;
    receive(&mut link.listener, "before,").await;

    link.line.plan(CUT);
    send(&mut link.dialer, "one,").await;
    send(&mut link.listener, "other").await;
    let both_held = |counts: &flotilla_proxy::RouteCounts| {
        counts.forth.bytes_held == 4 && counts.back.bytes_held == 5
    };
    link.line.until("both are held", both_held).await;
    send(&mut link.dialer, "two").await;
    link.line
        .until("more is held", |c| c.forth.bytes_waiting == 7)
        .await;
    assert_silent(&link.listener);
    assert_silent(&link.dialer);

    link.line.plan(Plan::HEALTHY);
    receive(&mut link.listener, "one,two").await;
    receive(&mut link.dialer, "other").await;
    let counts = link.line.route.counts();
    assert_eq!(counts.forth.bytes, 15);
    assert_eq!(
        (counts.forth.connections_hit, counts.back.connections_hit),
        (1, 1)
    );
    assert_eq!((counts.forth.bytes_waiting, counts.resets), (0, 0));
}

#[tokio::test]
async fn over_a_one_way_cut_requests_arrive_and_answers_do_not() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Back, Condition::Cut));
    send(&mut link.dialer, "request").await;
    receive(&mut link.listener, "request").await;
    send(&mut link.listener, "answer").await;
    link.line
        .until("the answer is held", |c| c.back.bytes_held == 6)
        .await;
    assert_silent(&link.dialer);
    assert_eq!(link.line.route.counts().forth.connections_hit, 0);

    link.line.plan(Plan::HEALTHY);
    receive(&mut link.dialer, "answer").await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_not_heard_over_a_cut() {
    let mut link = Link::open().await;
    link.line
        .plan(Plan::one_way(Direction::Forth, Condition::Cut));
    send(&mut link.dialer, "last words").await;
    drop(link.dialer);
    link.line
        .until("the words are held", |c| c.forth.bytes_held == 10)
        .await;
    send(&mut link.listener, "are you there?").await;
    link.line
        .until("nobody takes the question", |c| c.back.bytes == 15)
        .await;
    assert_silent(&link.listener);

    link.line.plan(Plan::HEALTHY);
    receive(&mut link.listener, "last words").await;
    let end = read_once(&mut link.listener).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn a_side_can_be_closed_while_the_other_goes_on() {
    let mut link = Link::open().await;
    link.line.plan(CUT);
    send(&mut link.dialer, "all").await;
    link.dialer.shutdown().await.unwrap();
    link.line
        .until("all is held", |c| c.forth.bytes_held == 3)
        .await;

    link.line.plan(Plan::HEALTHY);
    receive(&mut link.listener, "all").await;
    assert_eq!(read_once(&mut link.listener).await, Ok(0));
    send(&mut link.listener, "answer").await;
    receive(&mut link.dialer, "answer").await;
}

#[tokio::test]
async fn who_dials_over_a_cut_hangs_and_gets_through_afterwards() {
    let line = Line::open().await;
    line.plan(Plan::one_way(Direction::Back, Condition::Cut));
    let mut dialer = line.dial().await.unwrap();
    send(&mut dialer, "hello").await;
    line.until("the greeting is held", |c| c.forth.bytes_held == 5)
        .await;
    assert_silent(&dialer);

    line.plan(Plan::HEALTHY);
    let mut listener = line.accept().await;
    receive(&mut listener, "hello").await;
    send(&mut listener, "welcome").await;
    receive(&mut dialer, "welcome").await;
}

#[tokio::test]
async fn who_gives_up_dialling_over_a_cut_is_never_heard_of() {
    let line = Line::open().await;
    line.plan(CUT);
    let mut impatient = line.dial().await.unwrap();
    send(&mut impatient, "never mind").await;
    drop(impatient);
    line.until("it has given up", |c| {
        c.connections == 1 && c.connections_open == 0
    })
    .await;

    line.plan(Plan::HEALTHY);
    let (mut dialer, mut listener) = line.connect().await;
    send(&mut dialer, "first").await;
    receive(&mut listener, "first").await;
}

#[tokio::test]
async fn a_cut_can_refuse_who_dials() {
    let mut link = Link::open().await;
    link.line.route.set_cut_options(CutOptions {
        new_connections: NewConnections::Refused,
        ..CutOptions::default()
    });
    link.line.plan(CUT);
    link.line.until_refused().await;
    send(&mut link.dialer, "still there").await;

    link.line.plan(Plan::HEALTHY);
    receive(&mut link.listener, "still there").await;
    let dialled = crate::link::until("it can be dialled", async || link.line.dial().await.ok());
    dialled.await;
}

#[tokio::test]
async fn a_cut_can_reset_connections_when_it_heals() {
    let mut link = Link::open().await;
    link.line.network.set_cut_options(CutOptions {
        on_heal: OnHeal::Reset,
        ..CutOptions::default()
    });
    link.line.plan(CUT);
    send(&mut link.dialer, "lost").await;
    link.line
        .until("it is held", |c| c.forth.bytes_held == 4)
        .await;
    assert_silent(&link.dialer);

    link.line.plan(Plan::HEALTHY);
    let reset = Err(std::io::ErrorKind::ConnectionReset);
    assert_eq!(read_once(&mut link.dialer).await, reset);
    assert_eq!(read_once(&mut link.listener).await, reset);
}
