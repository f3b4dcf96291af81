//! Connections: accepted within limits, encrypted where that is configured, and who is at the other end.
//!
//! ```text
//!   files ──► Keyring ──► Security ──► Listener ──► Connection ──► RemoteCertificate
//!               │            of a port     so many at a time      who is there, if it shows it
//!               └──► dial: connections to other nodes, with the same certificate
//!
//!   ClientTls: what somebody needs who only connects
//! ```
//!
//! All cryptography is that of rustls with aws-lc-rs. A certificate is proven by TLS before anybody reads
//! the names in it; what the names allow is decided elsewhere.

mod authority;
mod certificate;
mod client;
mod dial;
mod error;
mod keyring;
mod listener;
mod pem;
mod stream;

pub use authority::{DevAuthority, DevAuthorityError, IssuedFor};
pub use certificate::{CertificateNames, NodeDomain, RemoteCertificate};
pub use client::{ClientTls, ClientTlsFiles};
pub use dial::{Source, connect_tcp};
pub use error::TlsError;
pub use keyring::{ClientCertificates, KeyFiles, Keyring, KeyringFiles, PortKind, Security};
pub use listener::{Connection, Listener, PortLimits, Refusals};
