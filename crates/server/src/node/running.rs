//! A node with all its parts: how they are started, watched and stopped.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use flotilla_broker::{
    Broker, BrokerConfig, BrokerParts, RecordRoom, SystemClock, peer_server, public_server,
};
use flotilla_net::{Keyring, PortKind, Security, Source};
use flotilla_raft::{RaftNode, TcpConnector};
use flotilla_storage::{Storage, WritePressure};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::error::NodeError;
use super::grpc_port::GrpcPort;
use super::ports::ReservedPort;
use super::status::{Parts, Status};
use super::{connections, data_directory, peer_links};
use crate::config::{ServerConfig, StopConfig};

/// What the peers get to finish reading our last words.
const PEER_LIMIT: Duration = Duration::from_millis(200);

const CLIENT_PORT: &str = "listen.client";
const PEER_PORT: &str = "listen.peer";

pub(super) struct RunningNode {
    storage: Storage,
    raft: Arc<RaftNode>,
    broker: Broker,
    client_port: GrpcPort,
    peer_port: GrpcPort,
}

impl RunningNode {
    /// Starts everything. The ports are those for clients and for peers.
    pub(super) async fn start(
        config: &ServerConfig,
        (client_port, peer_port): (ReservedPort, ReservedPort),
        keyring: Option<&Arc<Keyring>>,
        status: &Status,
    ) -> Result<Self, NodeError> {
        status.starting("opening the data directory");
        let (storage, identity) = data_directory::open(config).await?;
        status.starting("opening the metadata group");
        let raft = RaftNode::start(
            config.raft.clone(),
            storage.clone(),
            identity,
            Arc::new(TcpConnector::new(peer_source(config), keyring.cloned())),
        );
        for node in &config.cluster.nodes {
            if node.id != config.node {
                raft.set_peer(node.id, &node.peer.to_string(), None);
            }
        }
        let founders = config.cluster.nodes.iter().map(|node| node.id);
        let voters = match config.cluster.join.is_empty() {
            true => founders.collect(),
            // The cluster has its voters.
            false => Vec::new(),
        };
        let metadata = raft.open_metadata(voters).await?;
        let (pressure, room) = watch::channel(RecordRoom::Free);
        storage.on_write_pressure(Box::new(move |now| {
            pressure.send_replace(room_under(now));
        }));
        let parts = BrokerParts {
            raft: raft.clone(),
            metadata,
            room,
            clock: Arc::new(SystemClock),
        };
        let broker = Broker::start(broker_config(config), parts, CancellationToken::new())?;
        status.running(Parts {
            storage: storage.clone(),
            raft: raft.clone(),
            joined: broker.joined(),
        });
        Ok(Self {
            peer_port: GrpcPort::open(
                PEER_PORT,
                peer_server(),
                broker.peer_routes(),
                peer_links::take_out(
                    connections::accept(
                        PEER_PORT,
                        (peer_port.listen()?, security(keyring, PortKind::Peer)),
                        config.connections,
                    ),
                    peer_links::Sorter {
                        peers: raft.peer_server(),
                        domain: keyring.map(|keyring| Arc::new(keyring.domain().clone())),
                    },
                ),
            ),
            client_port: GrpcPort::open(
                CLIENT_PORT,
                public_server(),
                broker.public_routes(),
                connections::accept(
                    CLIENT_PORT,
                    (client_port.listen()?, security(keyring, PortKind::Client)),
                    config.connections,
                ),
            ),
            storage,
            raft,
            broker,
        })
    }

    pub(super) fn broker(&self) -> Broker {
        self.broker.clone()
    }

    /// Becomes true when the node is ready.
    pub(super) fn joined(&self) -> watch::Receiver<bool> {
        self.broker.joined()
    }

    /// Completes when something happened after which the node must not go on.
    pub(super) async fn failure(&mut self) -> String {
        tokio::select! {
            reason = failed(self.raft.failure()) => reason,
            reason = failed(self.broker.failure()) => reason,
            reason = self.client_port.failure() => reason,
            reason = self.peer_port.failure() => reason,
        }
    }

    /// Stops everything in order. What is not done within its limit is left.
    pub(super) async fn stop(self, limits: StopConfig) {
        self.client_port.stop_accepting();
        self.broker.shutdown().await;
        // The broker has ended its streams, so only answers that nobody reads are left.
        self.client_port.finish(PEER_LIMIT).await;
        self.raft.shutdown(limits.handover_limit).await;
        self.peer_port.finish(PEER_LIMIT).await;
        let storage = self.storage;
        if let Err(error) = spawn_blocking(move || storage.close()).await {
            tracing::error!(%error, "storage was not closed in order");
        }
    }
}

/// Other nodes see connections come from where this one listens for them, so that rules of firewalls can name it.
fn peer_source(config: &ServerConfig) -> Source {
    let host = config.listen.peer.host.parse::<IpAddr>().ok();
    let host = host.filter(|host| !host.is_unspecified());
    host.map_or(Source::Any, Source::Address)
}

/// How a port is secured: with the node's certificates, if it has any.
pub(super) fn security(keyring: Option<&Arc<Keyring>>, port: PortKind) -> Security {
    keyring.map_or_else(Security::default, |keyring| Security::of(keyring, port))
}

fn broker_config(config: &ServerConfig) -> BrokerConfig {
    let limits = config.broker;
    let shutdown_limit_ms = config.stop.drain_limit.as_millis();
    BrokerConfig {
        produce_bytes_in_flight_max: limits.produce_bytes_in_flight_max,
        retention_check_ms: limits.retention_check_ms,
        leader_balance_ms: limits.leader_balance_ms,
        leader_balance_patience_ms: limits.leader_balance_patience_ms,
        moves_max: limits.moves_max,
        shutdown_limit_ms: u64::try_from(shutdown_limit_ms).unwrap_or(u64::MAX),
        join: join(config),
        auth: config.auth.clone(),
        ..BrokerConfig::new(config.cluster.id, config.addresses.clone())
    }
}

/// Asking itself would get the node nowhere.
fn join(config: &ServerConfig) -> Vec<String> {
    let addresses = config.cluster.join.iter().map(ToString::to_string);
    addresses
        .filter(|address| *address != config.addresses.peer)
        .collect()
}

const fn room_under(pressure: WritePressure) -> RecordRoom {
    match pressure {
        WritePressure::None => RecordRoom::Free,
        WritePressure::JournalFull => RecordRoom::CatchingUp,
        WritePressure::DiskFull => RecordRoom::DiskFull,
    }
}

async fn failed(mut failure: watch::Receiver<Option<String>>) -> String {
    match failure.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        // Whoever reports failures is gone because the node is being taken down.
        Err(_) => std::future::pending().await,
    }
}
