//! The connections of one gRPC port: none that says nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flotilla_net::{Connection, Listener, PortLimits, Refusals, RemoteCertificate, Security};
use futures::Stream;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

use crate::config::ConnectionLimits;

/// Length of what an HTTP/2 client says first (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// Reasons to send somebody away (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: u32 = 11;
const INADEQUATE_SECURITY: u32 = 12;

const OPEN: &str = "flotilla_grpc_connections";
const REFUSED: &str = "flotilla_grpc_connections_refused_total";

/// A client's connection. It holds its place until it is dropped.
pub(super) struct GrpcConnection {
    connection: Connection,
    /// What is missing of the client's first words, and until when.
    handshake: Option<Handshake>,
    /// Was read to find out what the client speaks.
    first: Option<u8>,
}

struct Handshake {
    bytes_missing: usize,
    end: Pin<Box<Sleep>>,
}

/// Accepts connections for as long as it is polled.
pub(super) fn accept(
    port: &'static str,
    (listener, security): (TcpListener, Security),
    limits: ConnectionLimits,
) -> impl Stream<Item = io::Result<GrpcConnection>> {
    describe_gauge!(OPEN, "Connections to a gRPC port that are open");
    describe_counter!(REFUSED, "Connections to a gRPC port that were one too many");
    let port_limits = PortLimits {
        connections_max: limits.connections_max,
        open: gauge!(OPEN, "port" => port),
        refused: counter!(REFUSED, "port" => port),
        refusals: refusals(limits.connections_max),
        handshake_limit: limits.handshake_limit,
    };
    let listener = Listener::new(listener, security, port_limits);
    futures::stream::unfold(listener, move |mut listener| async move {
        let connection = listener.accept().await;
        let connection = GrpcConnection::new(connection, limits.handshake_limit);
        Some((Ok(connection), listener))
    })
}

impl GrpcConnection {
    fn new(connection: Connection, handshake_limit: Duration) -> Self {
        Self {
            connection,
            handshake: Some(Handshake {
                bytes_missing: PREFACE_BYTES,
                end: Box::pin(sleep(handshake_limit)),
            }),
            first: None,
        }
    }

    /// What the client says first, which is still to be read; `None` if it closes without a word.
    pub(super) async fn first_byte(&mut self) -> io::Result<Option<u8>> {
        let mut first = [0; 1];
        let length = self.read(&mut first).await?;
        self.first = (length > 0).then_some(first[0]);
        Ok(self.first)
    }

    /// The certificate of the other end. It is there once something was read.
    pub(super) fn remote(&self) -> &RemoteCertificate {
        self.connection.remote()
    }
}

fn refusals(connections_max: usize) -> Refusals {
    let too_many = format!(
        "OVERLOADED: this node has {connections_max} connections already: try another one, or again later"
    );
    Refusals {
        too_many: refusal(ENHANCE_YOUR_CALM, &too_many).into(),
        plaintext: refusal(INADEQUATE_SECURITY, "this port speaks TLS").into(),
    }
}

/// An empty SETTINGS frame, with which a server begins, and a GOAWAY frame with the reason and the cause in
/// words (RFC 9113, sections 6.5 and 6.8).
fn refusal(reason: u32, cause: &str) -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    let mut goaway = vec![0; 4];
    goaway.extend_from_slice(&reason.to_be_bytes());
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

impl Connected for GrpcConnection {
    type ConnectInfo = RemoteCertificate;

    fn connect_info(&self) -> RemoteCertificate {
        self.remote().clone()
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.connection).poll_read(context, buffer);
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

impl AsyncWrite for GrpcConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::StreamExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    type Accepted = Pin<Box<dyn Stream<Item = io::Result<GrpcConnection>>>>;

    async fn port(connections_max: usize, handshake_limit: Duration) -> (SocketAddr, Accepted) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = ConnectionLimits {
            connections_max,
            handshake_limit,
        };
        let accepted = accept("test", (listener, Security::default()), limits);
        (address, Box::pin(accepted))
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_why_in_http_2() {
        let (address, mut accepted) = port(0, Duration::from_secs(60)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut said = Vec::new();
        tokio::select! {
            _ = accepted.next() => panic!("one too many was let in"),
            read = client.read_to_end(&mut said) => drop(read.unwrap()),
        }
        let settings = frame(4, &[]);
        assert!(said.starts_with(&settings), "{said:?}");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.contains("OVERLOADED: this node has 0 connections"),
            "{said}"
        );
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

    #[tokio::test]
    async fn the_first_byte_can_be_looked_at_and_is_still_read() {
        let (address, mut accepted) = port(8, Duration::from_secs(60)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"PRI").await.unwrap();
        let mut connection = accepted.next().await.unwrap().unwrap();
        assert_eq!(connection.first_byte().await.unwrap(), Some(b'P'));
        let mut heard = [0; 3];
        connection.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"PRI");

        drop(TcpStream::connect(address).await.unwrap());
        let mut gone = accepted.next().await.unwrap().unwrap();
        assert_eq!(gone.first_byte().await.unwrap(), None);
    }
}
