//! Who is let in: the settings of `auth`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flotilla_broker::{ApiKey, AuthConfig, IssuerConfig, TokenAlgorithm};
use flotilla_types::Principal;

use super::checked::Checked;
use super::error::ConfigError;
use super::kind::Kind;
use super::settings;
use super::tls::TlsConfig;
use super::written::Value;

/// Issuers of tokens, or `"off"` for none.
pub(crate) struct Issuers;

/// One issuer as it is written in `auth.issuers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WrittenIssuer {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<TokenAlgorithm>,
    jwks_url: Option<String>,
    principal_claim: Option<String>,
    ca_file: Option<PathBuf>,
}

impl Kind for Issuers {
    type Value = Vec<WrittenIssuer>;

    fn read(&self, value: &Value) -> Option<Vec<WrittenIssuer>> {
        match value {
            Value::Tables(tables) => tables.iter().map(WrittenIssuer::from_table).collect(),
            Value::Text(text) if text == "off" => Some(Vec::new()),
            Value::Text(text) => Some(list(text).map(WrittenIssuer::named).collect()),
            Value::Integer(_) | Value::Other(_) => None,
        }
    }

    fn takes(&self) -> String {
        "a list of {issuer = \"https://..\", audiences = \"a,b\", algorithms = \"ES384,RS256\", \
         jwks_url = \"https://..\", principal_claim = \"client_id\", ca_file = \"path\"} in which all \
         but issuer may be left out; in a variable or a flag, issuers with commas between, or \"off\""
            .to_owned()
    }

    fn columns(&self) -> &'static [&'static str] {
        &[
            "issuer",
            "audiences",
            "algorithms",
            "jwks_url",
            "principal_claim",
            "ca_file",
        ]
    }
}

impl WrittenIssuer {
    fn named(issuer: String) -> Self {
        Self {
            issuer,
            ..Self::default()
        }
    }

    fn from_table(table: &BTreeMap<String, Value>) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in table {
            let Value::Text(text) = value else {
                return None;
            };
            match name.as_str() {
                "issuer" => read.issuer.clone_from(text),
                "audiences" => read.audiences = list(text).collect(),
                "algorithms" => {
                    let algorithms = list(text).map(|name| TokenAlgorithm::from_name(&name));
                    read.algorithms = algorithms.collect::<Option<_>>()?;
                }
                "jwks_url" => read.jwks_url = Some(text.clone()),
                "principal_claim" => read.principal_claim = Some(text.clone()),
                "ca_file" => read.ca_file = Some(PathBuf::from(text)),
                _ => return None,
            }
        }
        (!read.issuer.is_empty()).then_some(read)
    }

    fn to_toml(&self) -> toml::Value {
        let mut table = toml::Table::new();
        let algorithms: Vec<_> = self.algorithms.iter().map(ToString::to_string).collect();
        let ca_file = self.ca_file.as_ref().map(|file| file.display().to_string());
        let columns = [
            ("issuer", Some(self.issuer.clone())),
            ("audiences", Some(self.audiences.join(","))),
            ("algorithms", Some(algorithms.join(","))),
            ("jwks_url", self.jwks_url.clone()),
            ("principal_claim", self.principal_claim.clone()),
            ("ca_file", ca_file),
        ];
        for (name, value) in columns {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                table.insert(name.to_owned(), value.into());
            }
        }
        toml::Value::Table(table)
    }

    fn resolve(self, audience: &str) -> Result<IssuerConfig, ConfigError> {
        let audiences: Vec<_> = match self.audiences.is_empty() {
            true => vec![audience],
            false => self.audiences.iter().map(String::as_str).collect(),
        };
        let mut config = IssuerConfig::new(&self.issuer, &audiences);
        if !self.algorithms.is_empty() {
            config.algorithms = self.algorithms;
        }
        config.jwks_url = self.jwks_url;
        config.principal_claim = self.principal_claim;
        if let Some(file) = &self.ca_file {
            config.extra_roots_pem = read_file(settings::AUTH_ISSUERS.key, file)?;
        }
        match config.validate() {
            Ok(()) => Ok(config),
            Err(errors) => {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                let detail = format!("{}: {}", self.issuer, errors.join("; "));
                Err(invalid(settings::AUTH_ISSUERS.key, detail))
            }
        }
    }
}

/// The settings of `auth` as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrittenAuth {
    enabled: bool,
    issuers: Vec<WrittenIssuer>,
    audience: String,
    publish_scope: String,
    anonymous: bool,
    administrators: String,
    bootstrap_key_file: Option<PathBuf>,
}

