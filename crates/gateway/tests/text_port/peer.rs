//! Somebody at the other end of a connection.

use std::sync::Arc;

use flotilla_gateway::text::{TextConfig, TextServer};
use flotilla_net::RemoteCertificate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;

use super::memory::MemoryBroker;

/// What fits between the two ends.
const PIPE_BYTES: usize = 4 << 10;

pub(crate) struct Peer<S = DuplexStream> {
    stream: S,
    /// Read and not looked at.
    unread: Vec<u8>,
}

/// A connection to a broker of its own, and what stands behind it.
pub(crate) struct Scene {
    pub(crate) peer: Peer,
    pub(crate) broker: Arc<MemoryBroker>,
    pub(crate) stop: CancellationToken,
    /// Ends with the connection.
    pub(crate) serving: JoinHandle<()>,
}

/// Until everybody has done what can be done without more input.
pub(crate) async fn settle() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

impl Scene {
    pub(crate) fn of(broker: MemoryBroker) -> Self {
        Self::with(broker, TextConfig::default())
    }

    pub(crate) fn with(broker: MemoryBroker, config: TextConfig) -> Self {
        let broker = Arc::new(broker);
        let server = TextServer::new(config, Arc::clone(&broker));
        let (ours, theirs) = duplex(PIPE_BYTES);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let serving = tokio::spawn(async move {
            server
                .serve_connection(theirs, &RemoteCertificate::default(), &token)
                .await
        });
        Self {
            peer: Peer::new(ours),
            broker,
            stop,
            serving,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        let unread = Vec::new();
        Self { stream, unread }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends these lines, and nothing more.
    pub(crate) async fn send_all(&mut self, bytes: impl AsRef<[u8]>) {
        self.send(bytes).await;
        self.stream.shutdown().await.unwrap();
    }

    /// The next line, without its CRLF.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<_> = self.unread.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).unwrap();
            }
            let more = self.read_more().await;
            assert!(more, "the connection ended after {:?}", self.unread);
        }
    }

    /// Sends a line and takes one.
    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.line().await
    }

    /// Sends a line and takes a line and a payload.
    pub(crate) async fn fetch(&mut self, line: &str) -> (String, String) {
        let answer = self.ask(line).await;
        let size = answer.rsplit(' ').next().unwrap().parse();
        let payload = self
            .exactly(size.unwrap_or_else(|_| panic!("{answer}")))
            .await;
        (answer, payload)
    }

    pub(crate) async fn exactly(&mut self, size: usize) -> String {
        while self.unread.len() < size {
            assert!(self.read_more().await, "the connection ended too early");
        }
        String::from_utf8(self.unread.drain(..size).collect()).unwrap()
    }

    /// Everything until the connection ends.
    pub(crate) async fn rest(&mut self) -> String {
        while self.read_more().await {}
        String::from_utf8(std::mem::take(&mut self.unread)).unwrap()
    }

    async fn read_more(&mut self) -> bool {
        self.stream.read_buf(&mut self.unread).await.unwrap_or(0) > 0
    }
}
