//! Settings from their sources to what the parts of a node are started with.

use std::fs;
use std::path::Path;
use std::time::Duration;

use flotilla_raft::RaftConfig;
use flotilla_storage::StorageConfig;
use flotilla_types::limits;
use tempfile::TempDir;

use super::{Loaded, ServerConfig, Sources, load, to_toml};

struct Case {
    directory: TempDir,
    sources: Sources,
}

impl Case {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let working_directory = directory.path().to_path_buf();
        Self {
            directory,
            sources: Sources {
                working_directory,
                ..Sources::default()
            },
        }
    }

    /// With a file in the working directory.
    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    /// With a file that is asked for.
    fn given(mut self, text: &str) -> Self {
        let file = self.directory.path().join("given.toml");
        fs::write(&file, text).unwrap();
        self.sources.file = Some(file);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources
            .environment
            .push((name.to_owned(), value.to_owned()));
        self
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.sources
            .flags
            .push((key.to_owned(), value.to_owned(), "set"));
        self
    }

    fn load(&self) -> Loaded {
        load(&self.sources).unwrap()
    }

    fn config(&self) -> ServerConfig {
        self.load().config
    }

    fn refusal(&self) -> String {
        load(&self.sources).unwrap_err().to_string()
    }
}

#[test]
fn a_node_needs_no_settings_at_all() {
    let config = Case::new().config();
    assert_eq!(config.node.get(), 1);
    assert_eq!(config.storage, StorageConfig::new("./data"));
    assert_eq!(
        format!("{:?}", config.raft),
        format!("{:?}", RaftConfig::default())
    );
    assert_eq!(config.listen.client.to_string(), "127.0.0.1:7400");
    assert_eq!(config.listen.peer.to_string(), "127.0.0.1:7401");
    assert_eq!(config.listen.http.to_string(), "127.0.0.1:7402");
    assert_eq!(config.listen.text.to_string(), "127.0.0.1:7403");
    assert_eq!(config.cluster.nodes.len(), 1);
    assert_eq!(config.addresses.client, "127.0.0.1:7400");
}

#[test]
fn broker_defaults_are_those_of_the_broker() {
    let ours = Case::new().config();
    let theirs = flotilla_broker::BrokerConfig::new(ours.cluster.id, ours.addresses.clone());
    assert_eq!(
        ours.broker.produce_bytes_in_flight_max,
        theirs.produce_bytes_in_flight_max
    );
    assert_eq!(ours.broker.retention_check_ms, theirs.retention_check_ms);
    assert_eq!(ours.broker.leader_balance_ms, theirs.leader_balance_ms);
    assert_eq!(
        ours.broker.leader_balance_patience_ms,
        theirs.leader_balance_patience_ms
    );
    assert_eq!(ours.broker.moves_max, theirs.moves_max);
    assert_eq!(
        ours.stop.drain_limit.as_millis(),
        u128::from(theirs.shutdown_limit_ms)
    );
}

#[test]
fn connection_defaults_are_the_limits_of_the_types() {
    let ours = Case::new().config().connections;
    assert_eq!(ours.connections_max, limits::GRPC_CONNECTIONS_MAX);
    assert_eq!(
        ours.handshake_limit,
        Duration::from_millis(limits::GRPC_HANDSHAKE_LIMIT_MS)
    );
}

#[test]
fn flags_win_over_variables_over_files_over_defaults() {
    let file = "[raft]\nheartbeat_ms = 50\nelection_min_ms = 250\nsave_interval_ms = 2000\n";
    let case = Case::new()
        .given(file)
        .variable("FLOTILLA_RAFT_HEARTBEAT_MS", "60")
        .variable("FLOTILLA_RAFT_ELECTION_MIN_MS", "260")
        .set("raft.heartbeat_ms", "70");
    let raft = case.config().raft;
    assert_eq!(raft.heartbeat_ms, 70, "the flag");
    assert_eq!(raft.election_min_ms, 260, "the variable");
    assert_eq!(raft.save_interval_ms, 2_000, "the file");
    let default = RaftConfig::default().election_max_ms;
    assert_eq!(raft.election_max_ms, default, "the default");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let refusal = Case::new()
        .given("[storage]\nsegment_byte_target = 1\n")
        .refusal();
    assert!(
        refusal.contains("no setting storage.segment_byte_target"),
        "{refusal}"
    );
    assert!(refusal.contains("given.toml"), "{refusal}");
    assert!(
        refusal.ends_with("did you mean storage.segment_bytes_target?"),
        "{refusal}"
    );

    let refusal = Case::new().given("[zebra]\nx = 1\n").refusal();
    assert!(refusal.contains("no setting zebra.x"), "{refusal}");
    assert!(!refusal.contains("did you mean"), "{refusal}");

    let refusal = Case::new().given("node_id = 1\n").refusal();
    assert!(refusal.ends_with("did you mean node.id?"), "{refusal}");

    let refusal = Case::new().set("log.fromat", "json").refusal();
    assert!(
        refusal.contains("(given with --set); did you mean log.format?"),
        "{refusal}"
    );

    let nodes = "[[cluster.nodes]]\nid = 1\npear = \"a:1\"\n";
    let refusal = Case::new().given(nodes).refusal();
    assert!(
        refusal.ends_with("did you mean cluster.nodes.peer?"),
        "{refusal}"
    );
}

