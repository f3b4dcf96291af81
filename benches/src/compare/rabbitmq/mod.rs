//! RabbitMQ as Debian has it: one cluster of three nodes, which serves quorum queues by AMQP 0.9.1 and
//! streams by its stream protocol.
//!
//! Nothing of the machine's own RabbitMQ is touched: names, cookie, ports, files and the port mapper are
//! the cluster's own.

mod amqp;
mod quorum_queues;
mod stream_protocol;
mod streams;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use flotilla_tests::cluster::next_port;

pub(super) use quorum_queues::QuorumQueues;
pub(super) use streams::Streams;

use super::servers::Server;

const NODE_COUNT: usize = 3;
/// Outside of the search path, because the one inside changes to a user of its own.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

pub(super) struct RabbitMq {
    nodes: Vec<Node>,
    port_mapper: Server,
}

struct Node {
    amqp_port: u16,
    stream_port: u16,
    server: Server,
}

impl RabbitMq {
    /// Three nodes that have found one another.
    pub(super) async fn start(directory: &Path) -> Result<Self> {
        let port_mapper_port = next_port();
        let home = directory.join("home");
        fs::create_dir_all(&home)?;
        let cookie = home.join(".erlang.cookie");
        fs::write(&cookie, "COMPARED")?;
        fs::set_permissions(&cookie, Permissions::from_mode(0o400))?;

        let mut command = Command::new("epmd");
        let port_text = port_mapper_port.to_string();
        command.args(["-address", "127.0.0.1", "-port", &port_text]);
        let mut port_mapper = Server::start(command, &home)?;
        port_mapper.wait_listening(port_mapper_port).await?;

        // Names are known to the port mapper of this cluster only, so they can be the same each time.
        let mut nodes = Vec::new();
        for position in 1..=NODE_COUNT {
            let directory = directory.join(format!("n{position}"));
            fs::create_dir_all(&directory)?;
            nodes.push(Node::start(position, &directory, &home, port_mapper_port)?);
        }
        for node in &mut nodes {
            // Both are opened when the node has joined.
            node.server.wait_listening(node.amqp_port).await?;
            node.server.wait_listening(node.stream_port).await?;
        }
        Ok(Self { nodes, port_mapper })
    }

    fn processes(&self) -> Vec<u32> {
        let servers = self.nodes.iter().map(|node| &node.server);
        let servers = servers.chain([&self.port_mapper]);
        servers.map(Server::process_id).collect()
    }
}

impl Node {
    fn start(position: usize, directory: &Path, home: &Path, port_mapper: u16) -> Result<Self> {
        let (amqp_port, stream_port) = (next_port(), next_port());
        let mut settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp_port}\n\
             stream.listeners.tcp.1 = 127.0.0.1:{stream_port}\n\
             stream.advertised_host = 127.0.0.1\n\
             stream.advertised_port = {stream_port}\n\
             cluster_name = compared\n\
             cluster_formation.peer_discovery_backend = classic_config\n"
        );
        for other in 1..=NODE_COUNT {
            let line =
                format!("cluster_formation.classic_config.nodes.{other} = n{other}@localhost\n");
            settings.push_str(&line);
        }
        fs::write(directory.join("rabbitmq.conf"), settings)?;
        let plugins = directory.join("plugins");
        fs::write(&plugins, "[rabbitmq_stream].\n")?;
        let mut command = Command::new(PROGRAM);
        // Variables of the machine's own RabbitMQ would get in the way.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", home)
            .env("ERL_EPMD_PORT", port_mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("n{position}@localhost"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
            .env(
                "RABBITMQ_ADVANCED_CONFIG_FILE",
                directory.join("advanced.config"),
            )
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
            .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
            .env("RABBITMQ_LOG_BASE", directory.join("logs"))
            .env("RABBITMQ_PID_FILE", directory.join("process"))
            .env("RABBITMQ_DIST_PORT", next_port().to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            );
        Ok(Self {
            amqp_port,
            stream_port,
            server: Server::start(command, directory)?,
        })
    }
}
