//! A connection through a proxy, and both of its ends.

use std::future::Future;
use std::io;
use std::time::Duration;

use flotilla_proxy::{Network, Plan, Route, RouteCounts, RouteOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(1);

/// Who listens somewhere, and a route there.
pub(crate) struct Line {
    pub(crate) network: Network,
    pub(crate) route: Route,
    pub(crate) upstream: TcpListener,
}

/// One connection over a line: who has dialled, and who was dialled.
pub(crate) struct Link {
    pub(crate) line: Line,
    pub(crate) dialer: TcpStream,
    pub(crate) listener: TcpStream,
}

impl Line {
    pub(crate) async fn open() -> Self {
        let network = Network::new(1);
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = RouteOptions::new("client", "node 1", upstream.local_addr().unwrap());
        let route = network.open(options).unwrap();
        Self {
            network,
            route,
            upstream,
        }
    }

    pub(crate) async fn dial(&self) -> io::Result<TcpStream> {
        in_time(TcpStream::connect(self.route.address())).await
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        in_time(self.upstream.accept()).await.unwrap().0
    }

    /// Dials, and passes one byte either way: the connection is there from end to end.
    pub(crate) async fn connect(&self) -> (TcpStream, TcpStream) {
        let mut dialer = self.dial().await.unwrap();
        let mut listener = self.accept().await;
        send(&mut dialer, "?").await;
        receive(&mut listener, "?").await;
        send(&mut listener, "!").await;
        receive(&mut dialer, "!").await;
        (dialer, listener)
    }

    pub(crate) fn plan(&self, plan: Plan) {
        self.route.set_plan(plan);
    }

    /// Waits until the counts are as they should be.
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&RouteCounts) -> bool) {
        until(what, async || fits(&self.route.counts()).then_some(())).await;
    }

    pub(crate) async fn until_refused(&self) {
        until("whoever dials is refused", async || {
            let error = self.dial().await.err()?;
            (error.kind() == io::ErrorKind::ConnectionRefused).then_some(())
        })
        .await;
    }
}

impl Link {
    pub(crate) async fn open() -> Self {
        let line = Line::open().await;
        let (dialer, listener) = line.connect().await;
        Self {
            line,
            dialer,
            listener,
        }
    }
}

pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        // Counts and kernels wake nobody, so they are asked again.
        sleep(PAUSE).await;
    }
}

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("it takes too long")
}

pub(crate) async fn send(stream: &mut TcpStream, text: &str) {
    in_time(stream.write_all(text.as_bytes())).await.unwrap();
}

/// Reads as many bytes as the text has, which have to be the text.
pub(crate) async fn receive(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    in_time(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

/// How the next read comes out: so many bytes, or an error.
pub(crate) async fn read_once(stream: &mut TcpStream) -> Result<usize, io::ErrorKind> {
    let read = in_time(stream.read(&mut [0; 1_024])).await;
    read.map_err(|error| error.kind())
}

/// Nothing is there to be read, not even an end.
pub(crate) fn assert_silent(stream: &TcpStream) {
    match stream.try_read(&mut [0; 1_024]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        other => panic!("it is not silent: {other:?}"),
    }
}
