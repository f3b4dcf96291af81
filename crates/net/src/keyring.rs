//! The certificates and keys of a node, read from files, and read again when these change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flotilla_types::{ErrorChain, NodeId, Timestamp};
use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};
use parking_lot::RwLock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::certificate::{CertificateNames, NodeDomain};
use crate::error::TlsError;
use crate::pem;

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";
const EXPIRY: &str = "flotilla_tls_certificate_expires_timestamp_seconds";
const FAILED: &str = "flotilla_tls_handshakes_failed_total";

/// A certificate, with those of the authorities in between behind it, and its private key. Both are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where the certificates of a node are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringFiles {
    /// This node's. It is shown to the other nodes, and to clients unless there is a public one.
    pub node: KeyFiles,
    /// What clients are shown who trust other authorities than the nodes do.
    pub public: Option<KeyFiles>,
    /// Authorities whose certificates count, those of nodes and those of clients.
    pub authorities: PathBuf,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for one.
    Off,
    /// They may. One that does not count is refused.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// What a port speaks once the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// gRPC, for clients.
    Client,
    /// For the other nodes.
    Peer,
    Http,
    Text,
}

/// The certificates of this node, always as they were last read.
pub struct Keyring {
    node: NodeId,
    files: KeyringFiles,
    clients: ClientCertificates,
    domain: NodeDomain,
    current: RwLock<Loaded>,
}

/// How the connections of a port are secured. Not at all by default.
#[derive(Clone, Default)]
pub struct Security(Option<(Arc<Keyring>, PortKind)>);

#[derive(Clone)]
struct Loaded {
    client: Arc<ServerConfig>,
    peer: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    text: Arc<ServerConfig>,
    /// Towards other nodes.
    dial: Arc<ClientConfig>,
    dial_http_2: Arc<ClientConfig>,
    expiry: Timestamp,
    public_expiry: Option<Timestamp>,
    /// When the files were last written.
    written: Vec<SystemTime>,
}

impl PortKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Peer => "peer",
            Self::Http => "http",
            Self::Text => "text",
        }
    }
}

impl Security {
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn failed_handshakes(&self) -> Counter {
        match &self.0 {
            None => Counter::noop(),
            Some((_, port)) => counter!(FAILED, "port" => port.as_str()),
        }
    }

    pub fn of(keyring: &Arc<Keyring>, port: PortKind) -> Self {
        Self(Some((Arc::clone(keyring), port)))
    }

    pub(crate) fn config(&self) -> Option<Arc<ServerConfig>> {
        let (keyring, port) = self.0.as_ref()?;
        let current = keyring.current.read();
        Some(match port {
            PortKind::Client => current.client.clone(),
            PortKind::Peer => current.peer.clone(),
            PortKind::Http => current.http.clone(),
            PortKind::Text => current.text.clone(),
        })
    }
}

impl Keyring {
    /// Reads the files and checks that they go together, and that the certificate is this node's.
    pub fn load(
        node: NodeId,
        files: KeyringFiles,
        clients: ClientCertificates,
        domain: NodeDomain,
    ) -> Result<Self, TlsError> {
        describe_gauge!(
            EXPIRY,
            "When a certificate of this node ends, in seconds since 1970"
        );
        describe_counter!(FAILED, "Connections that ended in the TLS handshake");
        let loaded = Loaded::read(node, &files, clients, &domain)?;
        loaded.tell_expiry();
        Ok(Self {
            node,
            files,
            clients,
            domain,
            current: RwLock::new(loaded),
        })
    }

    pub fn domain(&self) -> &NodeDomain {
        &self.domain
    }