#[test]
fn a_bad_value_is_refused_with_its_place_and_what_is_taken() {
    let cases = [
        (
            "[node]\nid = 0\n",
            "node.id cannot be 0 (in ",
            "a number from 1",
        ),
        (
            "[node]\nid = \"one\"\n",
            "node.id cannot be \"one\"",
            "a number from 1",
        ),
        (
            "[raft]\nheartbeat_ms = 1\n",
            "heartbeat_ms cannot be 1",
            "milliseconds from 10 to 3600000",
        ),
        (
            "[log]\nformat = \"xml\"\n",
            "cannot be \"xml\"",
            "\"text\" or \"json\"",
        ),
        (
            "[listen]\nclient = \"a b\"\n",
            "listen.client cannot be \"a b\"",
            "\"host:port\"",
        ),
        (
            "[listen]\nhttp = 70000\n",
            "listen.http cannot be 70000",
            "a port",
        ),
        (
            "[node]\ndata_dir = true\n",
            "node.data_dir cannot be true",
            "a path",
        ),
        (
            "[broker]\nleader_balance_ms = \"never\"\n",
            "cannot be \"never\"",
            "or \"off\"",
        ),
        (
            "[log]\nlevel = \"inof\"\n",
            "log.level cannot be \"inof\"",
            "error, warn, info",
        ),
        (
            "[cluster]\nnodes = []\n",
            "cluster.nodes cannot be",
            "a list of",
        ),
        (
            "[cluster]\nnodes = [{id = 1, peer = 7401}]\n",
            "cluster.nodes cannot be",
            "a list of",
        ),
    ];
    for (file, place, taken) in cases {
        let refusal = Case::new().given(file).refusal();
        assert!(refusal.contains(place), "{file:?}: {refusal}");
        assert!(refusal.contains(taken), "{file:?}: {refusal}");
    }
    let refusal = Case::new().variable("FLOTILLA_NODE_ID", "-1").refusal();
    assert!(
        refusal.contains("(in the variable FLOTILLA_NODE_ID)"),
        "{refusal}"
    );
}

#[test]
fn a_file_that_is_missing_or_broken_is_named() {
    let mut case = Case::new();
    case.sources.file = Some(case.directory.path().join("absent.toml"));
    assert!(case.refusal().contains("absent.toml"));
    let refusal = Case::new().given("[node\n").refusal();
    assert!(
        refusal.contains("given.toml is not valid TOML"),
        "{refusal}"
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refusal = Case::new().set("raft.election_min_ms", "9000").refusal();
    assert!(
        refusal.contains("raft.election_min_ms is 9000"),
        "{refusal}"
    );
    assert!(
        refusal.contains("not be above raft.election_max_ms"),
        "{refusal}"
    );

    let refusal = Case::new()
        .set("storage.journal_bytes_max", "5000000")
        .refusal();
    assert!(
        refusal.starts_with("storage.journal_bytes_max is 5000000"),
        "{refusal}"
    );

    let refusal = Case::new().set("listen.http", "7400").refusal();
    assert_eq!(
        refusal,
        "listen.client and listen.http are both 127.0.0.1:7400"
    );
}

const THREE_NODES: &str = r#"
[node]
id = 2
[cluster]
name = "orders"
nodes = [
  { id = 3, peer = "node3", client = "outside:9003" },
  { id = 1, peer = "node1:7401" },
  { id = 2, peer = "node2:7411" },
]
[listen]
host = "0.0.0.0"
client = 7410
"#;

#[test]
fn a_cluster_is_listed_the_same_on_every_node() {
    let config = Case::new().given(THREE_NODES).config();
    let nodes: Vec<_> = config
        .cluster
        .nodes
        .iter()
        .map(|node| node.id.get())
        .collect();
    assert_eq!(nodes, [1, 2, 3]);
    assert_eq!(config.cluster.nodes[2].peer.to_string(), "node3:7401");
    assert_eq!(config.cluster.nodes[2].client.to_string(), "outside:9003");
    assert_eq!(config.addresses.peer, "node2:7411");
    assert_eq!(config.addresses.client, "node2:7410");
    assert_eq!(config.listen.peer.to_string(), "0.0.0.0:7401");

    let refusal = Case::new().given(THREE_NODES).set("node.id", "4").refusal();
    assert!(
        refusal.contains("node.id is 4, but cluster.nodes lists only 1, 2, 3"),
        "{refusal}"
    );
    let twice = Case::new().set("cluster.nodes", "1=a:1,1=b:1").refusal();
    assert_eq!(twice, "node 1 is listed twice in cluster.nodes");
}

#[test]
fn a_node_that_joins_lists_no_other_nodes() {
    let join = "node1:7401, node2:7401";
    let case = Case::new().set("cluster.join", join).set("node.id", "4");
    let config = case.config();
    let addresses: Vec<_> = config
        .cluster
        .join
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["node1:7401", "node2:7401"]);
    assert_eq!(config.cluster.nodes.len(), 1);

    let refusal = Case::new()
        .given(THREE_NODES)
        .set("cluster.join", join)
        .refusal();
    assert!(refusal.contains("leave one of them out"), "{refusal}");
    let refusal = Case::new().set("cluster.join", "7401").refusal();
    assert!(refusal.contains("cluster.join cannot be"), "{refusal}");
    assert!(
        Case::new()
            .set("cluster.join", "off")
            .config()
            .cluster
            .join
            .is_empty()
    );
}

