//! The settings as decided, as a file that can be read again.

use super::LogFormat;
use super::address::HostPort;
use super::auth::switch;
use super::resolved::{ClusterNode, ServerConfig};
use super::setting::AnySetting;
use super::settings;

const WIDTH: usize = 96;
const HEADER: &str = "\
# A Flotilla node: every setting, with the value in effect. Each can also be given as the variable
# FLOTILLA_SECTION_NAME or on the command line with --set section.name=value.
";

/// The whole configuration as TOML, each setting with what it does and what it takes.
pub(crate) fn to_toml(config: &ServerConfig) -> String {
    let mut text = String::from(HEADER);
    let mut open_section = "";
    for setting in settings::ALL {
        let (section, name) = setting
            .key()
            .split_once('.')
            .expect("invariant: a key has a section");
        if section != open_section {
            text.push_str(&format!("\n[{section}]\n"));
            open_section = section;
        }
        text.push_str(&comment(*setting));
        text.push_str(&format!("{name} = {}\n", value(config, setting.key())));
    }
    text
}

/// The settings by section and name, as in the file.
pub(crate) fn to_json(config: &ServerConfig) -> serde_json::Value {
    toml::from_str(&to_toml(config)).expect("invariant: what is printed can be read")
}

/// What the setting does, takes and is by default, in comment lines.
fn comment(setting: &dyn AnySetting) -> String {
    let mut words = format!("{} Takes {}.", setting.doc(), setting.takes());
    if let Some(default) = setting.default_text() {
        words.push_str(&format!(" Default {default}."));
    }
    let mut text = String::new();
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text + &line + "\n"
}

/// The value in effect, as TOML.
#[expect(clippy::too_many_lines, reason = "one line for each setting")]
fn value(config: &ServerConfig, key: &str) -> toml::Value {
    let ServerConfig {
        listen,
        stop,
        storage,
        raft,
        broker,
        connections,
        http,
        text,
        ..
    } = config;
    match key {
        "node.id" => number(config.node.get()),
        "node.data_dir" => storage.data_dir.display().to_string().into(),
        "node.worker_threads" => number(config.runtime.worker_threads as u64),
        "node.blocking_threads_max" => number(config.runtime.blocking_threads_max as u64),
        "node.drain_limit_ms" => number(millis(stop.drain_limit)),
        "node.handover_limit_ms" => number(millis(stop.handover_limit)),
        "cluster.name" => config.cluster.name.clone().into(),
        "cluster.nodes" => nodes(&config.cluster.nodes),
        "cluster.join" => join(&config.cluster.join).into(),
        "listen.host" => listen.host.clone().into(),
        "listen.client" => listen.client.to_string().into(),
        "listen.peer" => listen.peer.to_string().into(),
        "listen.http" => listen.http.to_string().into(),
        "listen.text" => listen.text.to_string().into(),
        "advertise.client" => config.addresses.client.clone().into(),
        "advertise.peer" => config.addresses.peer.clone().into(),
        "storage.journal_file_bytes" => number(storage.journal_file_bytes),
        "storage.journal_bytes_max" => number(storage.journal_bytes_max),
        "storage.journal_bytes_kept" => number(storage.journal_bytes_kept),
        "storage.journal_index_bytes_max" => number(storage.journal_index_bytes_max),
        "storage.tail_cache_bytes" => number(storage.tail_cache_bytes),
        "storage.segment_bytes_target" => number(storage.segment_bytes_target),
        "storage.segment_bytes_min" => number(storage.segment_bytes_min),
        "storage.disk_reserve_bytes" => number(storage.disk_reserve_bytes),
        "storage.block_cache_bytes" => number(storage.block_cache_bytes),
        "storage.open_files_max" => number(u64::from(storage.open_files_max)),
        "storage.scrub_bytes_per_second" => number(storage.scrub_bytes_per_second),
        "storage.scrub_interval_ms" => number(millis(storage.scrub_interval)),
        "raft.heartbeat_ms" => number(raft.heartbeat_ms),
        "raft.election_min_ms" => number(raft.election_min_ms),
        "raft.election_max_ms" => number(raft.election_max_ms),
        "raft.birth_patience_ms" => number(raft.birth_patience_ms),
        "raft.replication_timeout_ms" => number(raft.replication_timeout_ms),
        "raft.save_interval_ms" => number(raft.save_interval_ms),
        "raft.quiesce_after_ms" => raft.quiesce_after_ms.map_or_else(|| "off".into(), number),
        "raft.catch_up_bytes_per_second" => number(raft.catch_up_bytes_per_second),
        "broker.produce_bytes_in_flight_max" => number(broker.produce_bytes_in_flight_max as u64),
        "broker.connections_max" => number(connections.connections_max as u64),
        "broker.handshake_limit_ms" => number(millis(connections.handshake_limit)),
        "broker.retention_check_ms" => number(broker.retention_check_ms),
        "broker.leader_balance_ms" => broker
            .leader_balance_ms
            .map_or_else(|| "off".into(), number),
        "broker.leader_balance_patience_ms" => number(broker.leader_balance_patience_ms),
        "broker.moves_max" => number(broker.moves_max as u64),
        "doors.publish_limit_ms" => number(millis(config.publish_limit)),
        "doors.write_stall_ms" => number(millis(http.write_stall_limit)),
        "http.body_bytes_max" => number(http.body_bytes_max as u64),
        "http.bodies_bytes_max" => number(http.bodies_bytes_max as u64),
        "http.body_limit_ms" => number(millis(http.body_limit)),
        "http.connections_max" => number(http.connections_max as u64),
        "http.header_timeout_ms" => number(millis(http.header_timeout)),
        "http.tails_max" => number(http.tails_max as u64),
        "text.create_topics" => switch(text.create_topics),
        "text.connections_max" => number(text.connections_max as u64),
        "text.idle_limit_ms" => number(millis(text.idle_limit)),
        "text.payload_bytes_max" => number(text.payload_bytes_max as u64),
        "log.format" => match config.log.format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        },
        "log.level" => config.log.level.clone().into(),
        other => {
            let value = match other.split_once('.') {
                Some(("auth", name)) => config.written_auth.to_toml(name),
                Some(("tls", name)) => config.tls.to_toml(name),
                _ => None,
            };
            value.unwrap_or_else(|| {
                unreachable!("invariant: {other} is printed; a test prints every setting")
            })
        }
    }
}

fn join(addresses: &[HostPort]) -> String {
    if addresses.is_empty() {
        return "off".to_owned();
    }
    let addresses: Vec<_> = addresses.iter().map(HostPort::to_string).collect();
    addresses.join(",")
}

fn nodes(nodes: &[ClusterNode]) -> toml::Value {
    let node = |node: &ClusterNode| {
        let mut table = toml::Table::new();
        table.insert("id".to_owned(), number(node.id.get()));
        table.insert("peer".to_owned(), node.peer.to_string().into());
        table.insert("client".to_owned(), node.client.to_string().into());
        toml::Value::Table(table)
    };
    toml::Value::Array(nodes.iter().map(node).collect())
}

fn number(value: u64) -> toml::Value {
    toml::Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
