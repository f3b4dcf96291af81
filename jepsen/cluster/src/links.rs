//! The way to every node through the proxy.

use std::net::SocketAddr;

use flotilla_proxy::{Network, OpenError, Route, RouteOptions, SplitError};

use crate::node::{Advertised, NodeId, Ports};

/// What clients are called in the network.
pub(crate) const CLIENT: &str = "client";
/// Who dials a node as its peer from an address that no other node has.
pub(crate) const STRANGER: &str = "stranger";

/// The routes to one node.
pub(crate) struct Links {
    node: NodeId,
    /// Is shared by the other nodes, each with a route of its own.
    peer: Route,
    client: Route,
    http: Route,
    text: Route,
}

impl Links {
    pub(crate) fn open(network: &Network, node: NodeId, ports: Ports) -> Result<Self, OpenError> {
        let open = |from, upstream| network.open(RouteOptions::new(from, &node.name(), upstream));
        Ok(Self {
            node,
            peer: open(STRANGER, ports.peer)?,
            client: open(CLIENT, ports.client)?,
            http: open(CLIENT, ports.http)?,
            text: open(CLIENT, ports.text)?,
        })
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Gives what `from` sends to this node a route of its own.
    pub(crate) fn admit(&self, network: &Network, from: NodeId) -> Result<(), SplitError> {
        network.split(&self.peer, from.address(), &from.name())?;
        Ok(())
    }

    pub(crate) fn advertised(&self) -> Advertised {
        Advertised {
            peer: self.peer.address(),
            client: self.client.address(),
        }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http.address()
    }

    pub(crate) fn text(&self) -> SocketAddr {
        self.text.address()
    }
}