#[test]
fn a_cluster_can_be_listed_in_one_line() {
    let line = "1=node1:7401/outside:9001,2=node2";
    let config = Case::new()
        .variable("FLOTILLA_CLUSTER_NODES", line)
        .config();
    assert_eq!(config.addresses.client, "outside:9001");
    assert_eq!(config.cluster.nodes[1].peer.to_string(), "node2:7401");
}

#[test]
fn a_node_on_every_interface_must_say_where_it_is_reached() {
    let open = Case::new().set("listen.host", "0.0.0.0");
    let refusal = open.refusal();
    assert!(
        refusal.contains("listen.client is 0.0.0.0:7400"),
        "{refusal}"
    );
    assert!(
        refusal.contains("advertise.client (--advertise-client HOST)"),
        "{refusal}"
    );

    let config = open.set("advertise.client", "broker.example").config();
    assert_eq!(config.addresses.client, "broker.example:7400");
    assert_eq!(config.addresses.peer, "broker.example:7401");
}

#[test]
fn the_cluster_id_follows_from_the_name_alone() {
    let first = Case::new().config().cluster.id;
    assert_eq!(first, Case::new().set("node.id", "7").config().cluster.id);
    assert_ne!(
        first,
        Case::new().set("cluster.name", "other").config().cluster.id
    );
    // Data directories hold it, so it must be the same in every version.
    assert_eq!(first.to_string(), "113fbcfc8af95ed388524bc123f13ba8");
}

#[test]
fn what_is_printed_can_be_read_and_means_the_same() {
    let config = Case::new()
        .given(THREE_NODES)
        .set("broker.leader_balance_ms", "off")
        .config();
    let printed = to_toml(&config);
    let again = Case::new().given(&printed).config();
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
    assert!(
        printed
            .lines()
            .all(|line| !line.starts_with('#') || line.len() <= 100)
    );
    for setting in super::settings::ALL {
        let name = setting.key().split_once('.').unwrap().1;
        assert!(
            printed.contains(&format!("\n{name} = ")),
            "{}",
            setting.key()
        );
    }
}

