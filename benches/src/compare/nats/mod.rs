//! NATS JetStream: `nats-server` as Debian has it. A stream with three replicas in files.
//!
//! This version never syncs a file before it acknowledges. The client is as lean as can be: messages are
//! published without waiting, each with an inbox of its own for its acknowledgement, and what waits is
//! sent in one write. Writers talk to the server that leads the stream, readers to the one where their
//! consumer runs, so that no server has to pass anything on.

mod protocol;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes};
use flotilla_tests::cluster::next_port;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::protocol::{Connection, Message};
use super::generator::{Reader, Volume, Writer};
use super::servers::Server;
use super::{Peer, Replayable};

const NODE_COUNT: usize = 3;
/// Until the servers have found one another and a leader.
const READY_LIMIT: Duration = Duration::from_secs(60);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct JetStream {
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    port: u16,
    server: Server,
}

impl JetStream {
    pub(super) async fn start(directory: &Path) -> Result<Self> {
        let routes: Vec<_> = (0..NODE_COUNT).map(|_| next_port()).collect();
        let urls: Vec<_> = routes
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""))
            .collect();
        let mut nodes = Vec::new();
        for (position, route) in routes.iter().enumerate() {
            let (name, port) = (format!("n{}", position + 1), next_port());
            let directory = directory.join(&name);
            fs::create_dir_all(&directory)?;
            let settings = format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\n\
                 jetstream {{ store_dir: \"data\", max_file_store: 100GB }}\n\
                 cluster {{ name: compared, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n",
                urls.join(", ")
            );
            fs::write(directory.join("nats.conf"), settings)?;
            let mut command = Command::new("nats-server");
            command.args(["-c", "nats.conf"]);
            let server = Server::start(command, &directory)?;
            nodes.push(Node { name, port, server });
        }
        for node in &mut nodes {
            node.server.wait_listening(node.port).await?;
        }
        Ok(Self { nodes })
    }

    async fn call(&self, api: &str, arguments: Value) -> Result<Value> {
        let mut connection = Connection::open(self.nodes[0].port).await?;
        connection.call(api, &arguments).await
    }

    /// The port of the server that an answer of the API names as the leader.
    fn leader_port(&self, answer: &Value) -> Result<u16> {
        let name = answer["cluster"]["leader"].as_str();
        let name = name.context("nobody leads yet")?;
        let node = self.nodes.iter().find(|node| node.name == name);
        Ok(node.context("a stranger leads")?.port)
    }

    async fn leader_of(&self, log: &str) -> Result<u16> {
        let answer = self.call(&format!("STREAM.INFO.{log}"), json!({})).await?;
        let replicas = answer["cluster"]["replicas"].as_array();
        let others = replicas.map_or(0, Vec::len);
        ensure!(
            others + 1 == NODE_COUNT,
            "the stream has {} replicas",
            others + 1
        );
        self.leader_port(&answer)
    }
}

impl Peer for JetStream {
    type Writer = JetStreamWriter;

    async fn create(&self, log: &str) -> Result<()> {
        let settings = json!({
            "name": log, "subjects": [log], "retention": "limits", "storage": "file",
            "num_replicas": NODE_COUNT, "discard": "old", "max_consumers": -1, "max_msgs": -1,
            "max_bytes": -1, "max_age": 0,
        });
        let api = format!("STREAM.CREATE.{log}");
        let begun = Instant::now();
        loop {
            let created = self.call(&api, settings.clone()).await;
            let led = match created {
                Ok(_) => self.leader_of(log).await.map(drop),
                Err(error) => Err(error),
            };
            match led {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > READY_LIMIT => return Err(error),
                // It has no leader for its metadata yet, or none for the stream.
                Err(_) => sleep(RETRY_INTERVAL).await,
            }
        }
    }

    async fn writer(&self, log: &str) -> Result<JetStreamWriter> {
        let mut connection = Connection::open(self.leader_of(log).await?).await?;
        connection.subscribe("_INBOX.w.*");
        Ok(JetStreamWriter {
            connection,
            head: format!("PUB {log} _INBOX.w."),
            next: 0,
        })
    }

    async fn delete(&self, log: &str) -> Result<()> {
        self.call(&format!("STREAM.DELETE.{log}"), json!({}))
            .await?;
        Ok(())
    }

    fn processes(&self) -> Vec<u32> {
        let nodes = self.nodes.iter();
        nodes.map(|node| node.server.process_id()).collect()
    }
}

impl Replayable for JetStream {
    type Reader = JetStreamReader;

