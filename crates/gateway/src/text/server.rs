//! Accepting connections of the text protocol, within limits, and letting them finish.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::backend::TextBackend;
use super::config::TextConfig;
use super::error::{TextCode, TextError};
use super::meters::Meters;
use super::session::Session;

/// Pause after the system could not hand over a connection: it is short of something, and asking
/// again at once would only keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that are one too many and are told so at a time. The others are only closed.
const REFUSALS_MAX: usize = 64;
/// How long telling somebody so may take.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);
/// What is read meanwhile from somebody who has sent already, in bytes.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;

/// The port of the text protocol of one node.
pub struct TextServer<B> {
    config: Arc<TextConfig>,
    backend: Arc<B>,
    meters: Arc<Meters>,
}

impl<B> Clone for TextServer<B> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            backend: Arc::clone(&self.backend),
            meters: Arc::clone(&self.meters),
        }
    }
}

impl<B: TextBackend> TextServer<B> {
    pub fn new(config: TextConfig, backend: Arc<B>) -> Self {
        Self {
            config: Arc::new(config),
            backend,
            meters: Arc::new(Meters::new()),
        }
    }

    /// Serves until `stop` is cancelled. Then it accepts nothing more, begins no other command, and
    /// returns when the commands that are in flight are answered or [`TextConfig::drain_limit`] has
    /// passed.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let mut connections = Connections {
            slots: Arc::new(Semaphore::new(self.config.connections_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            tasks: JoinSet::new(),
            server: self,
            stop: stop.clone(),
        };
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => break,
                next = listener.accept() => next,
            };
            match next {
                Ok((stream, _)) => connections.take(stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of the text protocol");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.drain().await;
    }

    /// Serves one connection, over whatever it comes, until its end or until `stop` is cancelled.
    pub async fn serve_connection<S>(&self, stream: S, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite,
    {
        let _counted = self.meters.connection();
        let stream = Box::pin(stream);
        let (reader, writer) = tokio::io::split(stream);
        let session = Session::new(&self.config, self.backend.as_ref(), reader, writer);
        session.run(stop).await;
    }
}

/// The connections that are open. Dropping it cuts them off.
struct Connections<B> {
    server: TextServer<B>,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl<B: TextBackend> Connections<B> {
    fn take(&mut self, stream: TcpStream) {
        while self.tasks.try_join_next().is_some() {}
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => self.start(stream, slot),
            Err(_) => self.refuse(stream),
        }
    }

    fn start(&mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // A peer that is gone already shows as an error of its first read.
        let _ = stream.set_nodelay(true);
        let server = self.server.clone();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            server.serve_connection(stream, &stop).await;
            drop(slot);
        });
    }

    fn refuse(&mut self, stream: TcpStream) {
        self.server.meters.connections_refused.increment(1);
        let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        let max = self.server.config.connections_max;
        self.tasks.spawn(async move {
            // A peer that is gone already needs no words.
            let _ = timeout(REFUSAL_LIMIT, say_too_many(stream, max)).await;
            drop(turn);
        });
    }

    async fn drain(mut self) {
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        let limit = self.server.config.drain_limit;
        if timeout(limit, finished).await.is_err() {
            tracing::warn!(
                "commands of the text protocol took too long to finish and were cut off"
            );
        }
    }
}

async fn say_too_many(mut stream: TcpStream, max: usize) -> io::Result<()> {
    let text = format!(
        "this node has all the connections that it takes, {max}: try again later, or another node"
    );
    let error = TextError::new(TextCode::TooManyConnections, text);
    let mut out = BytesMut::new();
    Answer::Error(error).write(&mut out);
    stream.write_all(&out).await?;
    stream.shutdown().await?;
    // Closing over unread bytes would take the words away from the peer.
    let mut rest = stream.take(REFUSAL_BYTES_MAX);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}
