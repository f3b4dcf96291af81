//! What somebody needs who only connects.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::TlsError;
use crate::keyring::{KeyFiles, server_name};
use crate::pem;

/// Where a client's certificates are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// Authorities to believe, in PEM form. By default those that this machine believes.
    pub authorities: Option<PathBuf>,
    /// What is shown to the nodes. By default nothing.
    pub own: Option<KeyFiles>,
}

/// Encrypted connections to nodes that prove who they are. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Reads the files, once.
    pub fn load(files: &ClientTlsFiles) -> Result<Self, TlsError> {
        let roots = match &files.authorities {
            Some(file) => pem::authorities(file)?,
            None => pem::system_authorities()?,
        };
        let builder = ClientConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &files.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = (pem::certificates(&own.certificate)?, pem::key(&own.key)?);
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|source| TlsError::Pair {
                    certificate: own.certificate.clone(),
                    key: own.key.clone(),
                    source,
                })?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The same for whatever is not gRPC.
    #[must_use]
    pub fn without_http_2(&self) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = Vec::new();
        Self(Arc::new(config))
    }

    /// The certificate of the other end must have the name `host`, which may be an address.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(server_name(host)?, stream).await
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}