impl WrittenAuth {
    pub(crate) fn read(checked: &Checked) -> Self {
        Self {
            enabled: checked.get(&settings::AUTH_ENABLED),
            issuers: checked.get(&settings::AUTH_ISSUERS),
            audience: checked.get(&settings::AUTH_AUDIENCE),
            publish_scope: checked.get(&settings::AUTH_PUBLISH_SCOPE),
            anonymous: checked.get(&settings::AUTH_ANONYMOUS),
            administrators: checked.get(&settings::AUTH_ADMINISTRATORS),
            bootstrap_key_file: checked.get(&settings::AUTH_BOOTSTRAP_KEY_FILE),
        }
    }

    /// The value of a setting, by its name behind `auth.`.
    pub(crate) fn to_toml(&self, name: &str) -> Option<toml::Value> {
        let file = self.bootstrap_key_file.as_ref();
        Some(match name {
            "enabled" => switch(self.enabled),
            "issuers" if self.issuers.is_empty() => "off".into(),
            "issuers" => {
                let issuers = self.issuers.iter().map(WrittenIssuer::to_toml);
                toml::Value::Array(issuers.collect())
            }
            "audience" => self.audience.clone().into(),
            "publish_scope" => self.publish_scope.clone().into(),
            "anonymous" => switch(self.anonymous),
            "administrators" => self.administrators.clone().into(),
            "bootstrap_key_file" => {
                file.map_or_else(|| "off".into(), |file| file.display().to_string().into())
            }
            _ => return None,
        })
    }

    /// Whom the node believes; `None` if it asks nobody who they are.
    pub(crate) fn resolve(&self, tls: &TlsConfig) -> Result<Option<AuthConfig>, ConfigError> {
        if !self.enabled {
            return Ok(None);
        }
        let issuers = self.issuers.iter().cloned();
        let issuers = issuers.map(|issuer| issuer.resolve(&self.audience));
        let issuers: Vec<_> = issuers.collect::<Result<_, _>>()?;
        let file = self.bootstrap_key_file.as_deref();
        let bootstrap_key = file.map(read_key).transpose()?;
        if issuers.is_empty() && bootstrap_key.is_none() && !tls.asks_clients() {
            let detail = "is on, and nobody could ever be let in: name an issuer in auth.issuers, a file \
                          with a key in auth.bootstrap_key_file (`flotilla key generate` makes one), or \
                          certificates in tls.certificate_file";
            return Err(invalid(settings::AUTH_ENABLED.key, detail.to_owned()));
        }
        let mut administrators = administrators(&self.administrators)?;
        if bootstrap_key.is_some() {
            let bootstrap = Principal::parse("key:bootstrap");
            administrators.push(bootstrap.expect("invariant: this is a principal"));
        }
        let scope = self.publish_scope.clone();
        Ok(Some(AuthConfig {
            issuers,
            publish_scope: (scope != "off").then_some(scope),
            anonymous: self.anonymous,
            administrators,
            bootstrap_key,
        }))
    }
}

/// As it is written.
pub(crate) fn switch(is_on: bool) -> toml::Value {
    if is_on { "on" } else { "off" }.into()
}

type KnownKey = (flotilla_broker::ApiKeyId, flotilla_broker::ApiKeyHash);

fn read_key(file: &Path) -> Result<KnownKey, ConfigError> {
    let key = settings::AUTH_BOOTSTRAP_KEY_FILE.key;
    let text = read_file(key, file)?;
    let text = String::from_utf8_lossy(&text);
    let parsed = ApiKey::parse(text.trim());
    let parsed = parsed.map_err(|_| {
        let detail = format!(
            "{} does not hold a key as `flotilla key generate` makes them",
            file.display()
        );
        invalid(key, detail)
    })?;
    Ok((parsed.id(), parsed.hash()))
}

fn administrators(text: &str) -> Result<Vec<Principal>, ConfigError> {
    if text == "off" {
        return Ok(Vec::new());
    }
    let read = |text: String| {
        Principal::parse(&text).map_err(|error| {
            let detail = format!("{text:?}: {error}");
            invalid(settings::AUTH_ADMINISTRATORS.key, detail)
        })
    };
    list(text).map(read).collect()
}

fn read_file(key: &'static str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(file)
        .map_err(|error| invalid(key, format!("cannot read {}: {error}", file.display())))
}

fn list(text: &str) -> impl Iterator<Item = String> + '_ {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned)
}

fn invalid(key: &'static str, detail: String) -> ConfigError {
    ConfigError::Unfit { key, detail }
}
