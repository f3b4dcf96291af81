//! Routes that share a port and are told apart by who dials.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use flotilla_proxy::{Condition, CutOptions, NewConnections, Plan, Route, SplitError};
use tokio::net::{TcpSocket, TcpStream};

use crate::link::{Line, assert_silent, in_time, read_once, receive, send, until};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 0, 1));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 0, 2));

/// A port with two routes of their own, and the one of whoever else.
async fn shared() -> (Line, Route, Route) {
    let line = Line::open().await;
    let split = |source, from| line.network.split(&line.route, source, from).unwrap();
    let (one, two) = (split(ONE, "node 1"), split(TWO, "node 2"));
    (line, one, two)
}

async fn dial_from(source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    in_time(socket.connect(to)).await
}

/// A connection from end to end.
async fn connect_from(source: IpAddr, line: &Line) -> (TcpStream, TcpStream) {
    let mut dialer = dial_from(source, line.route.address()).await.unwrap();
    let mut listener = line.accept().await;
    send(&mut dialer, "?").await;
    receive(&mut listener, "?").await;
    (dialer, listener)
}

#[tokio::test]
async fn who_dials_decides_which_route_is_taken() {
    let (line, one, two) = shared().await;
    let _connections = (
        connect_from(ONE, &line).await,
        connect_from(TWO, &line).await,
        connect_from(TWO, &line).await,
        line.connect().await,
    );
    let counts = [&one, &two, &line.route].map(|route| route.counts().connections);
    assert_eq!(counts, [1, 2, 1]);
    assert_eq!(one.address(), line.route.address());
    assert_eq!((one.from(), one.to()), ("node 1", "node 1"));
}

#[tokio::test]
async fn a_cut_silences_only_who_dials_from_there() {
    let (line, one, _two) = shared().await;
    let (mut cut_dialer, cut_listener) = connect_from(ONE, &line).await;
    let (mut dialer, mut listener) = connect_from(TWO, &line).await;
    one.set_plan(Plan::both(Condition::Cut));
    send(&mut cut_dialer, "held").await;
    send(&mut dialer, "through").await;
    receive(&mut listener, "through").await;
    until("the cut meets the bytes", async || {
        (one.counts().forth.connections_hit == 1).then_some(())
    })
    .await;
    assert_silent(&cut_listener);

    line.network.heal();
    let mut listener = cut_listener;
    receive(&mut listener, "held").await;
}

#[tokio::test]
async fn who_is_refused_alone_is_reset_and_the_others_are_let_in() {
    let (line, one, _two) = shared().await;
    one.set_plan(Plan::both(Condition::Reset));
    let mut refused = dial_from(ONE, line.route.address()).await.unwrap();
    let reset = Err(ErrorKind::ConnectionReset);
    assert_eq!(read_once(&mut refused).await, reset);
    assert_eq!(one.counts().resets, 1);
    connect_from(TWO, &line).await;

    one.set_plan(Plan::HEALTHY);
    connect_from(ONE, &line).await;
}

#[tokio::test]
async fn when_all_are_refused_nobody_listens() {
    let (line, ..) = shared().await;
    line.network.set_cut_options(CutOptions {
        new_connections: NewConnections::Refused,
        ..CutOptions::default()
    });
    line.network.isolate("node 1").unwrap();
    line.until_refused().await;
    line.network.heal();
    let dialled = until("it can be dialled", async || line.dial().await.ok());
    drop(dialled.await);
}

#[tokio::test]
async fn an_address_has_one_route_of_its_own() {
    let (line, ..) = shared().await;
    let again = line.network.split(&line.route, ONE, "node 1");
    assert_eq!(again.unwrap_err(), SplitError::SourceTaken(ONE));
    let elsewhere = Line::open().await;
    let foreign = line.network.split(&elsewhere.route, TWO, "node 2");
    let address = elsewhere.route.address();
    assert_eq!(foreign.unwrap_err(), SplitError::NotOurs(address));
}
