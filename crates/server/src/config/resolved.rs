//! Settings as decided: what the parts of a node are started with.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use flotilla_broker::AuthConfig;
use flotilla_gateway::HttpConfig;
use flotilla_gateway::text::TextConfig;
use flotilla_raft::RaftConfig;
use flotilla_storage::StorageConfig;
use flotilla_types::{ClusterId, NodeAddresses, NodeId};

use super::address::{HostPort, PartialAddress};
use super::auth::WrittenAuth;
use super::checked::Checked;
use super::error::ConfigError;
use super::kind::{Address, Number, WrittenNode};
use super::setting::Setting;
use super::settings;
use super::tls::TlsConfig;

const CLIENT_PORT: u16 = 7400;
const PEER_PORT: u16 = 7401;
const HTTP_PORT: u16 = 7402;
const TEXT_PORT: u16 = 7403;

/// Below it, a cluster's identity is derived from its name. Never changes.
const CLUSTER_ID_NAMESPACE: uuid::Uuid =
    uuid::Uuid::from_u128(0x7b1e_6f0a_52c4_4d1c_9c53_3f0d_8e62_a917);

/// Everything about one node.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterConfig,
    pub(crate) listen: ListenConfig,
    /// Where others reach this node.
    pub(crate) addresses: NodeAddresses,
    pub(crate) runtime: RuntimeConfig,
    pub(crate) stop: StopConfig,
    pub(crate) storage: StorageConfig,
    pub(crate) raft: RaftConfig,
    pub(crate) broker: BrokerLimits,
    pub(crate) connections: ConnectionLimits,
    /// Who is let in; everybody is without it.
    pub(crate) auth: Option<AuthConfig>,
    pub(crate) written_auth: WrittenAuth,
    pub(crate) tls: TlsConfig,
    pub(crate) http: HttpConfig,
    pub(crate) text: TextConfig,
    /// How long a record that came through a door is tried.
    pub(crate) publish_limit: Duration,
    pub(crate) log: LogConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterConfig {
    pub(crate) name: String,
    pub(crate) id: ClusterId,
    /// Those that the cluster is born with, by id, this node included. This node alone if it joins.
    pub(crate) nodes: Vec<ClusterNode>,
    /// Where the peers of a running cluster listen that this node is to join.
    pub(crate) join: Vec<HostPort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterNode {
    pub(crate) id: NodeId,
    pub(crate) peer: HostPort,
    pub(crate) client: HostPort,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenConfig {
    pub(crate) host: String,
    pub(crate) client: HostPort,
    pub(crate) peer: HostPort,
    pub(crate) http: HostPort,
    pub(crate) text: HostPort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeConfig {
    pub(crate) worker_threads: usize,
    pub(crate) blocking_threads_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopConfig {
    pub(crate) drain_limit: Duration,
    pub(crate) handover_limit: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokerLimits {
    pub(crate) produce_bytes_in_flight_max: usize,
    pub(crate) retention_check_ms: u64,
    pub(crate) leader_balance_ms: Option<u64>,
    pub(crate) leader_balance_patience_ms: u64,
    pub(crate) moves_max: usize,
}

/// Of each gRPC port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// At a time.
    pub(crate) connections_max: usize,
    /// Until a connection has said that it speaks HTTP/2.
    pub(crate) handshake_limit: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    pub(crate) format: LogFormat,
    /// Directives of the log filter.
    pub(crate) level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl ServerConfig {
    /// Decides what was left open and refuses what does not go together.
    pub(crate) fn resolve(checked: &Checked) -> Result<Self, ConfigError> {
        let node = NodeId::new(checked.get(&settings::NODE_ID));
        let listen = ListenConfig::resolve(checked)?;
        let listed = listed_nodes(checked, node, &listen)?;
        let addresses = addresses(
            checked,
            &listen,
            listed.iter().find(|entry| entry.id == node),
        )?;
        let join = checked.get(&settings::CLUSTER_JOIN);
        if !join.is_empty() && listed.len() > 1 {
            return Err(ConfigError::JoinAndNodes);
        }
        let nodes = if listed.is_empty() {
            let ClusterAddresses { client, peer } = &addresses;
            vec![ClusterNode {
                id: node,
                peer: peer.clone(),
                client: client.clone(),
            }]
        } else {
            listed
        };
        let text = text(checked, &listen);
        let written_auth = WrittenAuth::read(checked);
        let tls = TlsConfig::resolve(checked)?;
        // So that whoever checks the settings hears of it.
        tls.load(node)?;
        let name = checked.get(&settings::CLUSTER_NAME);
        Ok(Self {
            node,
            cluster: ClusterConfig {
                id: cluster_id(&name),
                name,
                nodes,
                join,
            },
            listen,
            addresses: NodeAddresses {
                client: addresses.client.to_string(),
                peer: addresses.peer.to_string(),
            },
            runtime: RuntimeConfig::resolve(checked),
            stop: StopConfig {
                drain_limit: duration(checked, &settings::NODE_DRAIN_LIMIT_MS),
                handover_limit: duration(checked, &settings::NODE_HANDOVER_LIMIT_MS),
            },
            storage: storage(checked)?,
            raft: raft(checked)?,
            broker: BrokerLimits::resolve(checked),
            connections: ConnectionLimits::resolve(checked),
            auth: written_auth.resolve(&tls)?,
            written_auth,
            tls,
            http: http(checked),
            text,
            publish_limit: duration(checked, &settings::DOORS_PUBLISH_LIMIT_MS),
            log: LogConfig::resolve(checked),
        })
    }
}

/// The identity of a cluster: the UUID of version 5 of its name in a namespace of ours.
fn cluster_id(name: &str) -> ClusterId {
    ClusterId::new(*uuid::Uuid::new_v5(&CLUSTER_ID_NAMESPACE, name.as_bytes()).as_bytes())
}

impl ListenConfig {
    /// Only this machine can connect.
    pub(crate) fn is_loopback(&self) -> bool {
        let ports = [&self.client, &self.peer, &self.http, &self.text];
        ports.iter().all(|address| address.is_loopback())
    }

    fn resolve(checked: &Checked) -> Result<Self, ConfigError> {
        let host = checked.get(&settings::LISTEN_HOST);
        let address = |setting, port| checked.get::<Address>(setting).or(&host, port);
        let listen = Self {
            client: address(&settings::LISTEN_CLIENT, CLIENT_PORT),
            peer: address(&settings::LISTEN_PEER, PEER_PORT),
            http: address(&settings::LISTEN_HTTP, HTTP_PORT),
            text: address(&settings::LISTEN_TEXT, TEXT_PORT),
            host,
        };
        listen.refuse_same_port()?;
        Ok(listen)
    }

    fn refuse_same_port(&self) -> Result<(), ConfigError> {
        let ports = [
            (settings::LISTEN_CLIENT.key, &self.client),
            (settings::LISTEN_PEER.key, &self.peer),
            (settings::LISTEN_HTTP.key, &self.http),
            (settings::LISTEN_TEXT.key, &self.text),
        ];
        for (later, (second, address)) in ports.iter().enumerate() {
            if let Some((first, _)) = ports[..later].iter().find(|(_, other)| other == address) {
                let address = address.to_string();
                return Err(ConfigError::SamePort {
                    first,
                    second,
                    address,
                });
            }
        }
        Ok(())
    }
}

/// What `cluster.nodes` says. Empty if it says nothing.
fn listed_nodes(
    checked: &Checked,
    node: NodeId,
    listen: &ListenConfig,
) -> Result<Vec<ClusterNode>, ConfigError> {
    let Some(mut written) = checked.optional(&settings::CLUSTER_NODES) else {
        return Ok(Vec::new());
    };
    written.sort_by_key(|entry| entry.id);
    if let Some(pair) = written.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(ConfigError::NodeTwice { node: pair[0].id });
    }
    if !written.iter().any(|entry| entry.id == node.get()) {
        let listed: Vec<_> = written.iter().map(|entry| entry.id.to_string()).collect();
        return Err(ConfigError::NodeNotListed {
            node: node.get(),
            listed: listed.join(", "),
        });
    }
    let nodes = written.into_iter().map(|entry| {
        let own_port = (entry.id == node.get()).then_some(listen.client.port);
        cluster_node(entry, own_port.unwrap_or(CLIENT_PORT))
    });
    Ok(nodes.collect())
}

fn cluster_node(entry: WrittenNode, client_port: u16) -> ClusterNode {
    let peer = entry.peer.or("", PEER_PORT);
    let client = entry.client.unwrap_or_default().or(&peer.host, client_port);
    ClusterNode {
        id: NodeId::new(entry.id),
        peer,
        client,
    }
}

struct ClusterAddresses {
    client: HostPort,
    peer: HostPort,
}

/// Where others reach this node.
fn addresses(
    checked: &Checked,
    listen: &ListenConfig,
    listed: Option<&ClusterNode>,
) -> Result<ClusterAddresses, ConfigError> {
    let client = Advertised {
        written: checked.optional(&settings::ADVERTISE_CLIENT),
        listed: listed.map(|entry| &entry.client),
        listen: &listen.client,
        names: (
            settings::LISTEN_CLIENT.key,
            settings::ADVERTISE_CLIENT.key,
            "advertise-client",
        ),
    };
    let peer = Advertised {
        written: checked.optional(&settings::ADVERTISE_PEER),
        listed: listed.map(|entry| &entry.peer),
        listen: &listen.peer,
        names: (
            settings::LISTEN_PEER.key,
            settings::ADVERTISE_PEER.key,
            "advertise-peer",
        ),
    };
    let client = client.resolve()?;
    // A node alone needs no address for its peers, so the one for clients will do.
    let peer = match (peer.resolve(), listed) {
        (Err(ConfigError::NoAddressForOthers { .. }), None) => {
            HostPort::new(client.host.clone(), listen.peer.port)
        }
        (peer, _) => peer?,
    };
    Ok(ClusterAddresses { client, peer })
}

struct Advertised<'a> {
    written: Option<PartialAddress>,
    listed: Option<&'a HostPort>,
    listen: &'a HostPort,
    /// The settings for listening and for advertising, and the latter's flag.
    names: (&'static str, &'static str, &'static str),
}

impl Advertised<'_> {
    fn resolve(self) -> Result<HostPort, ConfigError> {
        let otherwise = self.listed.unwrap_or(self.listen);
        let address = match self.written {
            Some(written) => written.or(&otherwise.host, otherwise.port),
            None => otherwise.clone(),
        };
        if address.is_unspecified() {
            let (listen, advertise, flag) = self.names;
            let address = self.listen.to_string();
            return Err(ConfigError::NoAddressForOthers {
                listen,
                address,
                advertise,
                flag,
            });
        }
        Ok(address)
    }
}

impl RuntimeConfig {
    fn resolve(checked: &Checked) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // Fewer threads wake one another less, and leave a core to the journal and the sealer.
        let workers_default = (cores - 1).max(1);
        let workers = checked.optional(&settings::NODE_WORKER_THREADS);
        Self {
            worker_threads: workers.map_or(workers_default, to_usize),
            blocking_threads_max: to_usize(checked.get(&settings::NODE_BLOCKING_THREADS_MAX)),
        }
    }
}

fn storage(checked: &Checked) -> Result<StorageConfig, ConfigError> {
    let data_dir: PathBuf = checked.get(&settings::NODE_DATA_DIR);
    let journal_bytes_max = checked.get(&settings::STORAGE_JOURNAL_BYTES_MAX);
    let journal_bytes_kept = checked.optional(&settings::STORAGE_JOURNAL_BYTES_KEPT);
    let open_files_max = checked.get(&settings::STORAGE_OPEN_FILES_MAX);
    let config = StorageConfig {
        data_dir,
        journal_file_bytes: checked.get(&settings::STORAGE_JOURNAL_FILE_BYTES),
        journal_bytes_max,
        journal_bytes_kept: journal_bytes_kept.unwrap_or(journal_bytes_max / 2),
        journal_index_bytes_max: checked.get(&settings::STORAGE_JOURNAL_INDEX_BYTES_MAX),
        tail_cache_bytes: checked.get(&settings::STORAGE_TAIL_CACHE_BYTES),
        segment_bytes_target: checked.get(&settings::STORAGE_SEGMENT_BYTES_TARGET),
        segment_bytes_min: checked.get(&settings::STORAGE_SEGMENT_BYTES_MIN),
        disk_reserve_bytes: checked.get(&settings::STORAGE_DISK_RESERVE_BYTES),
        block_cache_bytes: checked.get(&settings::STORAGE_BLOCK_CACHE_BYTES),
        open_files_max: u32::try_from(open_files_max).expect("invariant: its range is smaller"),
        scrub_bytes_per_second: checked.get(&settings::STORAGE_SCRUB_BYTES_PER_SECOND),
        scrub_interval: Duration::from_millis(checked.get(&settings::STORAGE_SCRUB_INTERVAL_MS)),
    };
    config.validate()?;
    Ok(config)
}

fn raft(checked: &Checked) -> Result<RaftConfig, ConfigError> {
    let in_order = [
        &settings::RAFT_HEARTBEAT_MS,
        &settings::RAFT_ELECTION_MIN_MS,
        &settings::RAFT_ELECTION_MAX_MS,
    ];
    for pair in in_order.windows(2) {
        let (smaller_value, larger_value) = (checked.get(pair[0]), checked.get(pair[1]));
        if smaller_value >= larger_value {
            let (smaller, larger) = (pair[0].key, pair[1].key);
            return Err(ConfigError::Order {
                smaller,
                smaller_value,
                larger,
                larger_value,
            });
        }
    }
    Ok(RaftConfig {
        heartbeat_ms: checked.get(&settings::RAFT_HEARTBEAT_MS),
        election_min_ms: checked.get(&settings::RAFT_ELECTION_MIN_MS),
        election_max_ms: checked.get(&settings::RAFT_ELECTION_MAX_MS),
        birth_patience_ms: checked.get(&settings::RAFT_BIRTH_PATIENCE_MS),
        replication_timeout_ms: checked.get(&settings::RAFT_REPLICATION_TIMEOUT_MS),
        save_interval_ms: checked.get(&settings::RAFT_SAVE_INTERVAL_MS),
        quiesce_after_ms: checked.get(&settings::RAFT_QUIESCE_AFTER_MS),
        catch_up_bytes_per_second: checked.get(&settings::RAFT_CATCH_UP_BYTES_PER_SECOND),
    })
}

impl BrokerLimits {
    fn resolve(checked: &Checked) -> Self {
        let produce_bytes = checked.get(&settings::BROKER_PRODUCE_BYTES_IN_FLIGHT_MAX);
        Self {
            produce_bytes_in_flight_max: to_usize(produce_bytes),
            retention_check_ms: checked.get(&settings::BROKER_RETENTION_CHECK_MS),
            leader_balance_ms: checked.get(&settings::BROKER_LEADER_BALANCE_MS),
            leader_balance_patience_ms: checked.get(&settings::BROKER_LEADER_BALANCE_PATIENCE_MS),
            moves_max: to_usize(checked.get(&settings::BROKER_MOVES_MAX)),
        }
    }
}

impl ConnectionLimits {
    fn resolve(checked: &Checked) -> Self {
        Self {
            connections_max: to_usize(checked.get(&settings::BROKER_CONNECTIONS_MAX)),
            handshake_limit: duration(checked, &settings::BROKER_HANDSHAKE_LIMIT_MS),
        }
    }
}

fn http(checked: &Checked) -> HttpConfig {
    HttpConfig {
        body_bytes_max: to_usize(checked.get(&settings::HTTP_BODY_BYTES_MAX)),
        bodies_bytes_max: to_usize(checked.get(&settings::HTTP_BODIES_BYTES_MAX)),
        body_limit: duration(checked, &settings::HTTP_BODY_LIMIT_MS),
        header_timeout: duration(checked, &settings::HTTP_HEADER_TIMEOUT_MS),
        write_stall_limit: duration(checked, &settings::DOORS_WRITE_STALL_MS),
        tails_max: to_usize(checked.get(&settings::HTTP_TAILS_MAX)),
        connections_max: to_usize(checked.get(&settings::HTTP_CONNECTIONS_MAX)),
        drain_limit: duration(checked, &settings::NODE_DRAIN_LIMIT_MS),
    }
}

fn text(checked: &Checked, listen: &ListenConfig) -> TextConfig {
    TextConfig {
        payload_bytes_max: to_usize(checked.get(&settings::TEXT_PAYLOAD_BYTES_MAX)),
        create_topics: checked.get(&settings::TEXT_CREATE_TOPICS),
        connections_max: to_usize(checked.get(&settings::TEXT_CONNECTIONS_MAX)),
        idle_limit: duration(checked, &settings::TEXT_IDLE_LIMIT_MS),
        write_stall_limit: duration(checked, &settings::DOORS_WRITE_STALL_MS),
        drain_limit: duration(checked, &settings::NODE_DRAIN_LIMIT_MS),
        http_address: Some(listen.http.to_string()),
        grpc_address: Some(listen.client.to_string()),
        ..TextConfig::default()
    }
}

impl LogConfig {
    fn resolve(checked: &Checked) -> Self {
        let format = match checked.get(&settings::LOG_FORMAT) {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        };
        Self {
            format,
            level: checked.get(&settings::LOG_LEVEL),
        }
    }
}

fn duration(checked: &Checked, setting: &Setting<Number>) -> Duration {
    Duration::from_millis(checked.get(setting))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
