//! The way to an issuer: its documents, under limits.

use std::sync::Arc;
use std::time::Duration;

use flotilla_types::ErrorChain;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::issuer::FetchFailure;
use crate::issuer_config::IssuerConfig;
use crate::key_set::KeySet;
use crate::shown::Shown;
use crate::strict_json::parse_object;

/// How long fetching keys may take, with everything that belongs to it.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// Largest document that is read, in bytes.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// Fetches the keys of one issuer.
pub(crate) struct Fetcher {
    client: Client,
    config: IssuerConfig,
}

impl Fetcher {
    /// # Errors
    ///
    /// The client cannot be set up, with the reason.
    pub(crate) fn new(config: &IssuerConfig) -> Result<Self, String> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls(config)?)
            // A redirect would be an address that nobody configured or checked.
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Fetches are minutes apart, and a connection that was idle may be broken.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("flotilla/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ErrorChain(&error).to_string())?;
        Ok(Self {
            client,
            config: config.clone(),
        })
    }

    pub(crate) async fn fetch(&self) -> Result<KeySet, FetchFailure> {
        let fetched = tokio::time::timeout(FETCH_LIMIT, self.fetch_unlimited()).await;
        fetched.unwrap_or(Err(FetchFailure::TookTooLong {
            seconds: FETCH_LIMIT.as_secs(),
        }))
    }

    async fn fetch_unlimited(&self) -> Result<KeySet, FetchFailure> {
        let url = match &self.config.jwks_url {
            Some(configured) => self.configured(configured)?,
            None => self.discover().await?,
        };
        let document = self.document(url).await?;
        KeySet::from_json(&document).map_err(FetchFailure::Keys)
    }

    /// Asks the issuer where its keys are. Whoever answers for another issuer is not asked further
    /// (RFC 8414, sections 3.3 and 6.2).
    async fn discover(&self) -> Result<Url, FetchFailure> {
        let url = self.configured(&self.config.discovery_url())?;
        let document = self.document(url).await?;
        let members = parse_object(&document).map_err(|_| FetchFailure::NotADiscovery)?;
        let text = |name| members.get(name).and_then(Value::as_str);
        let issuer = text("issuer").ok_or(FetchFailure::NotADiscovery)?;
        if issuer != self.config.issuer {
            return Err(FetchFailure::OtherIssuer {
                seen: Shown::new(issuer),
            });
        }
        let address = text("jwks_uri").ok_or(FetchFailure::NotADiscovery)?;
        Url::parse(address)
            .ok()
            .filter(|url| self.config.may_follow(url))
            .ok_or_else(|| FetchFailure::AddressRefused {
                url: Shown::new(address),
            })
    }

    fn configured(&self, address: &str) -> Result<Url, FetchFailure> {
        let parsed = Url::parse(address).ok();
        let allowed = parsed.filter(|url| self.config.may_fetch(url));
        allowed.ok_or_else(|| FetchFailure::AddressRefused {
            url: Shown::new(address),
        })
    }

    async fn document(&self, url: Url) -> Result<Vec<u8>, FetchFailure> {
        let request = self.client.get(url).header("accept", "application/json");
        let response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchFailure::Status {
                status: response.status().as_u16(),
            });
        }
        body(response).await
    }
}

/// Reads no more than is allowed, whatever the sender says about the length.
async fn body(mut response: Response) -> Result<Vec<u8>, FetchFailure> {
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if document.len() + chunk.len() > DOCUMENT_BYTES_MAX {
            return Err(FetchFailure::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

fn unreachable(error: reqwest::Error) -> FetchFailure {
    // The address is configured, and long.
    let error = error.without_url();
    FetchFailure::Unreachable {
        reason: ErrorChain(&error).to_string(),
    }
}

/// The provider is named here, so that nothing depends on what somebody installed for the process.
fn tls(config: &IssuerConfig) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // A system without certificates may still reach an issuer by the extra ones, or without TLS.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for root in config.extra_roots()? {
        roots
            .add(root)
            .map_err(|error| ErrorChain(&error).to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ErrorChain(&error).to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
