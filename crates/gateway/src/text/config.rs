//! Limits of the text protocol.

use std::time::Duration;

use flotilla_types::limits;

/// Longest line with a token, in bytes.
pub(super) const TOKEN_LINE_BYTES_MAX: usize = 16 << 10;
/// A refused payload up to this size is read and thrown away. A larger one ends the connection.
pub(super) const THROWN_AWAY_BYTES_MAX: u64 = limits::RECORD_BYTES_MAX as u64;
/// Most records in one answer.
pub(super) const FETCH_RECORDS_MAX: usize = 1_000;
/// Bytes of records in one answer, unless the first record alone has more.
pub(super) const FETCH_BYTES_MAX: usize = 1 << 20;
/// Longest wait for a record.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(30_000);

/// Limits of the text protocol, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextConfig {
    /// Longest line in bytes, without its end. One with a token may have 16 KiB.
    pub line_bytes_max: usize,
    /// Largest payload, in bytes. What is larger gets `too-large`.
    pub payload_bytes_max: usize,
    /// A topic that does not exist is created, with one partition, when somebody publishes to it.
    pub create_topics: bool,
    /// Connections that are served at a time. One more gets `too-many-connections`.
    pub connections_max: usize,
    /// Commands of one connection that are not answered yet. More are not read.
    pub commands_in_flight_max: usize,
    /// Payload bytes of one connection that are not answered yet. When there are as many, no other
    /// command is read.
    pub bytes_in_flight_max: usize,
    /// How long a connection may be without a command.
    pub idle_limit: Duration,
    /// How long a line or a payload may take from its first byte to its last.
    pub unfinished_limit: Duration,
    /// How long a peer may leave its answers unread. Then it is cut off.
    pub write_stall_limit: Duration,
    /// How long commands that are in flight may go on after serving was told to stop.
    pub drain_limit: Duration,
    /// Where HTTP is spoken, for those who try it here.
    pub http_address: Option<String>,
    /// Where gRPC is spoken, for those who try it here.
    pub grpc_address: Option<String>,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            line_bytes_max: 4 << 10,
            payload_bytes_max: limits::RECORD_BYTES_DEFAULT,
            create_topics: true,
            connections_max: 4_096,
            commands_in_flight_max: 128,
            bytes_in_flight_max: 2 << 20,
            idle_limit: Duration::from_secs(5 * 60),
            unfinished_limit: Duration::from_secs(30),
            write_stall_limit: Duration::from_secs(30),
            drain_limit: Duration::from_secs(10),
            http_address: None,
            grpc_address: None,
        }
    }
}

const _: () = assert!(limits::RECORD_BYTES_DEFAULT as u64 <= THROWN_AWAY_BYTES_MAX);
