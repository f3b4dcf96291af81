//! Which nodes there are, on which ports, with which settings.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flotilla_broker::{Clock, SystemClock};
use flotilla_net::{DevAuthority, IssuedFor, KeyFiles, NodeDomain};
use flotilla_storage::lock_directory;
use flotilla_types::NodeId;
use toml::{Table, Value};

use super::cluster::DevError;
use crate::args::DevArgs;
use crate::config::settings::AUTH_ENABLED;

const HOST: &str = "127.0.0.1";
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
/// Ports from one node to the next.
const PORT_STEP: u16 = 10;

/// The cluster that is to run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<NodePlan>,
    directory: PathBuf,
    settings: Vec<(String, String)>,
    /// What has to be believed to connect, if connections are encrypted.
    authority: Option<PathBuf>,
    /// Held, so that no other cluster of this kind uses the directory.
    _lock: Arc<File>,
}

/// One of its nodes.
#[derive(Clone, Debug)]
pub(super) struct NodePlan {
    /// From 1.
    pub(super) id: u16,
    /// The first of its four ports.
    port: u16,
    directory: PathBuf,
    certificate: Option<KeyFiles>,
}

impl Plan {
    pub(super) fn make(args: &DevArgs) -> Result<Self, DevError> {
        let directory = make_directory(&args.data_dir).map_err(|source| DevError::File {
            file: args.data_dir.clone(),
            source,
        })?;
        let settings = args.set.iter().map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.contains('.')
                .then(|| (key.to_owned(), value.to_owned()))
        });
        let settings = settings.collect::<Option<_>>().ok_or(DevError::SetSyntax)?;
        let node = |id: u16| NodePlan {
            id,
            port: args.base_port + PORT_STEP * (id - 1),
            directory: directory.clone(),
            certificate: None,
        };
        let mut plan = Self {
            nodes: (1..=args.nodes).map(node).collect(),
            settings,
            authority: None,
            _lock: Arc::new(lock(&directory)?),
            directory,
        };
        plan.refuse_other_size()?;
        if args.tls {
            plan.certify()?;
        }
        Ok(plan)
    }

    /// Gives each node a certificate, anew with each start.
    fn certify(&mut self) -> Result<(), DevError> {
        let now = u64::try_from(SystemClock.now().as_millis()).unwrap_or_default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
        let authority =
            DevAuthority::open(&self.directory.join("certs"), now, CERTIFICATE_LIFETIME)?;
        authority.renew()?;
        for node in &mut self.nodes {
            let domain = NodeDomain::new(NodeDomain::DEFAULT);
            let certificate = authority.issue(&IssuedFor::Node {
                node: NodeId::new(node.id.into()),
                domain: domain.expect("invariant: the default is a domain"),
                hosts: vec!["localhost".to_owned(), HOST.to_owned()],
            });
            node.certificate = Some(certificate?);
        }
        self.authority = Some(authority.file());
        Ok(())
    }

    /// What has to be believed to connect, if connections are encrypted.
    pub(super) fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// Whether callers have to prove who they are.
    pub(super) fn asks_who_calls(&self) -> bool {
        let is_on = |value: &str| matches!(value, "on" | "true");
        let mut settings = self.settings.iter();
        settings.any(|(key, value)| key == AUTH_ENABLED.key && is_on(value))
    }

    /// Where clients can connect: `host:port,..`.
    pub(super) fn bootstrap(&self) -> String {
        join(self.nodes.iter().map(|node| address(node.client_port())))
    }

    /// Where HTTP is served, in the same order.
    pub(super) fn http(&self) -> String {
        let scheme = match self.authority {
            Some(_) => "https",
            None => "http",
        };
        join(
            self.nodes
                .iter()
                .map(|node| format!("{scheme}://{}", address(node.http_port()))),
        )
    }

    /// Writes the settings of every node.
    pub(super) fn write(&self) -> Result<(), DevError> {
        for node in &self.nodes {
            let file = node.settings_file();
            fs::write(&file, self.settings_of(node).to_string())
                .map_err(|source| DevError::File { file, source })?;
        }
        Ok(())
    }

    fn settings_of(&self, node: &NodePlan) -> Table {
        let nodes = self.nodes.iter().map(|node| {
            let mut entry = Table::new();
            entry.insert("id".to_owned(), integer(node.id));
            entry.insert("peer".to_owned(), address(node.peer_port()).into());
            entry.insert("client".to_owned(), address(node.client_port()).into());
            Value::Table(entry)
        });
        let data = node.data_directory().display().to_string();
        let mut settings = Table::new();
        let mut set = |section: &str, name: &str, value: Value| {
            let section = settings
                .entry(section)
                .or_insert_with(|| Table::new().into());
            if let Value::Table(section) = section {
                section.insert(name.to_owned(), value);
            }
        };
        set("node", "id", integer(node.id));
        set("node", "data_dir", data.into());
        set("cluster", "name", "dev".into());
        set("cluster", "nodes", Value::Array(nodes.collect()));
        set("listen", "client", integer(node.client_port()));
        set("listen", "peer", integer(node.peer_port()));
        set("listen", "http", integer(node.http_port()));
        set("listen", "text", integer(node.text_port()));
        if let (Some(files), Some(authority)) = (&node.certificate, &self.authority) {
            let path = |path: &Path| Value::from(path.display().to_string());
            set("tls", "certificate_file", path(&files.certificate));
            set("tls", "key_file", path(&files.key));
            set("tls", "ca_file", path(authority));
        }
        for (key, value) in &self.settings {
            if let Some((section, name)) = key.split_once('.') {
                set(section, name, value.clone().into());
            }
        }
        settings
    }

    /// A cluster keeps the nodes that it was born with, so a directory keeps its number of nodes.
    fn refuse_other_size(&self) -> Result<(), DevError> {
        let there =
            (1..=u16::MAX).take_while(|id| self.directory.join(format!("node-{id}")).is_dir());
        let found = there.count();
        if found == 0 || found == self.nodes.len() {
            return Ok(());
        }
        Err(DevError::OtherSize {
            directory: self.directory.clone(),
            found,
        })
    }
}

