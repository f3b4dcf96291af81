//! Serving the connections of the text protocol, and letting them finish.

use std::sync::Arc;

use bytes::BytesMut;
use flotilla_net::{Listener, PortLimits, Refusals, RemoteCertificate, Security};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::backend::TextBackend;
use super::config::TextConfig;
use super::error::{TextCode, TextError};
use super::meters::Meters;
use super::session::Session;

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
    pub async fn serve(self, listener: TcpListener, security: Security, stop: CancellationToken) {
        let limits = PortLimits {
            connections_max: self.config.connections_max,
            open: self.meters.connections.clone(),
            refused: self.meters.connections_refused.clone(),
            refusals: refusals(self.config.connections_max),
            handshake_limit: self.config.unfinished_limit,
        };
        let mut listener = Listener::new(listener, security, limits);
        let mut tasks = JoinSet::new();
        while let Some(mut connection) = stop.run_until_cancelled(listener.accept()).await {
            while tasks.try_join_next().is_some() {}
            let (server, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                let begun = stop.run_until_cancelled(connection.handshake()).await;
                if !matches!(begun, Some(Ok(()))) {
                    return;
                }
                let certificate = connection.remote().clone();
                server
                    .serve_connection(connection, &certificate, &stop)
                    .await;
            });
        }
        drop(listener);
        let finished = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.config.drain_limit, finished).await.is_err() {
            tracing::warn!(
                "commands of the text protocol took too long to finish and were cut off"
            );
        }
    }

    /// Serves one connection, over whatever it comes, until its end or until `stop` is cancelled.
    pub async fn serve_connection<S>(
        &self,
        stream: S,
        certificate: &RemoteCertificate,
        stop: &CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite,
    {
        let stream = Box::pin(stream);
        let ends = tokio::io::split(stream);
        let parts = (self.config.as_ref(), self.backend.as_ref());
        Session::new(parts, certificate, ends).run(stop).await;
    }
}

fn refusals(connections_max: usize) -> Refusals {
    let too_many = format!(
        "this node has all the connections that it takes, {connections_max}: try again later, or another node"
    );
    Refusals {
        too_many: last_words(TextCode::TooManyConnections, too_many),
        plaintext: last_words(TextCode::TlsRequired, "this port speaks TLS".to_owned()),
    }
}

fn last_words(code: TextCode, text: String) -> Arc<[u8]> {
    let mut out = BytesMut::new();
    Answer::Error(TextError::new(code, text)).write(&mut out);
    out.as_ref().into()
}
