//! How a node reaches another: a seam, so that a simulation can put its own network here.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use flotilla_types::limits::{
    GRPC_CONNECTION_WINDOW_BYTES, GRPC_FRAME_BYTES, GRPC_STREAM_WINDOW_BYTES,
};
use tonic::transport::{Channel, Endpoint, Error};

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Channel, ConnectError>> + Send + 'a>>;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{address:?} is not an address of the form host:port")]
    Address { address: String, source: Error },
    #[error("cannot connect to {address}")]
    Connect { address: String, source: Error },
}

/// Opens connections to other nodes.
pub trait Connector: Send + Sync + 'static {
    /// A new connection to `address`, a `host:port`.
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a>;
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
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a> {
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