impl NodePlan {
    pub(super) fn name(&self) -> String {
        format!("node-{}", self.id)
    }

    pub(super) fn settings_file(&self) -> PathBuf {
        self.file("toml")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.file("log")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.file("pid")
    }

    fn data_directory(&self) -> PathBuf {
        self.directory.join(self.name())
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name()))
    }

    fn client_port(&self) -> u16 {
        self.port
    }

    fn peer_port(&self) -> u16 {
        self.port + 1
    }

    fn http_port(&self) -> u16 {
        self.port + 2
    }

    fn text_port(&self) -> u16 {
        self.port + 3
    }
}

fn lock(directory: &Path) -> Result<File, DevError> {
    let directory = directory.to_path_buf();
    match lock_directory(&directory) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(DevError::InUse { directory }),
        Err(source) => Err(DevError::File {
            file: directory,
            source,
        }),
    }
}

/// Makes it if need be, and says where it really is, for settings that work from everywhere.
fn make_directory(directory: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    directory.canonicalize()
}

fn address(port: u16) -> String {
    format!("{HOST}:{port}")
}

fn integer(number: u16) -> Value {
    Value::Integer(number.into())
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};
    use crate::config::{self, Sources};

    fn plan(directory: &Path, more: &[&str]) -> Result<Plan, DevError> {
        let directory = directory.to_str().unwrap();
        let fixed = ["flotilla", "dev", "--data-dir", directory];
        let arguments = fixed.iter().chain(more);
        let Command::Dev(args) = Arguments::parse_from(arguments).command else {
            panic!("dev was asked for");
        };
        Plan::make(&args)
    }

    #[test]
    fn every_node_gets_settings_that_a_server_takes() {
        let directory = tempfile::tempdir().unwrap();
        let more = ["--base-port", "17400", "--set", "raft.heartbeat_ms=50"];
        let plan = plan(directory.path(), &more).unwrap();
        assert_eq!(
            plan.bootstrap(),
            "127.0.0.1:17400,127.0.0.1:17410,127.0.0.1:17420"
        );
        assert!(
            plan.http()
                .starts_with("http://127.0.0.1:17402,http://127.0.0.1:17412,")
        );
        plan.write().unwrap();
        for node in &plan.nodes {
            let sources = Sources {
                file: Some(node.settings_file()),
                ..Sources::default()
            };
            let config = config::load(&sources).unwrap().config;
            assert_eq!(config.node.get(), u64::from(node.id));
            assert_eq!(config.cluster.nodes.len(), 3);
            assert_eq!(config.listen.peer.port, 17_401 + 10 * (node.id - 1));
            assert_eq!(config.addresses.client, format!("127.0.0.1:{}", node.port));
            assert!(config.storage.data_dir.is_absolute());
            assert_eq!(config.raft.heartbeat_ms, 50);
        }
    }

    #[test]
    fn a_directory_of_three_nodes_does_not_become_one_of_five() {
        let directory = tempfile::tempdir().unwrap();
        for node in 1..=3 {
            fs::create_dir(directory.path().join(format!("node-{node}"))).unwrap();
        }
        assert!(plan(directory.path(), &["--nodes", "3"]).is_ok());
        let refused = plan(directory.path(), &["--nodes", "5"])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("a cluster of 3 nodes"), "{refused}");
    }
}
