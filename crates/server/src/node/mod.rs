//! One node, from its first port to its last fsync.
//!
//! ```text
//!   start   HTTP ─ directory ─ identity ─ raft ─ metadata ─ broker ─ peer port ─ client port ─ text port
//!   stop    not ready ─ text port, client port ─ requests in hand ─ leaderships ─ peer port ─ storage ─ HTTP
//! ```
//!
//! HTTP comes first and goes last, so that whoever watches the node sees what it is doing. The other
//! ports are reserved at the beginning, so that a port that is taken is found before anything is
//! changed, but nobody can connect before there is something to answer.

mod connections;
mod data_directory;
mod doors;
mod error;
mod grpc_port;
mod open_files;
mod orders;
mod peer_links;
mod ports;
mod running;
mod status;

pub(crate) use error::NodeError;
pub(crate) use orders::StopOrders;

use std::sync::Arc;

use flotilla_gateway::text::{TextServer, ThroughDoors};
use flotilla_gateway::{Doors, HttpServer};
use flotilla_net::PortKind;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ServerConfig;
use crate::telemetry::{MetricsRecorder, keep_metrics_small};
use orders::Audience;
use ports::Ports;
use running::{RunningNode, security};
use status::Status;

/// Runs a node until it is told to stop or must not go on.
pub(crate) async fn run(
    config: &ServerConfig,
    recorder: MetricsRecorder,
    mut orders: StopOrders,
) -> Result<(), NodeError> {
    open_files::raise_limit();
    if config.auth.is_none() && !config.listen.is_loopback() {
        tracing::warn!(
            "auth.enabled is off: whoever reaches a port of this node may do everything"
        );
    }
    if config.auth.is_some() && !config.tls.is_on() && !config.listen.is_loopback() {
        tracing::warn!(
            "tls.certificate_file is off: tokens cross the network as they are, and the peer port believes \
             whoever connects to it"
        );
    }
    let keyring = config.tls.load(config.node)?;
    let ports = Ports::reserve(&config.listen).await?;
    let status = Arc::new(Status::new(config));
    let tasks = TaskTracker::new();
    let last = CancellationToken::new();
    let porter = Arc::new(doors::Porter::default());
    let doors = Doors::new(porter.clone(), config.publish_limit);
    let http = HttpServer::new(config.http, doors.clone(), status.clone(), recorder.text());
    let http_security = security(keyring.as_ref(), PortKind::Http);
    tasks.spawn(http.serve(ports.http.listen()?, http_security, last.clone()));
    tasks.spawn(keep_metrics_small(recorder, last.clone()));

    if let Some(keyring) = keyring.clone() {
        tasks.spawn(keyring.keep_fresh(config.tls.reload_interval, last.clone()));
    }

    let grpc_ports = (ports.client, ports.peer);
    let mut node = RunningNode::start(config, grpc_ports, keyring.as_ref(), &status).await?;
    porter.begin(node.broker());
    let serving = CancellationToken::new();
    tasks.spawn(doors::open(doors.clone(), node.broker(), serving.clone()));
    let text = TextServer::new(config.text.clone(), Arc::new(ThroughDoors::new(doors)));
    let text_security = security(keyring.as_ref(), PortKind::Text);
    tasks.spawn(text.serve(ports.text.listen()?, text_security, serving.clone()));
    let (joined, audience) = (node.joined(), orders.audience());
    tasks.spawn(
        last.clone()
            .run_until_cancelled_owned(announce_ready(joined, audience)),
    );
    tokio::select! {
        () = orders.stop() => {}
        reason = node.failure() => return Err(NodeError::Failed { reason }),
    }
    status.stopping();
    serving.cancel();
    tokio::select! {
        () = node.stop(config.stop) => {}
        () = orders.stop_at_once() => {}
    }
    last.cancel();
    tasks.close();
    tasks.wait().await;
    tracing::info!("stopped");
    Ok(())
}

async fn announce_ready(mut joined: watch::Receiver<bool>, audience: Audience) {
    if joined.wait_for(|joined| *joined).await.is_ok() {
        audience.announce_ready();
    }
}
