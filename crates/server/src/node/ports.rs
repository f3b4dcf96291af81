//! The ports of a node: reserved early, opened when there is something behind them.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::error::NodeError;
use crate::config::{HostPort, ListenConfig};

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1_024;

pub(super) struct Ports {
    pub(super) client: ReservedPort,
    pub(super) peer: ReservedPort,
    pub(super) http: ReservedPort,
    pub(super) text: ReservedPort,
}

/// A port that nobody else can take and nobody can connect to yet.
pub(super) struct ReservedPort {
    socket: TcpSocket,
    name: PortName,
}

/// What an operator has to look at when a port does not work.
#[derive(Clone, Debug)]
struct PortName {
    address: HostPort,
    setting: &'static str,
    flag: &'static str,
}

impl Ports {
    pub(super) async fn reserve(listen: &ListenConfig) -> Result<Self, NodeError> {
        let reserve = |address: &HostPort, setting, flag| {
            ReservedPort::new(PortName {
                address: address.clone(),
                setting,
                flag,
            })
        };
        Ok(Self {
            client: reserve(&listen.client, "listen.client", "listen-client").await?,
            peer: reserve(&listen.peer, "listen.peer", "listen-peer").await?,
            http: reserve(&listen.http, "listen.http", "listen-http").await?,
            text: reserve(&listen.text, "listen.text", "listen-text").await?,
        })
    }
}

impl ReservedPort {
    async fn new(name: PortName) -> Result<Self, NodeError> {
        match bind(&name.address).await {
            Ok(socket) => Ok(Self { socket, name }),
            Err(error) => Err(name.refused(error)),
        }
    }

    /// Lets connections in.
    pub(super) fn listen(self) -> Result<TcpListener, NodeError> {
        let listener = self
            .socket
            .listen(BACKLOG)
            .map_err(|error| self.name.refused(error))?;
        tracing::info!(address = %self.name.address, port = self.name.setting, "listening");
        Ok(listener)
    }
}

impl PortName {
    fn refused(&self, source: io::Error) -> NodeError {
        let address = self.address.to_string();
        let Self { setting, flag, .. } = *self;
        if source.kind() == io::ErrorKind::AddrInUse {
            NodeError::PortInUse {
                port: self.address.port,
                address,
                setting,
                flag,
            }
        } else {
            NodeError::Listen {
                address,
                setting,
                flag,
                source,
            }
        }
    }
}

async fn bind(address: &HostPort) -> io::Result<TcpSocket> {
    let mut resolved = lookup_host((address.host.as_str(), address.port)).await?;
    let address: SocketAddr = resolved.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // Connections of a former life may still be closing on this port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(port: u16) -> PortName {
        let address = HostPort::new("127.0.0.1", port);
        PortName {
            address,
            setting: "listen.client",
            flag: "listen-client",
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_setting_and_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let refused = ReservedPort::new(listen(port))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            refused.contains(&format!("port {port} is in use")),
            "{refused}"
        );
        assert!(refused.contains("listen.client"), "{refused}");
        assert!(refused.contains("--listen-client"), "{refused}");
    }

    #[tokio::test]
    async fn nobody_connects_to_a_port_that_is_only_reserved() {
        let reserved = ReservedPort::new(listen(0)).await.unwrap();
        let address = reserved.socket.local_addr().unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        let _listener = reserved.listen().unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused_with_the_setting() {
        let address = HostPort::new("192.0.2.1", 7400);
        let name = PortName {
            address,
            ..listen(1)
        };
        let refused = ReservedPort::new(name).await.err().unwrap().to_string();
        assert!(
            refused.contains("192.0.2.1:7400, as listen.client"),
            "{refused}"
        );
    }
}
