//! Accepting connections: so many at a time, and one too many is told so at once rather than left waiting, because
//! whoever made the others may never let them go.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::certificate::RemoteCertificate;
use crate::keyring::Security;
use crate::stream::{ServerStream, Terms};

/// Pause after the system could not hand over a connection: it is short of something, and asking
/// again at once would only keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that are told at a time why they are refused. More are closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long somebody who is refused may take to read why.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);
/// What is read meanwhile of somebody who has sent already, in bytes.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;

/// What a port says, in its own language, to those whom it does not serve.
#[derive(Clone, Debug)]
pub struct Refusals {
    /// To one connection too many.
    pub too_many: Arc<[u8]>,
    /// To whoever does not speak TLS, where that is spoken.
    pub plaintext: Arc<[u8]>,
}

/// How many connections there may be, and who counts them.
#[derive(Clone)]
pub struct PortLimits {
    /// Connections that are served at a time.
    pub connections_max: usize,
    /// How many are served now.
    pub open: Gauge,
    /// How many were one too many.
    pub refused: Counter,
    pub refusals: Refusals,
    /// How long a TLS handshake may take.
    pub handshake_limit: Duration,
}

/// The listening end of a port.
pub struct Listener {
    tcp: TcpListener,
    terms: Terms,
    limits: PortLimits,
    slots: Arc<Semaphore>,
    refusal_slots: Arc<Semaphore>,
    refusing: JoinSet<()>,
}

/// An accepted connection. It holds its place until it is dropped.
pub struct Connection {
    stream: ServerStream,
    _place: Place,
}

struct Place {
    _slot: OwnedSemaphorePermit,
    open: Gauge,
}

impl Listener {
    pub fn new(tcp: TcpListener, security: Security, limits: PortLimits) -> Self {
        limits.open.set(0.0);
        let terms = Terms {
            failed: security.failed_handshakes(),
            security,
            limit: limits.handshake_limit,
            plaintext_refusal: limits.refusals.plaintext.clone(),
        };
        Self {
            tcp,
            terms,
            slots: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
            refusal_slots: Arc::new(Semaphore::new(REFUSALS_MAX)),
            refusing: JoinSet::new(),
        }
    }

    /// The next connection that there is a place for. Cancel safe.
    pub async fn accept(&mut self) -> Connection {
        loop {
            while self.refusing.try_join_next().is_some() {}
            match self.tcp.accept().await {
                Ok((tcp, _)) => match Arc::clone(&self.slots).try_acquire_owned() {
                    Ok(slot) => return self.connection(tcp, slot),
                    Err(_) => self.refuse(tcp),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connection(&self, tcp: TcpStream, slot: OwnedSemaphorePermit) -> Connection {
        self.limits.open.increment(1.0);
        Connection {
            stream: self.stream(tcp),
            _place: Place {
                _slot: slot,
                open: self.limits.open.clone(),
            },
        }
    }

    fn stream(&self, tcp: TcpStream) -> ServerStream {
        // Somebody who is gone already shows as an error of the first read.
        let _ = tcp.set_nodelay(true);
        ServerStream::new(tcp, &self.terms)
    }

    fn refuse(&mut self, tcp: TcpStream) {
        self.limits.refused.increment(1);
        let Ok(turn) = Arc::clone(&self.refusal_slots).try_acquire_owned() else {
            return;
        };
        let stream = self.stream(tcp);
        let words = self.limits.refusals.too_many.clone();
        self.refusing.spawn(async move {
            // Whoever does not read it finds the connection closed.
            let _ = timeout(REFUSAL_LIMIT, say_and_close(stream, &words)).await;
            drop(turn);
        });
    }
}

async fn say_and_close(mut stream: ServerStream, words: &[u8]) -> io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    // Closing over unread bytes would take the words away from the other end.
    let mut rest = stream.take(REFUSAL_BYTES_MAX);
    let mut said = [0; 1_024];
    while rest.read(&mut said).await? > 0 {}
    Ok(())
}

impl Connection {
    /// Waits for the TLS handshake, if there is one. Otherwise it happens with the first read or write.
    pub async fn handshake(&mut self) -> io::Result<()> {
        self.stream.handshake().await
    }

    /// The certificate of the other end. It is there once something was read.
    pub fn remote(&self) -> &RemoteCertificate {
        self.stream.remote()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
