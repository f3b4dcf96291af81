//! How a node reaches another: a seam, so that a simulation can put its own network here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use flotilla_types::limits::{
    GRPC_CONNECTION_WINDOW_BYTES, GRPC_FRAME_BYTES, GRPC_STREAM_WINDOW_BYTES,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Error};

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

/// Opens connections to other nodes.
pub trait Connector: Send + Sync + 'static {
    /// A new connection to `address`, a `host:port`, for frames.
    fn dial<'a>(&'a self, address: &'a str) -> Connecting<'a, Box<dyn PeerStream>>;

    /// A new connection to `address` for calls.
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a, Channel>;
}

/// Connections over TCP.
#[derive(Clone, Debug)]
pub struct TcpConnector {
    timeout: Duration,
}

impl Default for TcpConnector {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(2),
        }
    }
}

impl Connector for TcpConnector {
    fn dial<'a>(&'a self, address: &'a str) -> Connecting<'a, Box<dyn PeerStream>> {
        Box::pin(async move {
            let failed = |source| ConnectError::Dial {
                address: address.to_owned(),
                source,
            };
            let connected = timeout(self.timeout, TcpStream::connect(address)).await;
            let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let stream = connected.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            Ok(Box::new(stream) as Box<dyn PeerStream>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a, Channel> {
        Box::pin(async move {
            let uri = format!("http://{address}");
            let endpoint = Endpoint::from_shared(uri).map_err(|source| ConnectError::Address {
                address: address.to_owned(),
                source,
            })?;
            endpoint
                .connect_timeout(self.timeout)
                .tcp_nodelay(true)
                .initial_stream_window_size(GRPC_STREAM_WINDOW_BYTES)
                .initial_connection_window_size(GRPC_CONNECTION_WINDOW_BYTES)
                .max_frame_size(GRPC_FRAME_BYTES)
                .http2_keep_alive_interval(Duration::from_secs(2))
                .keep_alive_timeout(Duration::from_secs(4))
                .keep_alive_while_idle(true)
                .connect()
                .await
                .map_err(|source| ConnectError::Connect {
                    address: address.to_owned(),
                    source,
                })
        })
    }
}
