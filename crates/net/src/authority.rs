//! An authority for trying things out: it signs certificates for nodes and clients, and its key lies beside them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flotilla_types::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use crate::certificate::NodeDomain;
use crate::keyring::KeyFiles;

const NAME: &str = "Flotilla development authority";
/// Clocks of machines differ; a certificate counts a little before it was made.
const EARLY: Duration = Duration::from_secs(3_600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum DevAuthorityError {
    #[error("cannot write {}", .file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("cannot read {}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} is not the key of an authority that this command made", .file.display())]
    Key { file: PathBuf, source: rcgen::Error },
    #[error("no certificate can be made for that")]
    Unfit(#[from] rcgen::Error),
}

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedFor {
    /// A node, which may be reached by these names and addresses.
    Node {
        node: NodeId,
        domain: NodeDomain,
        hosts: Vec<String>,
    },
    /// A client of this name.
    Client(String),
}

/// An authority in a directory.
pub struct DevAuthority {
    directory: PathBuf,
    own: CertificateParams,
    issuer: Issuer<'static, KeyPair>,
    from: SystemTime,
    until: SystemTime,
}

impl DevAuthority {
    /// The one that lies in this directory, or else a new one. Certificates count from `now` for `lifetime`.
    pub fn open(
        directory: &Path,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Self, DevAuthorityError> {
        let key_file = directory.join("ca-key.pem");
        let (from, until) = (now - EARLY, now + lifetime);
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name(NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (from.into(), until.into());
        let file = directory.join("ca.pem");
        let key = match std::fs::read_to_string(&key_file) {
            Ok(text) => KeyPair::from_pem(&text).map_err(|source| DevAuthorityError::Key {
                file: key_file,
                source,
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                std::fs::create_dir_all(directory).map_err(|source| DevAuthorityError::Write {
                    file: directory.to_owned(),
                    source,
                })?;
                write(&key_file, &key.serialize_pem(), Secrecy::Secret)?;
                key
            }
            Err(source) => {
                return Err(DevAuthorityError::Read {
                    file: key_file,
                    source,
                });
            }
        };
        if !file.exists() {
            write(&file, &params.self_signed(&key)?.pem(), Secrecy::Public)?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            own: params.clone(),
            issuer: Issuer::new(params, key),
            from,
            until,
        })
    }

    /// Makes its own certificate anew, for the same key: what it has signed goes on to count.
    pub fn renew(&self) -> Result<(), DevAuthorityError> {
        let certificate = self.own.self_signed(self.issuer.key())?;
        write(&self.file(), &certificate.pem(), Secrecy::Public)
    }

    /// What has to be believed for its certificates to count.
    pub fn file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Where the certificate is, or would be.
    pub fn files(&self, whom: &IssuedFor) -> KeyFiles {
        let name = match whom {
            IssuedFor::Node { node, .. } => format!("node-{node}"),
            IssuedFor::Client(client) => format!("client-{client}"),
        };
        KeyFiles {
            certificate: self.directory.join(format!("{name}.pem")),
            key: self.directory.join(format!("{name}-key.pem")),
        }
    }

    /// Writes a certificate with a new key. One that was there is replaced.
    pub fn issue(&self, whom: &IssuedFor) -> Result<KeyFiles, DevAuthorityError> {
        let (common_name, names) = match whom {
            IssuedFor::Node {
                node,
                domain,
                hosts,
            } => {
                let own = domain.name_of(*node);
                let mut names = vec![own.clone(), domain.any_node().to_owned()];
                names.extend(hosts.iter().cloned());
                (own, names)
            }
            IssuedFor::Client(client) => (client.clone(), Vec::new()),
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name(&common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match whom {
            IssuedFor::Node { .. } => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            IssuedFor::Client(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        (params.not_before, params.not_after) = (self.from.into(), self.until.into());
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let files = self.files(whom);
        write(&files.key, &key.serialize_pem(), Secrecy::Secret)?;
        write(&files.certificate, &certificate, Secrecy::Public)?;
        Ok(files)
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Who may read a file.
#[derive(Clone, Copy)]
enum Secrecy {
    Public,
    Secret,
}

/// Writes the file in one step, so that nobody reads half of it.
fn write(file: &Path, text: &str, secrecy: Secrecy) -> Result<(), DevAuthorityError> {
    let mode = match secrecy {
        Secrecy::Public => 0o644,
        Secrecy::Secret => 0o600,
    };
    let partial = file.with_extension("pem.new");
    let write = || {
        // One that was left half done may be readable for others.
        let _ = std::fs::remove_file(&partial);
        let options = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&partial);
        options?.write_all(text.as_bytes())?;
        std::fs::rename(&partial, file)
    };
    write().map_err(|source| DevAuthorityError::Write {
        file: file.to_owned(),
        source,
    })
}
