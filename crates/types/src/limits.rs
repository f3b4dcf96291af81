//! Every limit of the broker, with its unit. A limit that is not here does not exist.

/// Longest name of a topic, a consumer group or a member, in bytes.
pub const NAME_BYTES_MAX: usize = 249;
/// Longest name of a principal (who calls), in bytes.
pub const PRINCIPAL_NAME_BYTES_MAX: usize = 256;
/// Most claims of a token that its principal keeps.
pub const PRINCIPAL_CLAIMS_MAX: usize = 32;
/// Most scopes of a token that its principal keeps.
pub const PRINCIPAL_SCOPES_MAX: usize = 64;
/// Longest scope, and longest name or value of a claim, that a principal keeps, in bytes.
pub const PRINCIPAL_CLAIM_BYTES_MAX: usize = 256;
/// Most access rules of a cluster.
pub const ACCESS_RULES_MAX: usize = 10_000;
/// Longest access rule, in bytes of its text.
pub const ACCESS_RULE_BYTES_MAX: usize = 1_024;
/// Most rules that are told as the nearest ones when no access rule allows something.
pub const NEAREST_ACCESS_RULES_MAX: usize = 5;
/// Most keys of a cluster.
pub const KEYS_MAX: usize = 10_000;
/// Longest id of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 64;
/// Most partitions that one topic can have.
pub const TOPIC_PARTITIONS_MAX: u32 = 4_096;
/// Most replicas of one partition.
pub const REPLICATION_FACTOR_MAX: u32 = 7;
/// Replicas of a partition unless its topic says otherwise, where there are as many nodes.
pub const REPLICATION_FACTOR_DEFAULT: u32 = 3;
/// Most replicas that are placed on one node. One in which nothing happens takes memory and no time, and
/// a start opens them all.
pub const NODE_REPLICAS_MAX: u32 = 4_000;
/// Most topics in one list, describe or metadata request.
pub const TOPICS_PER_REQUEST_MAX: usize = 1_000;

/// Largest record (key, value and headers together) unless the topic says otherwise, in bytes.
pub const RECORD_BYTES_DEFAULT: usize = 1 << 20;
/// Largest payload of a single publish over HTTP unless the topic's `max_record_bytes` was changed, in bytes.
pub const PUBLISH_BYTES_DEFAULT: usize = 64 << 10;
/// Largest record that a topic can be configured to take, in bytes.
pub const RECORD_BYTES_MAX: usize = 8 << 20;
/// Largest record batch as it is sent and stored, in bytes.
pub const BATCH_BYTES_MAX: usize = RECORD_BYTES_MAX + (64 << 10);
/// Largest record batch after decompression, in bytes. What claims more is a decompression bomb.
pub const BATCH_DECOMPRESSED_BYTES_MAX: usize = 32 << 20;
/// Most records in one batch.
pub const BATCH_RECORDS_MAX: usize = 100_000;
/// Most headers of one record.
pub const RECORD_HEADERS_MAX: usize = 256;
/// Most headers in one batch: an empty one takes two bytes there and dozens once it is read.
pub const BATCH_HEADERS_MAX: usize = 1_000_000;

/// Batches per producer and partition that are remembered, and so the most that may be in flight.
pub const PRODUCER_BATCHES_IN_FLIGHT_MAX: usize = 5;
/// Most producers that one partition remembers. The one that was silent longest is forgotten first.
pub const PARTITION_PRODUCERS_MAX: usize = 10_000;
/// A producer that wrote nothing for this long may be forgotten, in milliseconds.
pub const PRODUCER_EXPIRY_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Largest producer epoch: it is signed on the wire.
pub const PRODUCER_EPOCH_MAX: u16 = i16::MAX as u16;
/// Most owners of jobs whose producers one partition remembers.
pub const PARTITION_OWNERS_MAX: usize = 1_000;

/// Longest message id, in bytes.
pub const MESSAGE_ID_BYTES_MAX: usize = 256;
/// Most message ids that one partition remembers. While it knows as many, it takes no record with
/// another one.
pub const PARTITION_MESSAGE_IDS_MAX: usize = 500_000;
/// How long a message id is remembered unless the topic says otherwise, in milliseconds.
pub const DEDUPLICATION_WINDOW_MS_DEFAULT: u32 = 10 * 60 * 1_000;
/// How long a message id can be remembered at most, in milliseconds.
pub const DEDUPLICATION_WINDOW_MS_MAX: u32 = 24 * 60 * 60 * 1_000;

