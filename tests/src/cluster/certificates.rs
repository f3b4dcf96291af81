//! The certificates of a cluster, made by the command for that.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use flotilla_client::{ClientTls, ClientTlsFiles, KeyFiles, NodeId};

use super::command::flotilla;

/// An authority, and what it has signed, in a directory.
#[derive(Clone, Debug)]
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes certificates for nodes 1 to `nodes` and for these clients.
    pub async fn make(parent: &Path, nodes: u64, clients: &[&str]) -> Self {
        let certificates = Self {
            directory: parent.join("certs"),
        };
        let nodes = nodes.to_string();
        let clients = clients.iter().flat_map(|client| ["--client", client]);
        let mut arguments = vec!["--nodes", nodes.as_str()];
        arguments.extend(clients);
        certificates.run(&arguments).await;
        certificates
    }

    /// Runs `flotilla cert dev` with these arguments in the directory.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn run(&self, arguments: &[&str]) {
        let directory = self.directory.display().to_string();
        let mut line = vec!["cert", "dev", "--dir", &directory];
        line.extend(arguments);
        let made = flotilla(&line, "").await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    }

    /// What a client connects with, showing the certificate of this name or none.
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    pub fn client(&self, name: Option<&str>) -> ClientTls {
        let files = ClientTlsFiles {
            authorities: Some(self.authority()),
            own: name.map(|name| KeyFiles {
                certificate: self.file(&format!("client-{name}.pem")),
                key: self.file(&format!("client-{name}-key.pem")),
            }),
        };
        ClientTls::load(&files).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The certificate of a node.
    pub fn node(&self, node: NodeId) -> KeyFiles {
        KeyFiles {
            certificate: self.file(&format!("node-{node}.pem")),
            key: self.file(&format!("node-{node}-key.pem")),
        }
    }

    /// What has to be believed.
    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn settings_of(&self, node: NodeId) -> String {
        let mut written = String::new();
        let KeyFiles { certificate, key } = self.node(node);
        for (key, file) in [
            ("certificate_file", certificate),
            ("key_file", key),
            ("ca_file", self.authority()),
        ] {
            let file = file.display().to_string();
            writeln!(written, "tls.{key} = {file:?}").expect("text takes more text");
        }
        written
    }
}
