//! Connections to nodes: one channel per address, made when it is first needed.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use flotilla_net::{ClientTls, Source, connect_tcp};
use flotilla_protocol::ApiError;
use flotilla_types::{ErrorCode, limits};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Authority;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::node_channel::Caller;
use crate::{ClientConfig, ClientError, NodeChannel};

/// Makes the channel to a node from its address, `host:port`. It must not block; the channel may
/// connect when it is first used. See [`endpoint`] for the settings that nodes expect.
pub type ChannelFactory = Arc<dyn Fn(&str) -> Result<NodeChannel, ClientError> + Send + Sync>;

/// The connections of a client, as one caller uses them.
pub(crate) struct Channels {
    connections: Arc<Connections>,
    caller: Caller,
}

struct Connections {
    factory: ChannelFactory,
    open: Mutex<HashMap<Box<str>, NodeChannel>>,
}

impl Channels {
    pub(crate) fn new(factory: ChannelFactory, caller: Caller) -> Self {
        let connections = Connections {
            factory,
            open: Mutex::new(HashMap::new()),
        };
        Self {
            connections: Arc::new(connections),
            caller,
        }
    }

    /// The same connections, used on behalf of somebody else.
    pub(crate) fn on_behalf_of(&self, caller: Caller) -> Self {
        Self {
            connections: Arc::clone(&self.connections),
            caller,
        }
    }

    /// The channel to this address. It connects by itself, again and again if need be.
    pub(crate) fn get(&self, address: &str) -> Result<NodeChannel, ClientError> {
        let channel = self.connections.get(address)?;
        Ok(channel.on_behalf_of(self.caller.clone()))
    }
}

impl Connections {
    fn get(&self, address: &str) -> Result<NodeChannel, ClientError> {
        let mut open = self.open.lock();
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let channel = (self.factory)(address)?;
        open.insert(address.into(), channel.clone());
        Ok(channel)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.connections.open.lock();
        f.debug_list().entries(open.keys()).finish()
    }
}

/// An endpoint for this address with the settings that nodes expect: large frames and windows,
/// no delay, and keepalive so that a silent network is noticed.
pub fn endpoint(address: &str, connect_timeout: Duration) -> Result<Endpoint, ClientError> {
    let is_address = |endpoint: &Endpoint| {
        let uri = endpoint.uri();
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let has_port = uri.port_u16().is_some_and(|port| port != 0);
        let is_all = uri.authority().is_some_and(|all| all.as_str() == address);
        has_host && has_port && is_all && !address.contains('@')
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok();
    let endpoint = endpoint.filter(is_address).ok_or_else(|| {
        ClientError::invalid(format!(
            "{address:?} is not a node address: write host:port, as in localhost:7400"
        ))
    })?;
    Ok(endpoint
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .max_frame_size(limits::GRPC_FRAME_BYTES)
        .initial_stream_window_size(limits::GRPC_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::GRPC_CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(Duration::from_millis(limits::GRPC_KEEPALIVE_INTERVAL_MS))
        .keep_alive_timeout(Duration::from_millis(limits::GRPC_KEEPALIVE_TIMEOUT_MS))
        .keep_alive_while_idle(true))
}

/// Connects over TCP, and encrypts what is said if the configuration says so.
pub(crate) fn over_tcp(config: &ClientConfig) -> ChannelFactory {
    let (connect_timeout, tls) = (config.connect_timeout, config.tls.clone());
    Arc::new(move |address| {
        let endpoint = endpoint(address, connect_timeout)?;
        Ok(match tls.clone() {
            None => endpoint.connect_lazy().into(),
            Some(tls) => over_tls(&endpoint, tls, connect_timeout).into(),
        })
    })
}

fn over_tls(endpoint: &Endpoint, tls: ClientTls, limit: Duration) -> Channel {
    endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
        let tls = tls.clone();
        async move {
            let address = uri.authority().map_or("", Authority::as_str);
            let stream = connect_tcp(address, Source::Any, limit).await?;
            let encrypted = tls.connect(uri.host().unwrap_or_default(), stream).await?;
            io::Result::Ok(TokioIo::new(encrypted))
        }
    }))
}

/// Reads what a call to the node at this address ended with. Unlike any other transport failure, a
/// connection that could not be made carried no request.
pub(crate) fn read_status(address: &str, status: &Status) -> ApiError {
    if causes(status).any(|error| error.is::<tonic::ConnectError>()) {
        let cause = causes(status).last().map(ToString::to_string);
        let cause = cause.unwrap_or_else(|| status.message().to_owned());
        let message = format!("cannot connect to {address}: {cause}");
        return ApiError::new(ErrorCode::LeaderNotAvailable, message);
    }
    // The client's own clock has ended the call: the link is as good as before.
    if causes(status).any(|error| error.is::<tonic::TimeoutExpired>()) {
        let message = format!("node {address} does not answer in time");
        return ApiError::new(ErrorCode::Timeout, message);
    }
    let mut error = ApiError::from_status(status);
    // A link that broke says little by itself. What the node said stays as it is.
    if let Some(cause) = causes(status).last() {
        error.message = format!("the connection to {address} broke: {cause}");
    }
    error
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}
