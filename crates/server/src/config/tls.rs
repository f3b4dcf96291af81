//! Who proves what on encrypted connections: the settings of `tls`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flotilla_net::{ClientCertificates, KeyFiles, Keyring, KeyringFiles, NodeDomain, TlsError};
use flotilla_types::NodeId;

use super::checked::Checked;
use super::error::ConfigError;
use super::settings;

/// The settings of `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// Without any, nothing is encrypted.
    files: Option<KeyringFiles>,
    clients: ClientCertificates,
    domain: NodeDomain,
    pub(crate) reload_interval: Duration,
}

impl TlsConfig {
    pub(crate) fn resolve(checked: &Checked) -> Result<Self, ConfigError> {
        let domain = checked.get(&settings::TLS_NODE_DOMAIN);
        let reload_ms = checked.get(&settings::TLS_RELOAD_MS);
        Ok(Self {
            files: files(checked)?,
            clients: match checked.get(&settings::TLS_CLIENT_CERTIFICATES) {
                "off" => ClientCertificates::Off,
                "required" => ClientCertificates::Required,
                _ => ClientCertificates::Optional,
            },
            domain: NodeDomain::new(&domain).ok_or_else(|| {
                let detail = format!(
                    "is {domain:?}, which is no domain: write lower case letters, digits, dots and hyphens"
                );
                unfit(settings::TLS_NODE_DOMAIN.key, detail)
            })?,
            reload_interval: Duration::from_millis(reload_ms),
        })
    }

    /// Whether clients can prove who they are with certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        self.files.is_some() && self.clients != ClientCertificates::Off
    }

    pub(crate) fn is_on(&self) -> bool {
        self.files.is_some()
    }

    /// Reads the certificates, if there are any.
    pub(crate) fn load(&self, node: NodeId) -> Result<Option<Arc<Keyring>>, TlsError> {
        let files = self.files.clone();
        let keyring =
            files.map(|files| Keyring::load(node, files, self.clients, self.domain.clone()));
        Ok(keyring.transpose()?.map(Arc::new))
    }

    /// The value of a setting, by its name behind `tls.`.
    pub(crate) fn to_toml(&self, name: &str) -> Option<toml::Value> {
        let node = self.files.as_ref().map(|files| &files.node);
        let public = self.files.as_ref().and_then(|files| files.public.as_ref());
        let file = |file: Option<&PathBuf>| match file {
            Some(file) => file.display().to_string().into(),
            None => toml::Value::from("off"),
        };
        Some(match name {
            "certificate_file" => file(node.map(|files| &files.certificate)),
            "key_file" => file(node.map(|files| &files.key)),
            "ca_file" => file(self.files.as_ref().map(|files| &files.authorities)),
            "public_certificate_file" => file(public.map(|files| &files.certificate)),
            "public_key_file" => file(public.map(|files| &files.key)),
            "client_certificates" => match self.clients {
                ClientCertificates::Off => "off".into(),
                ClientCertificates::Optional => "optional".into(),
                ClientCertificates::Required => "required".into(),
            },
            "node_domain" => self.domain.any_node().into(),
            "reload_ms" => {
                let millis = i64::try_from(self.reload_interval.as_millis());
                toml::Value::Integer(millis.unwrap_or(i64::MAX))
            }
            _ => return None,
        })
    }
}

/// All of the first three or none, and both of the others or none.
fn files(checked: &Checked) -> Result<Option<KeyringFiles>, ConfigError> {
    let certificate = checked.get(&settings::TLS_CERTIFICATE_FILE);
    let key = checked.get(&settings::TLS_KEY_FILE);
    let authorities = checked.get(&settings::TLS_CA_FILE);
    let public_certificate = checked.get(&settings::TLS_PUBLIC_CERTIFICATE_FILE);
    let public_key = checked.get(&settings::TLS_PUBLIC_KEY_FILE);
    let given = [
        (&settings::TLS_CERTIFICATE_FILE, certificate.is_some()),
        (&settings::TLS_KEY_FILE, key.is_some()),
        (&settings::TLS_CA_FILE, authorities.is_some()),
    ];
    let public = match (public_certificate, public_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(KeyFiles { certificate, key }),
        (Some(_), None) => {
            return Err(missing(
                settings::TLS_PUBLIC_KEY_FILE.key,
                settings::TLS_PUBLIC_CERTIFICATE_FILE.key,
            ));
        }
        (None, Some(_)) => {
            return Err(missing(
                settings::TLS_PUBLIC_CERTIFICATE_FILE.key,
                settings::TLS_PUBLIC_KEY_FILE.key,
            ));
        }
    };
    match (certificate, key, authorities) {
        (Some(certificate), Some(key), Some(authorities)) => Ok(Some(KeyringFiles {
            node: KeyFiles { certificate, key },
            public,
            authorities,
        })),
        (None, None, None) if public.is_none() => Ok(None),
        _ => {
            let lacking = given.iter().find(|(_, is_given)| !is_given);
            let present = given.iter().find(|(_, is_given)| *is_given);
            let present = present
                .map_or(settings::TLS_PUBLIC_CERTIFICATE_FILE.key, |(setting, _)| {
                    setting.key
                });
            Err(missing(
                lacking.map_or("", |(setting, _)| setting.key),
                present,
            ))
        }
    }
}

fn missing(key: &'static str, given: &'static str) -> ConfigError {
    unfit(key, format!("is missing: {given} alone encrypts nothing"))
}

fn unfit(key: &'static str, detail: String) -> ConfigError {
    ConfigError::Unfit { key, detail }
}
