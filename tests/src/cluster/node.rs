//! One node: its directory, its ports and, while it runs, its process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use flotilla_client::NodeId;
use rustix::process::{Pid, Signal, kill_process};

use super::binary::flotilla_binary;
use super::certificates::Certificates;
use super::ports::next_port;
use crate::condition::until;
use crate::http::{HttpRequest, ask_with};

/// A node that was asked to stop and still runs by then hangs.
const STOP_LIMIT: Duration = Duration::from_secs(20);

pub struct Node {
    id: NodeId,
    directory: PathBuf,
    ports: Ports,
    environment: Vec<(&'static str, String)>,
    certificates: Option<Certificates>,
    process: Option<Child>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    client: u16,
    peer: u16,
    http: u16,
    text: u16,
}

impl Node {
    pub(super) fn new(id: NodeId, parent: &Path) -> Self {
        let directory = parent.join(format!("node-{id}"));
        fs::create_dir(&directory).expect("a directory for the node");
        let ports = Ports {
            client: next_port(),
            peer: next_port(),
            http: next_port(),
            text: next_port(),
        };
        Self {
            id,
            directory,
            ports,
            environment: Vec::new(),
            certificates: None,
            process: None,
        }
    }

    pub(super) fn in_environment(mut self, environment: &[(&'static str, &str)]) -> Self {
        let variables = environment.iter();
        self.environment = variables
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self
    }

    pub(super) fn encrypted(self, certificates: Option<Certificates>) -> Self {
        Self {
            certificates,
            ..self
        }
    }

    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    pub fn id(&self) -> NodeId {
        self.id
    }

    pub fn peer_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.peer)
    }

    pub fn client_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.client)
    }

    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.http)
    }

    pub fn text_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.text)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Everything that the node has said so far, in all its lives.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn log_tail(&self, line_count: usize) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(line_count)..].join("\n")
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// `None` if the node does not run.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// # Panics
    ///
    /// If the node runs already.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "node {} runs already", self.id);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file());
        let log = log.expect("a file for the log");
        let mut command = Command::new(flotilla_binary());
        command
            .arg("server")
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
            .stdout(log.try_clone().expect("a second handle on the log"))
            .stderr(log);
        // The node reads its settings from such variables, and these are about the tests.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FLOTILLA_") {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        self.process = Some(command.spawn().expect("the binary starts"));
    }

    /// Sends SIGKILL without waiting for the end. Does nothing if the node does not run.
    pub(super) fn begin_kill(&mut self) {
        if let Some(process) = &mut self.process {
            // The process may have ended by itself.
            let _ = process.kill();
        }
    }

    /// Ends the process at once, as a power cut would. Does nothing if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // The process may have ended by itself; then there is nobody to kill, only to bury.
            let _ = process.kill();
            process.wait().expect("a killed process ends");
        }
    }

    /// Asks the node to stop, and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        let process = self.process.as_ref().expect("the node runs");
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has an id"), Signal::TERM).expect("the node runs");
        self.wait_for_end(STOP_LIMIT).await
    }

    /// Waits until the process ends, whatever the reason.
    pub async fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let mut process = self.process.take().expect("the node runs");
        let what = format!("node {} ends", self.id);
        until(&what, limit, async || {
            process.try_wait().expect("the process is ours")
        })
        .await
    }

    pub async fn wait_ready(&self, limit: Duration) {
        let address = self.http_address();
        let tls = self.certificates.as_ref();
        let tls = tls.map(|certificates| certificates.client(None));
        let request = HttpRequest::get("/readyz");
        until(&format!("node {} is ready", self.id), limit, async || {
            let answer = ask_with(&address, tls.as_ref(), &request).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// The node's line in everybody's `cluster.nodes`.
    pub(super) fn as_written(&self) -> String {
        let Self { id, ports, .. } = self;
        format!(
            "{{ id = {id}, peer = \"127.0.0.1:{}\", client = \"127.0.0.1:{}\" }}",
            ports.peer, ports.client
        )
    }

    /// For a node that the cluster is born with, like all of `nodes`.
    pub(super) fn configure(&self, nodes: &[String], settings: &[(&str, String)]) {
        self.write_settings(&format!("cluster.nodes = [{}]", nodes.join(", ")), settings);
    }

    /// For a node that joins a running cluster.
    pub(super) fn configure_joining(&self, peers: &[String], settings: &[(&str, String)]) {
        self.write_settings(&format!("cluster.join = \"{}\"", peers.join(",")), settings);
    }

    fn write_settings(&self, cluster: &str, settings: &[(&str, String)]) {
        let Ports {
            client,
            peer,
            http,
            text,
        } = self.ports;
        let mut written = format!(
            "node.id = {}\nnode.data_dir = \"data\"\n{cluster}\nlisten.client = {client}\n\
             listen.peer = {peer}\nlisten.http = {http}\nlisten.text = {text}\n",
            self.id
        );
        if let Some(certificates) = &self.certificates {
            written.push_str(&certificates.settings_of(self.id));
        }
        for (key, value) in settings {
            writeln!(written, "{key} = {value}").expect("text takes more text");
        }
        fs::write(self.directory.join("flotilla.toml"), written).expect("a configuration");
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }
}