/// Bytes of records between two checkpoints of a partition.
pub const CHECKPOINT_INTERVAL_BYTES: u64 = 32 << 20;
/// Bytes of records between two rows of the sparse offset index.
pub const OFFSET_INDEX_INTERVAL_BYTES: u64 = 256 << 10;
/// Log entries between two rows of the sparse offset index.
pub const OFFSET_INDEX_INTERVAL_ENTRIES: u32 = 512;

/// Largest message on any gRPC connection, in bytes.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// HTTP/2 frame on gRPC connections, in bytes, asked for by both sides.
pub const GRPC_FRAME_BYTES: u32 = 1 << 20;
/// HTTP/2 window of one stream, in bytes.
pub const GRPC_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// HTTP/2 window of one connection, in bytes.
pub const GRPC_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Connections that one gRPC port serves at a time, unless configured otherwise.
pub const GRPC_CONNECTIONS_MAX: usize = 4_096;
/// Until a new gRPC connection has said that it speaks HTTP/2, unless configured otherwise, in
/// milliseconds.
pub const GRPC_HANDSHAKE_LIMIT_MS: u64 = 10_000;
/// Streams that one gRPC connection may have open.
pub const GRPC_CONCURRENT_STREAMS_MAX: u32 = 1_024;
/// A gRPC connection that was silent for this long is pinged, in milliseconds. With the time that the
/// answer may take this is how long a producer waits for a node whose power was cut, which says nothing.
pub const GRPC_KEEPALIVE_INTERVAL_MS: u64 = 4_000;
/// A gRPC connection whose ping is not answered within this time is closed, in milliseconds.
pub const GRPC_KEEPALIVE_TIMEOUT_MS: u64 = 4_000;

/// Bytes of produce requests that one node holds before it answers `OVERLOADED`.
pub const NODE_PRODUCE_BYTES_IN_FLIGHT_MAX: usize = 256 << 20;
/// Requests of one produce stream that are in flight at a time.
pub const PRODUCE_STREAM_IN_FLIGHT_MAX: usize = 256;
/// Longest time a produce request waits for a majority, in milliseconds.
pub const PRODUCE_TIMEOUT_MS_MAX: u32 = 120_000;
/// Time a produce request waits for a majority unless it says otherwise, in milliseconds.
pub const PRODUCE_TIMEOUT_MS_DEFAULT: u32 = 30_000;
/// Most bytes in one fetch answer, in bytes.
pub const FETCH_BYTES_MAX: usize = 8 << 20;
/// Bytes in one fetch answer unless the request says otherwise.
pub const FETCH_BYTES_DEFAULT: usize = 1 << 20;
/// Longest long poll, in milliseconds.
pub const FETCH_WAIT_MS_MAX: u32 = 60_000;

/// Raft groups among which the consumer groups of a cluster are spread.
pub const COORDINATORS: u32 = 16;
/// Most members of one consumer group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// Most consumer groups that one coordinator holds.
pub const COORDINATOR_GROUPS_MAX: usize = 10_000;
/// Most committed offsets of one consumer group.
pub const GROUP_OFFSETS_MAX: usize = 100_000;
/// Most partitions in one offset commit.
pub const OFFSET_COMMITS_PER_REQUEST_MAX: usize = 10_000;
/// Largest command of a coordinator as its log takes it, in bytes.
pub const GROUP_COMMAND_BYTES_MAX: usize = 8 << 20;
/// Longest text beside a committed offset, in bytes.
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;
/// Most topics that one member can name in its subscription.
pub const SUBSCRIPTION_TOPICS_MAX: usize = 1_000;
/// Longest pattern of a subscription, in bytes.
pub const SUBSCRIPTION_PATTERN_BYTES_MAX: usize = 1_000;
/// Most jobs that one coordinator holds.
pub const COORDINATOR_JOBS_MAX: usize = 10_000;
/// Longest wait for a job that another process owns, in milliseconds.
pub const JOB_WAIT_MS_MAX: u32 = 60_000;
/// A job that nobody owns is forgotten after this time, in milliseconds.
pub const JOB_EXPIRY_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// How long a member of a consumer group or the owner of a job may be silent, in milliseconds.
pub const SESSION_TIMEOUT_MS_MIN: u32 = 1_000;
pub const SESSION_TIMEOUT_MS_MAX: u32 = 1_800_000;
/// How long a member or an owner may be silent unless it says otherwise, in milliseconds.
pub const SESSION_TIMEOUT_MS_DEFAULT: u32 = 10_000;
/// A consumer group without members, and without an offset commit for this long, is forgotten, in
/// milliseconds.
pub const GROUP_EXPIRY_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Largest command of the metadata group, in bytes: an entry goes to the other nodes in one message.
pub const METADATA_COMMAND_BYTES_MAX: usize = 8 << 20;