    /// What the clients call an ordered consumer: pushed, not acknowledged, with flow control.
    async fn reader(&self, log: &str) -> Result<JetStreamReader> {
        const DELIVERY: &str = "_INBOX.r";
        let settings = json!({"stream_name": log, "config": {
            "deliver_subject": DELIVERY, "ack_policy": "none", "deliver_policy": "all",
            "replay_policy": "instant", "flow_control": true, "idle_heartbeat": 5_000_000_000_u64,
            "num_replicas": 1, "mem_storage": true,
        }});
        let created = self
            .call(&format!("CONSUMER.CREATE.{log}"), settings)
            .await?;
        // It begins when somebody listens.
        let mut connection = Connection::open(self.leader_port(&created)?).await?;
        connection.subscribe(DELIVERY);
        Ok(JetStreamReader { connection })
    }
}

pub(super) struct JetStreamWriter {
    connection: Connection,
    head: String,
    next: u64,
}

impl Writer for JetStreamWriter {
    async fn send(&mut self, value: &Bytes) -> Result<()> {
        let output = self.connection.output();
        output.put_slice(self.head.as_bytes());
        put_number(output, self.next);
        output.put_u8(b' ');
        put_number(output, value.len() as u64);
        output.put_slice(b"\r\n");
        output.put_slice(value);
        output.put_slice(b"\r\n");
        self.next += 1;
        self.connection.relieve().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.connection.push()
    }

    async fn acknowledged(&mut self, numbers: &mut Vec<u64>) -> Result<()> {
        while numbers.is_empty() {
            self.connection
                .receive(|message| {
                    numbers.push(acknowledged_number(&message)?);
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }
}

fn acknowledged_number(message: &Message<'_>) -> Result<u64> {
    let says_error = message.payload.windows(7).any(|part| part == b"\"error\"");
    if says_error || !message.headers.is_empty() {
        bail!("refused: {}", String::from_utf8_lossy(message.payload));
    }
    let last = message.subject.rsplit(|byte| *byte == b'.').next();
    let number = std::str::from_utf8(last.unwrap_or_default())?;
    Ok(number.parse()?)
}

fn put_number(output: &mut impl BufMut, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    output.put_slice(&digits[start..]);
}

pub(super) struct JetStreamReader {
    connection: Connection,
}

impl Reader for JetStreamReader {
    async fn read(&mut self) -> Result<Volume> {
        let mut volume = Volume::default();
        let mut asked = Vec::new();
        while volume.records == 0 {
            self.connection
                .receive(|message| {
                    match message.headers {
                        b"" => {
                            volume.records += 1;
                            volume.bytes += message.payload.len() as u64;
                        }
                        headers => asked.extend(flow_control_subject(headers, message.reply)?),
                    }
                    Ok(())
                })
                .await?;
            for subject in asked.drain(..) {
                let answer = format!("PUB {subject} 0\r\n\r\n");
                self.connection.output().put_slice(answer.as_bytes());
            }
            self.connection.push()?;
        }
        Ok(volume)
    }
}

/// Where the server wants to hear how far the reader is.
fn flow_control_subject(headers: &[u8], reply: Option<&[u8]>) -> Result<Option<String>> {
    let headers = std::str::from_utf8(headers)?;
    let stalled = headers
        .lines()
        .find_map(|line| line.strip_prefix("Nats-Consumer-Stalled:"));
    Ok(match (stalled, reply) {
        (Some(subject), _) => Some(subject.trim().to_owned()),
        (None, Some(reply)) => Some(std::str::from_utf8(reply)?.to_owned()),
        (None, None) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        let mut output = Vec::new();
        for number in [0, 7, 10, 1_024, u64::MAX] {
            put_number(&mut output, number);
            output.push(b' ');
        }
        assert_eq!(output, b"0 7 10 1024 18446744073709551615 ");
    }

    #[test]
    fn refusals_are_no_acknowledgements() {
        let message = |payload| Message {
            subject: b"_INBOX.w.17",
            reply: None,
            headers: b"",
            payload,
        };
        let good = acknowledged_number(&message(b"{\"stream\":\"a\",\"seq\":3}"));
        assert_eq!(good.unwrap(), 17);
        assert!(acknowledged_number(&message(b"{\"error\":{\"code\":503}}")).is_err());
    }

    #[test]
    fn a_stalled_consumer_is_told_where_it_asks() {
        let heartbeat = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: $JS.FC.a.b\r\n\r\n";
        let told = flow_control_subject(heartbeat, None).unwrap();
        assert_eq!(told.as_deref(), Some("$JS.FC.a.b"));
        let request = b"NATS/1.0 100 FlowControl Request\r\n\r\n";
        let told = flow_control_subject(request, Some(b"$JS.FC.x")).unwrap();
        assert_eq!(told.as_deref(), Some("$JS.FC.x"));
        let heartbeat = b"NATS/1.0 100 Idle Heartbeat\r\n\r\n";
        assert_eq!(flow_control_subject(heartbeat, None).unwrap(), None);
    }
}
