//! Why certificates and keys cannot be used.

use std::io;
use std::path::PathBuf;

/// What is wrong with a file, or with what it holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", .file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)", .file.display())]
    NoKey { file: PathBuf },
    #[error("{}: {reason}", .file.display())]
    Certificate { file: PathBuf, reason: String },
    #[error("{} and {} do not go together", .certificate.display(), .key.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
    #[error("{} is no authority whose certificates could be checked: {reason}", .file.display())]
    Authority { file: PathBuf, reason: String },
    #[error("this machine has no certificates of authorities: name a file with those to believe")]
    NoSystemAuthorities,
    #[error("{} is not for this node alone: the other nodes look for {expected} among its DNS names", .file.display())]
    NotANode { file: PathBuf, expected: String },
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}