    /// Reads files that change, until it is stopped. Connections that are open keep what they began with.
    pub async fn keep_fresh(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        // They are not complete while they are being written.
        let mut unusable = None;
        let mut has_complained = false;
        while stop
            .run_until_cancelled(tokio::time::sleep(interval))
            .await
            .is_some()
        {
            let keyring = self.clone();
            let reading = tokio::task::spawn_blocking(move || keyring.read_changed());
            let Ok(Some((written, read))) = reading.await else {
                continue;
            };
            match read {
                Ok(loaded) => {
                    loaded.tell_expiry();
                    *self.current.write() = loaded;
                    has_complained = false;
                    tracing::info!(
                        "the certificates have changed: new connections use the new ones"
                    );
                }
                Err(error) if unusable.as_ref() == Some(&written) && !has_complained => {
                    let error = ErrorChain(&error).to_string();
                    tracing::error!(
                        error,
                        "the certificates have changed and cannot be used: the old ones stay"
                    );
                    has_complained = true;
                }
                Err(_) => {
                    has_complained &= unusable.as_ref() == Some(&written);
                    unusable = Some(written);
                }
            }
        }
    }

    /// What the files hold, and since when, if that is not what is used.
    fn read_changed(&self) -> Option<(Vec<SystemTime>, Result<Loaded, TlsError>)> {
        let written = self.files.written();
        if written == self.current.read().written {
            return None;
        }
        let loaded = Loaded::read(self.node, &self.files, self.clients, &self.domain);
        Some((written, loaded))
    }

    /// Proves over this connection who the nodes are, to each other. `node` is the one to expect; it is
    /// any node of the cluster otherwise.
    pub async fn dial(
        &self,
        node: Option<NodeId>,
        is_http_2: bool,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = {
            let current = self.current.read();
            match is_http_2 {
                true => current.dial_http_2.clone(),
                false => current.dial.clone(),
            }
        };
        let name = match node {
            Some(node) => self.domain.name_of(node),
            None => self.domain.any_node().to_owned(),
        };
        let connector = TlsConnector::from(config);
        let stream = connector.connect(server_name(&name)?, stream).await?;
        // The name may have been matched by a wildcard.
        let shown = stream.get_ref().1.peer_certificates();
        let names = shown.and_then(|chain| CertificateNames::read(chain.first()?));
        let found = names.and_then(|names| self.domain.node_in(&names));
        match found.is_some() && (node.is_none() || found == node) {
            true => Ok(stream),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the other end shows no certificate for {name} alone"),
            )),
        }
    }
}

/// The name that the certificate of the other end must have.
pub(crate) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?}: {error}")))
}

impl KeyringFiles {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let pairs = [Some(&self.node), self.public.as_ref()];
        let pairs = pairs.into_iter().flatten();
        let files = pairs.flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]);
        files.chain([self.authorities.as_path()])
    }

    /// A file that is not there was never written.
    fn written(&self) -> Vec<SystemTime> {
        let written = |file| std::fs::metadata(file).and_then(|metadata| metadata.modified());
        self.all()
            .map(|file| written(file).unwrap_or(SystemTime::UNIX_EPOCH))
            .collect()
    }
}

/// A certificate with its key, read.
struct Pair<'a> {
    files: &'a KeyFiles,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: CertificateNames,
}

impl<'a> Pair<'a> {
    fn read(files: &'a KeyFiles) -> Result<Self, TlsError> {
        let chain = pem::certificates(&files.certificate)?;
        let names = CertificateNames::read(&chain[0]).ok_or_else(|| TlsError::Certificate {
            file: files.certificate.clone(),
            reason: "the certificate cannot be read".to_owned(),
        })?;
        Ok(Self {
            files,
            chain,
            key: pem::key(&files.key)?,
            names,
        })
    }

    fn mismatch(&self, source: rustls::Error) -> TlsError {
        TlsError::Pair {
            certificate: self.files.certificate.clone(),
            key: self.files.key.clone(),
            source,
        }
    }

