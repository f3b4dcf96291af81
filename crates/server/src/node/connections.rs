//! The connections of one gRPC port: so many at a time, and none that says nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::config::ConnectionLimits;

/// Pause after the system could not hand over a connection: it is short of something, and asking
/// again at once would only keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Length of what an HTTP/2 client says first (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// Connections that are told at a time why they are refused. More are closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long a refused client may take to read why.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

const OPEN: &str = "flotilla_grpc_connections";
const REFUSED: &str = "flotilla_grpc_connections_refused_total";

/// A client's connection. It holds its place until it is dropped.
pub(super) struct Connection {
    stream: TcpStream,
    /// What is missing of the client's first words, and until when.
    handshake: Option<Handshake>,
    handshake_limit: Duration,
    _place: Place,
}

struct Handshake {
    bytes_missing: usize,
    end: Pin<Box<Sleep>>,
}

struct Place {
    _slot: OwnedSemaphorePermit,
    open: Gauge,
}

struct Acceptor {
    listener: TcpListener,
    limits: ConnectionLimits,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    open: Gauge,
    refused: Counter,
}

/// Accepts connections for as long as it is polled.
pub(super) fn accept(
    port: &'static str,
    listener: TcpListener,
    limits: ConnectionLimits,
) -> impl Stream<Item = io::Result<Connection>> {
    describe_gauge!(OPEN, "Connections to a gRPC port that are open");
    describe_counter!(REFUSED, "Connections to a gRPC port that were one too many");
    let acceptor = Acceptor {
        listener,
        limits,
        slots: Arc::new(Semaphore::new(limits.connections_max)),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        open: gauge!(OPEN, "port" => port),
        refused: counter!(REFUSED, "port" => port),
    };
    acceptor.open.set(0.0);
    futures::stream::unfold(acceptor, |acceptor| async move {
        let connection = acceptor.next().await;
        Some((Ok(connection), acceptor))
    })
}

impl Acceptor {
    async fn next(&self) -> Connection {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match Arc::clone(&self.slots).try_acquire_owned() {
                    Ok(slot) => return self.connection(stream, slot),
                    Err(_) => self.refuse(stream),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connection(&self, stream: TcpStream, slot: OwnedSemaphorePermit) -> Connection {
        // A peer that is gone already shows as an error of its first read.
        let _ = stream.set_nodelay(true);
        self.open.increment(1.0);
        Connection {
            stream,
            handshake: Some(Handshake {
                bytes_missing: PREFACE_BYTES,
                end: Box::pin(sleep(self.limits.handshake_limit)),
            }),
            handshake_limit: self.limits.handshake_limit,
            _place: Place {
                _slot: slot,
                open: self.open.clone(),
            },
        }
    }

    fn refuse(&self, stream: TcpStream) {
        self.refused.increment(1);
        let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        let words = refusal(self.limits.connections_max);
        tokio::spawn(async move {
            // Whoever does not read it finds the connection closed.
            let _ = timeout(REFUSAL_LIMIT, say_and_close(stream, &words)).await;
            drop(turn);
        });
    }
}

impl Connection {
    /// What the client says first, which is still to be read; `None` if it closes without a word.
    pub(super) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut first = [0; 1];
        let peeked = timeout(self.handshake_limit, self.stream.peek(&mut first)).await;
        let length = peeked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok((length > 0).then_some(first[0]))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

async fn say_and_close(mut stream: TcpStream, words: &[u8]) -> io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    // Closing before the client's words are read would make the system take ours back.
    let mut said = [0; 1_024];
    while stream.read(&mut said).await? > 0 {}
    Ok(())
}

/// An empty SETTINGS frame, with which a server begins, and a GOAWAY frame with the reason
/// ENHANCE_YOUR_CALM and the cause in words (RFC 9113, sections 6.5 and 6.8).
fn refusal(connections_max: usize) -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u32 = 11;
    let cause = format!(
        "OVERLOADED: this node has {connections_max} connections already: try another one, or again later"
    );
    let mut goaway = vec![0; 4];
    goaway.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    goaway.extend_from_slice(cause.as_bytes());
    let mut words = frame(SETTINGS, &[]);
    words.extend(frame(GOAWAY, &goaway));
    words
}

/// A frame of stream 0 without flags.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("invariant: our frames are short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.push(kind);
    frame.extend_from_slice(&[0; 5]);
    frame.extend_from_slice(payload);
    frame
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(handshake) = &mut self.handshake else {
            return polled;
        };
        let bytes_read = buffer.filled().len() - before;
        handshake.bytes_missing = handshake.bytes_missing.saturating_sub(bytes_read);
        if handshake.bytes_missing == 0 {
            self.handshake = None;
        } else if polled.is_pending() {
            ready!(handshake.end.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::StreamExt;

    use super::*;

    async fn port(
        connections_max: usize,
        handshake_limit: Duration,
    ) -> (
        SocketAddr,
        Pin<Box<dyn Stream<Item = io::Result<Connection>>>>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = ConnectionLimits {
            connections_max,
            handshake_limit,
        };
        (address, Box::pin(accept("test", listener, limits)))
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_why_and_a_place_that_is_free_is_taken() {
        let (address, mut accepted) = port(1, Duration::from_secs(60)).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let place = accepted.next().await.unwrap().unwrap();

        let second = TcpStream::connect(address).await.unwrap();
        let (mut second, mut said) = (second, Vec::new());
        tokio::select! {
            _ = accepted.next() => panic!("one too many was let in"),
            read = second.read_to_end(&mut said) => drop(read.unwrap()),
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.contains("OVERLOADED: this node has 1 connections"),
            "{said}"
        );
        drop(second);

        drop(place);
        let mut third = TcpStream::connect(address).await.unwrap();
        let mut served = accepted.next().await.unwrap().unwrap();
        third.write_all(&[7; PREFACE_BYTES]).await.unwrap();
        let mut heard = [0; PREFACE_BYTES];
        served.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [7; PREFACE_BYTES]);
    }

    #[tokio::test]
    async fn a_connection_that_does_not_introduce_itself_is_closed() {
        let (address, mut accepted) = port(8, Duration::from_millis(20)).await;
        for words in [&b""[..], b"PRI * HTTP"] {
            let mut silent = TcpStream::connect(address).await.unwrap();
            silent.write_all(words).await.unwrap();
            let mut connection = accepted.next().await.unwrap().unwrap();
            let mut heard = Vec::new();
            let error = connection.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(heard, words);
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_introduced_itself_may_be_silent() {
        let (address, mut accepted) = port(8, Duration::from_millis(1)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut connection = accepted.next().await.unwrap().unwrap();
        client.write_all(&[1; PREFACE_BYTES]).await.unwrap();
        let mut heard = [0; PREFACE_BYTES];
        connection.read_exact(&mut heard).await.unwrap();
        let silence = timeout(Duration::from_millis(30), connection.read(&mut heard)).await;
        assert!(silence.is_err(), "{silence:?}");
    }
}