/// Most versions of one topic's schema.
pub const SCHEMA_VERSIONS_MAX: usize = 100;
/// All versions of all schemas of a cluster together, in bytes.
pub const CLUSTER_SCHEMA_BYTES_MAX: usize = 64 << 20;
/// Most topics in one manifest.
pub const MANIFEST_TOPICS_MAX: usize = 1_000;
/// Largest topics file, and largest file with a schema, in bytes.
pub const TOPICS_FILE_BYTES_MAX: usize = 16 << 20;

/// Largest JSON Schema, in bytes of its text.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of arrays and objects in a JSON Schema.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Most JSON values in a JSON Schema, itself included. Validating costs up to this times the values in
/// the payload.
pub const SCHEMA_NODES_MAX: usize = 10_000;
/// Most schemas with `unevaluatedProperties` or `unevaluatedItems` around one another. Each asks again
/// what the ones inside it have asked, so the work doubles and more with every one.
pub const SCHEMA_UNEVALUATED_DEPTH_MAX: usize = 4;
/// Most regular expressions in a JSON Schema.
pub const SCHEMA_PATTERNS_MAX: usize = 200;
/// Longest regular expression in a JSON Schema, in bytes.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1_000;
/// Largest program that one regular expression of a JSON Schema is compiled to, in bytes.
pub const SCHEMA_PATTERN_PROGRAM_BYTES_MAX: usize = 1 << 20;
/// All programs of a JSON Schema together, in bytes. Each counts as the power of four that it fits in.
pub const SCHEMA_PROGRAMS_BYTES_MAX: usize = 8 << 20;
/// Most violations that are reported of one payload, and incompatibilities of one schema.
pub const VIOLATIONS_MAX: usize = 20;
/// Steps that comparing two JSON Schemas may take, about a microsecond each at worst. What takes more
/// counts as incompatible.
pub const SCHEMA_COMPARISON_STEPS_MAX: u64 = 1_000_000;

const _: () = assert!(ACCESS_RULE_BYTES_MAX < METADATA_COMMAND_BYTES_MAX);
const _: () = assert!(NAME_BYTES_MAX <= PRINCIPAL_NAME_BYTES_MAX);
const _: () = assert!(SCHEMA_BYTES_MAX < RECORD_BYTES_DEFAULT);
const _: () = assert!(SCHEMA_BYTES_MAX < METADATA_COMMAND_BYTES_MAX);
const _: () = assert!(SCHEMA_VERSIONS_MAX * SCHEMA_BYTES_MAX < GRPC_MESSAGE_BYTES_MAX);
const _: () = assert!(METADATA_COMMAND_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(SCHEMA_PATTERN_PROGRAM_BYTES_MAX <= SCHEMA_PROGRAMS_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_DEFAULT <= RECORD_BYTES_MAX);
const _: () = assert!(GROUP_COMMAND_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(RECORD_HEADERS_MAX <= BATCH_HEADERS_MAX);
const _: () = assert!(BATCH_BYTES_MAX < GRPC_MESSAGE_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < BATCH_DECOMPRESSED_BYTES_MAX);
const _: () = assert!(OFFSET_INDEX_INTERVAL_BYTES < CHECKPOINT_INTERVAL_BYTES);