    /// Refuses what other nodes would not believe: they see a client in whoever dials, and a server in whoever
    /// is dialled.
    fn check_as_node(
        &self,
        clients: &Arc<dyn ClientCertVerifier>,
        roots: &Arc<RootCertStore>,
        names: &[String],
    ) -> Result<(), TlsError> {
        let unfit = |reason: String| TlsError::Certificate {
            file: self.files.certificate.clone(),
            reason: format!("the other nodes would not believe it: {reason}"),
        };
        let (now, own, chain) = (UnixTime::now(), &self.chain[0], &self.chain[1..]);
        let as_client = clients.verify_client_cert(own, chain, now);
        as_client.map_err(|error| unfit(error.to_string()))?;
        let servers =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), pem::provider());
        let servers = servers.build().map_err(|error| unfit(error.to_string()))?;
        for name in names {
            let server = server_name(name).map_err(|error| unfit(error.to_string()))?;
            let as_server = servers.verify_server_cert(own, chain, &server, &[], now);
            as_server.map_err(|error| unfit(error.to_string()))?;
        }
        Ok(())
    }

    /// What a port shows, and whom it asks for theirs.
    fn server(&self, verifier: &Arc<dyn ClientCertVerifier>) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::clone(verifier))
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|source| self.mismatch(source))?;
        if verifier.offer_client_auth() {
            // A session that is resumed brings its certificate along without another look at it.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    fn dial(&self, roots: &Arc<RootCertStore>) -> Result<ClientConfig, TlsError> {
        ClientConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|source| self.mismatch(source))
    }
}

impl Loaded {
    fn tell_expiry(&self) {
        let seconds = |at: Timestamp| at.as_millis() as f64 / 1_000.0;
        gauge!(EXPIRY, "certificate" => "node").set(seconds(self.expiry));
        if let Some(public) = self.public_expiry {
            gauge!(EXPIRY, "certificate" => "public").set(seconds(public));
        }
    }

    fn read(
        node: NodeId,
        files: &KeyringFiles,
        clients: ClientCertificates,
        domain: &NodeDomain,
    ) -> Result<Self, TlsError> {
        // Before the files, so that a change in between is noticed.
        let written = files.written();
        let roots = pem::authorities(&files.authorities)?;
        let own = Pair::read(&files.node)?;
        if domain.node_in(&own.names) != Some(node) {
            return Err(TlsError::NotANode {
                file: files.node.certificate.clone(),
                expected: domain.name_of(node),
            });
        }
        let public = files.public.as_ref().map(Pair::read).transpose()?;
        let nodes = verifier(&files.authorities, &roots, ClientCertificates::Required)?;
        own.check_as_node(
            &nodes,
            &roots,
            &[domain.name_of(node), domain.any_node().to_owned()],
        )?;
        let clients = verifier(&files.authorities, &roots, clients)?;
        let shown = public.as_ref().unwrap_or(&own);
        let text = shown.server(&clients)?;
        let with = |config: &ServerConfig, protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_owned()];
            Arc::new(config)
        };
        let dial = own.dial(&roots)?;
        let mut dial_http_2 = dial.clone();
        dial_http_2.alpn_protocols = vec![HTTP_2.to_owned()];
        Ok(Self {
            client: with(&text, HTTP_2),
            peer: with(&own.server(&nodes)?, HTTP_2),
            http: with(&text, HTTP_1),
            text: Arc::new(text),
            dial: Arc::new(dial),
            dial_http_2: Arc::new(dial_http_2),
            expiry: own.names.expires_at(),
            public_expiry: public.map(|public| public.names.expires_at()),
            written,
        })
    }
}

fn verifier(
    file: &Path,
    roots: &Arc<RootCertStore>,
    clients: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), pem::provider());
    let built = match clients {
        ClientCertificates::Off => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientCertificates::Optional => builder.allow_unauthenticated().build(),
        ClientCertificates::Required => builder.build(),
    };
    built.map_err(|error| TlsError::Authority {
        file: file.to_owned(),
        reason: error.to_string(),
    })
}
