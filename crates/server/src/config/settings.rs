//! Everything that can be set, in the order in which it is printed.
//!
//! A key is `section.name`. In a file it is `name` in the table `section`; as a variable it is
//! `FLOTILLA_SECTION_NAME`; on the command line every one can be given with `--set key=value`.

use super::auth::Issuers;
use super::kind::{
    Address, Choice, FilePath, FilePathOrOff, HostPortsOrOff, LogFilter, NODE_ID as NODE_ID_KIND,
    Nodes, Number, NumberOrOff, Switch, Text,
};
use super::setting::{AnySetting, Setting};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// No timing here makes sense beyond this.
const HOUR_MS: u64 = 3_600_000;

/// Defines the settings and the list of them.
macro_rules! settings {
    ($($name:ident: $kind:ty = $value:expr, $key:literal, default $default:expr, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub(crate) static $name: Setting<$kind> =
                Setting { key: $key, kind: $value, default: $default, doc: $doc };
        )*

        pub(crate) static ALL: &[&dyn AnySetting] = &[$(&$name),*];
    };
}

settings! {
    NODE_ID: Number = NODE_ID_KIND, "node.id", default Some("1"),
        "Number of this node in its cluster. It belongs to the data directory for ever: a machine \
         that lost its directory comes back under a new number.";
    NODE_DATA_DIR: FilePath = FilePath, "node.data_dir", default Some("./data"),
        "Directory that holds everything this node must not lose. Created if it is missing. One \
         process at a time can use it.";
    NODE_WORKER_THREADS: Number = Number::count(1, 1_024), "node.worker_threads", default None,
        "Threads that serve requests. The default is one less than there are cores, and one at the \
         least: the journal and the sealer have threads of their own.";
    NODE_BLOCKING_THREADS_MAX: Number = Number::count(4, 1_024), "node.blocking_threads_max",
        default Some("64"),
        "Most threads that wait for the disk on behalf of requests. They are started when they are \
         needed and end when they are idle.";
    NODE_DRAIN_LIMIT_MS: Number = Number::milliseconds(0, HOUR_MS), "node.drain_limit_ms",
        default Some("5000"),
        "How long requests that are under way may take after the node was told to stop.";
    NODE_HANDOVER_LIMIT_MS: Number = Number::milliseconds(0, HOUR_MS), "node.handover_limit_ms",
        default Some("3000"),
        "How long a node that stops waits for each of its leaderships to be taken over by another \
         node. Without a handover the others notice after an election timeout.";

    CLUSTER_NAME: Text = Text { what: "a name that is not empty" }, "cluster.name",
        default Some("flotilla"),
        "Name of the cluster. Its identity is derived from the name: nodes of clusters with \
         different names refuse each other, and a data directory stays with its cluster.";
    CLUSTER_NODES: Nodes = Nodes, "cluster.nodes", default None,
        "Every node that the cluster is born with, the same on all of them. By default the cluster \
         is this node alone. `peer` is where the other nodes reach it, `client` where clients do \
         (by default the host of `peer`).";

    CLUSTER_JOIN: HostPortsOrOff = HostPortsOrOff, "cluster.join", default Some("off"),
        "Nodes of a running cluster that this node is to join: where they listen for their peers. It \
         needs one that answers, only until the cluster knows it, and holds nothing before \
         `flotilla cluster add-node`. Not together with other nodes in cluster.nodes.";

    LISTEN_HOST: Text = Text { what: "a host name or an IP address" }, "listen.host",
        default Some("127.0.0.1"),
        "Interface for the ports below that name none. The default takes connections from this \
         machine only; 0.0.0.0 takes them from everywhere.";
    LISTEN_CLIENT: Address = Address, "listen.client", default Some("7400"),
        "Where clients connect, by gRPC.";
    LISTEN_PEER: Address = Address, "listen.peer", default Some("7401"),
        "Where the other nodes connect. Clients have no business there. If it names an address, connections to \
         other nodes come from there too.";
    LISTEN_HTTP: Address = Address, "listen.http", default Some("7402"),
        "Where HTTP is served: publish and read, the management of topics, metrics and health.";
    LISTEN_TEXT: Address = Address, "listen.text", default Some("7403"),
        "Where the text protocol is served.";

    ADVERTISE_CLIENT: Address = Address, "advertise.client", default None,
        "Where clients reach this node, as others are told. By default what cluster.nodes says, or \
         else where it listens.";
    ADVERTISE_PEER: Address = Address, "advertise.peer", default None,
        "Where the other nodes reach this node, as they are told. By default what cluster.nodes \
         says, or else where it listens.";

    STORAGE_JOURNAL_FILE_BYTES: Number = Number::bytes(64 << 10, GIB), "storage.journal_file_bytes",
        default Some("67108864"),
        "Size of one journal file. Journal space comes back file by file, so a small journal \
         budget wants small files.";
    STORAGE_JOURNAL_BYTES_MAX: Number = Number::bytes(256 << 10, 1_024 * TIB),
        "storage.journal_bytes_max", default Some("1073741824"),
        "Journal size from which room is made without waiting for large segments. At least four \
         journal files. More gives quiet partitions larger segments; less saves disk.";
    STORAGE_JOURNAL_BYTES_KEPT: Number = Number::bytes(0, 1_024 * TIB),
        "storage.journal_bytes_kept", default None,
        "Journal size up to which nothing leaves the journal. At most storage.journal_bytes_max, and \
         half of it by default. Consumers that lag by less read what the kernel still has in memory.";
    STORAGE_JOURNAL_INDEX_BYTES_MAX: Number = Number::bytes(MIB, TIB),
        "storage.journal_index_bytes_max", default Some("33554432"),
        "Memory for the journal's index from which room is made in the same way. It matters when \
         entries are small: each takes 24 bytes of it.";
    STORAGE_TAIL_CACHE_BYTES: Number = Number::bytes(0, TIB), "storage.tail_cache_bytes",
        default Some("67108864"),
        "Memory for entries that were written lately. It serves replication and consumers at the \
         end of a log without reading the disk.";
    STORAGE_SEGMENT_BYTES_TARGET: Number = Number::bytes(16 << 10, GIB),
        "storage.segment_bytes_target", default Some("33554432"),
        "Size that is waited for before a segment is made. Larger segments replay faster; \
         retention frees space one segment at a time.";
    STORAGE_SEGMENT_BYTES_MIN: Number = Number::bytes(1, GIB), "storage.segment_bytes_min",
        default Some("1048576"),
        "Smallest run that becomes a segment of its own when the journal is over its budget. At \
         most storage.segment_bytes_target. What is smaller shares a file with other partitions.";
    STORAGE_DISK_RESERVE_BYTES: Number = Number::bytes(0, 1_024 * TIB),
        "storage.disk_reserve_bytes", default Some("268435456"),
        "Free disk space below which producers are refused. Votes, replication that is under way \
         and retention may use it.";
    STORAGE_BLOCK_CACHE_BYTES: Number = Number::bytes(MIB, TIB), "storage.block_cache_bytes",
        default Some("16777216"),
        "Memory for the cache of blocks and indexes of segments.";
    STORAGE_OPEN_FILES_MAX: Number = Number::count(64, 1 << 20), "storage.open_files_max",
        default Some("512"),
        "Files that are kept open for reading segments.";
    STORAGE_SCRUB_BYTES_PER_SECOND: Number = Number::bytes(0, GIB),
        "storage.scrub_bytes_per_second", default Some("4194304"),
        "How fast everything that is stored is read to find damage before it is needed: at least \
         64 KiB, or 0 for not at all. Faster finds damage earlier and takes more of the disk.";
    STORAGE_SCRUB_INTERVAL_MS: Number = Number::milliseconds(60_000, 365 * 24 * HOUR_MS),
        "storage.scrub_interval_ms", default Some("604800000"),
        "Time from the start of one such reading to the start of the next. A reading that takes \
         longer is followed by the next one at once.";

    RAFT_HEARTBEAT_MS: Number = Number::milliseconds(10, HOUR_MS), "raft.heartbeat_ms",
        default Some("150"),
        "How often a leader tells its followers that it is there. All nodes of a cluster should \
         agree on every raft setting.";
    RAFT_ELECTION_MIN_MS: Number = Number::milliseconds(20, HOUR_MS), "raft.election_min_ms",
        default Some("450"),
        "Shortest random part of an election timeout. Above raft.heartbeat_ms.";
    RAFT_ELECTION_MAX_MS: Number = Number::milliseconds(21, HOUR_MS), "raft.election_max_ms",
        default Some("750"),
        "Longest random part of an election timeout, and how long followers stay loyal to a leader \
         that went silent. Above raft.election_min_ms.";
    RAFT_BIRTH_PATIENCE_MS: Number = Number::milliseconds(0, HOUR_MS), "raft.birth_patience_ms",
        default Some("3000"),
        "How long the other replicas of a new group wait for the preferred leader before they \
         bring it to life themselves.";
    RAFT_REPLICATION_TIMEOUT_MS: Number = Number::milliseconds(100, HOUR_MS),
        "raft.replication_timeout_ms", default Some("5000"),
        "How long a peer may leave a replication request unanswered.";
    RAFT_SAVE_INTERVAL_MS: Number = Number::milliseconds(10, HOUR_MS), "raft.save_interval_ms",
        default Some("1000"),
        "How often state that changed is handed to storage. Less means less to repeat at a start.";
    RAFT_QUIESCE_AFTER_MS: NumberOrOff = NumberOrOff(Number::milliseconds(100, HOUR_MS)),
        "raft.quiesce_after_ms", default Some("250"),
        "How long nothing must happen in a group before its timers stand still, so that an idle group \
         costs next to nothing. \"off\" keeps all timers running.";

    RAFT_CATCH_UP_BYTES_PER_SECOND: Number = Number::bytes(0, TIB),
        "raft.catch_up_bytes_per_second", default Some("33554432"),
        "How fast this node sends what it has to read from disk to replicas that catch up, at the \
         most and of all partitions together; 0 is without a limit. A node that has more to do than \
         it can goes down to a sixth of that by itself, but never below twice what it takes in. \
         Slower leaves more of the disk and the network to producers and consumers while replicas \
         move.";

    BROKER_PRODUCE_BYTES_IN_FLIGHT_MAX: Number = Number::bytes(16 * MIB, TIB),
        "broker.produce_bytes_in_flight_max", default Some("268435456"),
        "Bytes of produce requests that the node holds before it answers OVERLOADED.";
    BROKER_CONNECTIONS_MAX: Number = Number::count(1, MIB), "broker.connections_max",
        default Some("4096"),
        "Connections that each of the ports for clients and for peers serves at a time. One more is \
         refused with OVERLOADED.";
    BROKER_HANDSHAKE_LIMIT_MS: Number = Number::milliseconds(10, HOUR_MS),
        "broker.handshake_limit_ms", default Some("10000"),
        "How long a connection may take to say what it speaks.";
    BROKER_RETENTION_CHECK_MS: Number = Number::milliseconds(1, HOUR_MS),
        "broker.retention_check_ms", default Some("10000"),
        "How often the partitions that this node leads are checked for records that may go.";
    BROKER_LEADER_BALANCE_MS: NumberOrOff = NumberOrOff(Number::milliseconds(1, HOUR_MS)),
        "broker.leader_balance_ms", default Some("5000"),
        "How often leaderships are handed to the replicas that are preferred to lead. \"off\" \
         leaves them where they are.";
    BROKER_LEADER_BALANCE_PATIENCE_MS: Number = Number::milliseconds(0, HOUR_MS),
        "broker.leader_balance_patience_ms", default Some("10000"),
        "How long a node must have been up before leaderships are handed to it.";

    BROKER_MOVES_MAX: Number = Number::count(1, 1_024), "broker.moves_max", default Some("4"),
        "Most partitions led by this node whose replicas move to other nodes at a time.";

    AUTH_ENABLED: Switch = Switch, "auth.enabled", default Some("off"),
        "Whether callers have to prove who they are, with a token, a key or a certificate, and may do only what access \
         rules allow. All nodes of a cluster should agree on every auth setting. While it is off, whoever \
         reaches a port may do everything.";
    AUTH_ISSUERS: Issuers = Issuers, "auth.issuers", default Some("off"),
        "Issuers whose tokens count (OpenID Connect, client credentials). Their keys are found at \
         <issuer>/.well-known/openid-configuration unless jwks_url is given, and fetched by https. \
         Algorithms are RS256, ES256, ES384 and EdDSA. The principal is token:NAME, where the name is the \
         claim principal_claim, or else client_id, azp or sub.";
    AUTH_AUDIENCE: Text = Text { what: "an audience" }, "auth.audience",
        default Some("kbroker-inbox"),
        "What a token must be meant for, its claim aud, where its issuer's entry names no audiences.";
    AUTH_PUBLISH_SCOPE: Text = Text { what: "a scope, or \"off\"" }, "auth.publish_scope",
        default Some("kbroker-inbox.event-publish"),
        "Scope without which a token publishes nothing, whatever the access rules say. \"off\" asks for none.";
    AUTH_ANONYMOUS: Switch = Switch, "auth.anonymous", default Some("off"),
        "Whether callers who show nothing are let in, as the principal anonymous, who may do what access \
         rules allow it. By default they are refused.";
    AUTH_ADMINISTRATORS: Text = Text { what: "principals with commas between, or \"off\"" },
        "auth.administrators", default Some("off"),
        "Principals who may do everything, as in token:ops,key:deploy: somebody has to make the first rule.";
    AUTH_BOOTSTRAP_KEY_FILE: FilePathOrOff = FilePathOrOff, "auth.bootstrap_key_file",
        default Some("off"),
        "File with a key that counts from the start, the same on all nodes, as `flotilla key generate` makes \
         one. Its principal is key:bootstrap, an administrator.";

    TLS_CERTIFICATE_FILE: FilePathOrOff = FilePathOrOff, "tls.certificate_file", default Some("off"),
        "This node's certificate, in PEM form, those of authorities in between behind it. With it every port \
         speaks TLS and nothing else, and nodes believe only each other. It is for the DNS names \
         node-N.DOMAIN, N being node.id, and DOMAIN, which is tls.node_domain, and for the names by which \
         clients reach the node. `flotilla cert dev` makes some for trying out.";
    TLS_KEY_FILE: FilePathOrOff = FilePathOrOff, "tls.key_file", default Some("off"),
        "The private key of tls.certificate_file, in PEM form.";
    TLS_CA_FILE: FilePathOrOff = FilePathOrOff, "tls.ca_file", default Some("off"),
        "Authorities, in PEM form, whose certificates count: those of the other nodes, and those that clients \
         show. Whoever can get a certificate for node-N.DOMAIN from them can be a node.";
    TLS_PUBLIC_CERTIFICATE_FILE: FilePathOrOff = FilePathOrOff, "tls.public_certificate_file",
        default Some("off"),
        "What clients are shown instead, if they trust other authorities than the nodes do.";
    TLS_PUBLIC_KEY_FILE: FilePathOrOff = FilePathOrOff, "tls.public_key_file", default Some("off"),
        "The private key of tls.public_certificate_file.";
    TLS_CLIENT_CERTIFICATES: Choice = Choice(&["off", "optional", "required"]),
        "tls.client_certificates", default Some("optional"),
        "Whether clients are asked for certificates. With auth.enabled, whoever shows one and no token is the \
         principal certificate:NAME, where the name is the common name of its subject, or else its first DNS name.";
    TLS_NODE_DOMAIN: Text = Text { what: "a domain" }, "tls.node_domain",
        default Some("flotilla.internal"),
        "Domain of the names of nodes in certificates. Nobody looks them up. Clusters that share an authority \
         need a domain each.";
    TLS_RELOAD_MS: Number = Number::milliseconds(10, HOUR_MS), "tls.reload_ms", default Some("10000"),
        "How often the files are looked at. New connections use what they hold; no restart is needed.";

    DOORS_PUBLISH_LIMIT_MS: Number = Number::milliseconds(1, 120_000), "doors.publish_limit_ms",
        default Some("30000"),
        "How long a record that came by HTTP or the text protocol is tried, through changes of leaders \
         too, before its sender is told that nobody knows what became of it.";
    DOORS_WRITE_STALL_MS: Number = Number::milliseconds(10, HOUR_MS), "doors.write_stall_ms",
        default Some("30000"),
        "How long a client of HTTP or the text protocol may leave an answer unread. Then it is cut off.";

    HTTP_BODY_BYTES_MAX: Number = Number::bytes(1, GIB), "http.body_bytes_max",
        default Some("8388608"),
        "Largest body of an HTTP request. A larger one is refused with 413.";
    HTTP_BODIES_BYTES_MAX: Number = Number::bytes(MIB, TIB), "http.bodies_bytes_max",
        default Some("134217728"),
        "Bodies of all HTTP requests that are under way, together. More are refused with 503.";
    HTTP_BODY_LIMIT_MS: Number = Number::milliseconds(10, HOUR_MS), "http.body_limit_ms",
        default Some("30000"),
        "How long the body of an HTTP request may take to arrive. Then it is refused with 408.";
    HTTP_CONNECTIONS_MAX: Number = Number::count(1, MIB), "http.connections_max",
        default Some("16384"),
        "HTTP connections that are served at a time. One more is refused with 503.";
    HTTP_HEADER_TIMEOUT_MS: Number = Number::milliseconds(10, HOUR_MS), "http.header_timeout_ms",
        default Some("15000"),
        "How long a connection may take to send the head of an HTTP request, and how long it may \
         be idle.";
    HTTP_TAILS_MAX: Number = Number::count(0, MIB), "http.tails_max", default Some("1024"),
        "Live tails (server-sent events) that are open at a time. One more is refused with 503.";

    TEXT_CREATE_TOPICS: Switch = Switch, "text.create_topics", default Some("on"),
        "Whether the text protocol creates a topic, with one partition, when somebody publishes to it.";
    TEXT_CONNECTIONS_MAX: Number = Number::count(1, MIB), "text.connections_max",
        default Some("4096"),
        "Connections of the text protocol that are served at a time. One more is refused.";
    TEXT_IDLE_LIMIT_MS: Number = Number::milliseconds(10, 24 * HOUR_MS), "text.idle_limit_ms",
        default Some("300000"),
        "How long a connection of the text protocol may be without a command.";
    TEXT_PAYLOAD_BYTES_MAX: Number = Number::bytes(1, 8 * MIB), "text.payload_bytes_max",
        default Some("1048576"),
        "Largest payload that the text protocol takes. A topic may take less.";

    LOG_FORMAT: Choice = Choice(&["text", "json"]), "log.format", default Some("text"),
        "How log lines on stderr look: for people, or one JSON object a line.";
    LOG_LEVEL: LogFilter = LogFilter, "log.level", default Some("info"),
        "What is logged, for all or for single modules.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Written;

    #[test]
    fn every_default_is_a_valid_value_and_every_setting_is_described() {
        for setting in ALL {
            assert!(
                setting.check(&Written::default()).is_ok(),
                "{}",
                setting.key()
            );
            assert!(setting.doc().ends_with('.'), "{}", setting.key());
            assert!(!setting.takes().is_empty(), "{}", setting.key());
        }
    }

    #[test]
    fn keys_and_variables_are_unique() {
        let mut names: Vec<_> = ALL.iter().map(|setting| setting.key().to_owned()).collect();
        names.extend(ALL.iter().map(|setting| setting.variable()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
