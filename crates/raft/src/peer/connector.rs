//! How a node reaches another: a seam, so that a simulation can put its own network here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flotilla_net::{Keyring, Source, connect_tcp};
use flotilla_types::NodeId;
use flotilla_types::limits::{
    GRPC_CONNECTION_WINDOW_BYTES, GRPC_FRAME_BYTES, GRPC_STREAM_WINDOW_BYTES,
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

use super::wire::PeerStream;

type Connecting<'a, C> = Pin<Box<dyn Future<Output = Result<C, ConnectError>> + Send + 'a>>;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{address:?} is not an address of the form host:port")]
    Address { address: String, source: Error },
    #[error("cannot connect to {address}")]
    Connect { address: String, source: Error },
    #[error("cannot open a link to {address}")]
    Dial { address: String, source: io::Error },
}

/// Where to connect to, and whom to expect there.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// `None` if any node of the cluster will do.
    pub node: Option<NodeId>,
    /// A `host:port`.
    pub address: &'a str,
}

/// Opens connections to other nodes.
pub trait Connector: Send + Sync + 'static {
    /// A new connection for frames.
    fn dial<'a>(&'a self, to: Destination<'a>) -> Connecting<'a, Box<dyn PeerStream>>;

    /// A new connection for calls.
    fn connect<'a>(&'a self, to: Destination<'a>) -> Connecting<'a, Channel>;
}

/// Connections over TCP.
#[derive(Clone)]
pub struct TcpConnector {
    timeout: Duration,
    source: Source,
    /// With it, nodes prove who they are to each other, in TLS.
    keyring: Option<Arc<Keyring>>,
}

/// What is spoken over a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Frames,
    Calls,
}

impl TcpConnector {
    pub fn new(source: Source, keyring: Option<Arc<Keyring>>) -> Self {
        Self {
            timeout: Duration::from_secs(2),
            source,
            keyring,
        }
    }

    async fn open(
        &self,
        node: Option<NodeId>,
        address: &str,
        speech: Speech,
    ) -> io::Result<Box<dyn PeerStream>> {
        let stream = connect_tcp(address, self.source, self.timeout).await?;
        match &self.keyring {
            None => Ok(Box::new(stream)),
            Some(keyring) => {
                let is_http_2 = speech == Speech::Calls;
                Ok(Box::new(keyring.dial(node, is_http_2, stream).await?))
            }
        }
    }
}

impl Connector for TcpConnector {
    fn dial<'a>(&'a self, to: Destination<'a>) -> Connecting<'a, Box<dyn PeerStream>> {
        Box::pin(async move {
            let opening = self.open(to.node, to.address, Speech::Frames);
            let opened = timeout(self.timeout, opening).await;
            let opened = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            opened.map_err(|source| ConnectError::Dial {
                address: to.address.to_owned(),
                source,
            })
        })
    }

    fn connect<'a>(&'a self, to: Destination<'a>) -> Connecting<'a, Channel> {
        Box::pin(async move {
            let uri = format!("http://{}", to.address);
            let endpoint = Endpoint::from_shared(uri).map_err(|source| ConnectError::Address {
                address: to.address.to_owned(),
                source,
            })?;
            let (this, node) = (self.clone(), to.node);
            let connector = service_fn(move |uri: Uri| {
                let this = this.clone();
                async move {
                    let address = uri.authority().map_or("", |address| address.as_str());
                    let opened = this.open(node, address, Speech::Calls).await;
                    opened.map(TokioIo::new)
                }
            });
            endpoint
                .connect_timeout(self.timeout)
                .initial_stream_window_size(GRPC_STREAM_WINDOW_BYTES)
                .initial_connection_window_size(GRPC_CONNECTION_WINDOW_BYTES)
                .max_frame_size(GRPC_FRAME_BYTES)
                .http2_keep_alive_interval(Duration::from_secs(2))
                .keep_alive_timeout(Duration::from_secs(4))
                .keep_alive_while_idle(true)
                .connect_with_connector(connector)
                .await
                .map_err(|source| ConnectError::Connect {
                    address: to.address.to_owned(),
                    source,
                })
        })
    }
}