#[test]
fn a_directory_with_a_config_json_works_as_it_is() {
    let file =
        r#"{"server": {"host": "localhost", "port": 9090}, "storage": {"path": "./messages"}}"#;
    let case = Case::new().with("config.json", file);
    let config = case.config();
    assert_eq!(config.listen.text.to_string(), "localhost:9090");
    assert_eq!(config.storage.data_dir, Path::new("./messages"));
    assert_eq!(config.listen.client.to_string(), "127.0.0.1:7400");
    let loaded = case.load();
    assert!(loaded.files[0].ends_with("config.json"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);

    let text_port = Case::new()
        .with("config.json", r#"{"server": {"port": "9091"}}"#)
        .config();
    assert_eq!(text_port.listen.text.to_string(), "127.0.0.1:9091");
    assert_eq!(text_port.storage.data_dir, Path::new("./data"));

    let everywhere = r#"{"server": {"host": "", "port": 9092}}"#;
    let everywhere = Case::new().with("config.json", everywhere).config();
    assert_eq!(everywhere.listen.text.to_string(), "127.0.0.1:9092");

    let refusal = Case::new()
        .with("config.json", r#"{"server": {"port": "http"}}"#)
        .refusal();
    assert!(refusal.contains("config.json"), "{refusal}");
    let refusal = Case::new().with("config.json", "{").refusal();
    assert!(
        refusal.contains("config.json is not valid JSON"),
        "{refusal}"
    );
}

#[test]
fn a_file_that_is_given_is_read_as_its_ending_says() {
    let given = |name: &str, text: &str| {
        let mut case = Case::new().with(name, text);
        case.sources.file = Some(case.directory.path().join(name));
        case.sources.working_directory = "elsewhere".into();
        case
    };
    let json = given("seed.json", r#"{"storage": {"path": "messages"}}"#);
    assert_eq!(json.config().storage.data_dir, Path::new("messages"));
    let yaml = given("seed.yaml", "server:\n  grpc_port: \"9000\"\n");
    assert_eq!(yaml.config().listen.client.to_string(), "127.0.0.1:9000");
    let mut missing = Case::new();
    missing.sources.file = Some("missing.json".into());
    assert!(missing.refusal().contains("missing.json"));
}

#[test]
fn a_directory_with_a_config_yaml_works_as_it_is() {
    let file = r#"# config.yaml
server:
  grpc_port: "9000"
  http_port: 8080

repositories:
  postgres:
    host: "localhost"
    port: "5432"
"#;
    let loaded = Case::new().with("config.yaml", file).load();
    assert_eq!(loaded.config.listen.client.to_string(), "127.0.0.1:9000");
    assert_eq!(loaded.config.listen.http.to_string(), "127.0.0.1:8080");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0].contains("repositories"),
        "{}",
        loaded.warnings[0]
    );

    let empty = Case::new().with("config.yaml", "").load();
    assert_eq!(empty.config.listen.client.to_string(), "127.0.0.1:7400");
    let refusal = Case::new().with("config.yaml", "server: [\n").refusal();
    assert!(
        refusal.contains("config.yaml is not valid YAML"),
        "{refusal}"
    );
}

#[test]
fn files_of_the_working_directory_are_read_only_when_none_is_asked_for() {
    let case = Case::new()
        .with(
            "config.yaml",
            "server:\n  grpc_port: 9000\n  http_port: 9002\n",
        )
        .with("flotilla.toml", "[listen]\nclient = 9100\n");
    let config = case.config();
    assert_eq!(config.listen.client.port, 9_100, "our own file wins");
    assert_eq!(config.listen.http.port, 9_002);

    let config = case.given("[node]\nid = 5\n").config();
    assert_eq!(config.listen.client.port, 7_400);
    assert_eq!(config.listen.http.port, 7_402);
}

#[test]
fn issuers_are_a_list_of_tables_in_a_file() {
    let written = "[auth]\nenabled = \"on\"\nissuers = [{ issuer = \"https://id.example/oidc\", \
                   audiences = \"a,b\", algorithms = \"ES384\", principal_claim = \"azp\" }]\n";
    let config = Case::new().given(written).load().config;
    let issuers = config.auth.unwrap().issuers;
    assert_eq!(issuers.len(), 1);
    assert_eq!(issuers[0].principal_claim.as_deref(), Some("azp"));
    let misspelt = written.replace("audiences", "audience");
    let refused = Case::new().given(&misspelt).refusal();
    assert!(
        refused.contains("auth.issuers.audience") && refused.contains("auth.issuers.audiences?"),
        "{refused}"
    );
}

#[test]
fn a_certificate_comes_with_its_key_and_an_authority() {
    let missing = |set: &[&str]| {
        let keys = set.iter().map(|name| format!("tls.{name}"));
        let case = keys.fold(Case::new(), |case, key| case.set(&key, "file.pem"));
        case.refusal()
    };
    for (set, lacking) in [
        (&["certificate_file"][..], "tls.key_file"),
        (&["key_file", "ca_file"], "tls.certificate_file"),
        (&["certificate_file", "key_file"], "tls.ca_file"),
        (&["public_certificate_file"], "tls.public_key_file"),
        (
            &["public_certificate_file", "public_key_file"],
            "tls.certificate_file",
        ),
    ] {
        let refused = missing(set);
        assert!(
            refused.starts_with(&format!("{lacking} is missing")),
            "{refused}"
        );
    }
    let refused = missing(&["certificate_file", "key_file", "ca_file"]);
    assert!(refused.contains("cannot read file.pem"), "{refused}");
    let refused = Case::new().set("tls.node_domain", "Not A Domain").refusal();
    assert!(refused.contains("which is no domain"), "{refused}");
}
