//! An issuer of tokens, such as a company has one: it signs who somebody is, and publishes its key over HTTPS.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flotilla_client::NodeId;
use flotilla_net::{
    ClientCertificates, Connection, Keyring, KeyringFiles, Listener, NodeDomain, PortKind,
    PortLimits, Refusals, Security,
};
use metrics::{Counter, Gauge};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cluster::Certificates;

const KEY_ID: &str = "key-1";
/// Longer than a test takes.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// Serves until it is dropped.
pub struct Issuer {
    address: String,
    key: Arc<EcdsaKeyPair>,
    _serving: JoinSet<()>,
}

impl Issuer {
    /// It proves who it is with the certificate of node 1, which is for this machine too.
    ///
    /// # Panics
    ///
    /// If there is no such certificate, or no port.
    pub async fn start(certificates: &Certificates) -> Self {
        let domain = NodeDomain::new(NodeDomain::DEFAULT).expect("the default is a domain");
        let files = KeyringFiles {
            node: certificates.node(NodeId::new(1)),
            public: None,
            authorities: certificates.authority(),
        };
        let keyring = Keyring::load(NodeId::new(1), files, ClientCertificates::Off, domain);
        let keyring = Arc::new(keyring.expect("certificates of this cluster"));
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = tcp.local_addr().expect("the port is open").port();
        let limits = PortLimits {
            connections_max: 64,
            open: Gauge::noop(),
            refused: Counter::noop(),
            refusals: Refusals {
                too_many: [].into(),
                plaintext: [].into(),
            },
            handshake_limit: Duration::from_secs(10),
        };
        let mut listener = Listener::new(tcp, Security::of(&keyring, PortKind::Http), limits);
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
        let key = Arc::new(key.expect("chance"));
        let address = format!("https://localhost:{port}/oidc");
        let documents = Arc::new(Documents::new(&address, &key));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut answering = JoinSet::new();
            loop {
                let connection = listener.accept().await;
                let documents = Arc::clone(&documents);
                answering.spawn(async move { drop(documents.serve(connection).await) });
            }
        });
        Self {
            address,
            key,
            _serving: serving,
        }
    }

    /// As it is written in tokens and settings.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A token for the client of this name, with this scope.
    pub fn token(&self, client: &str, scope: &str) -> String {
        let now = now();
        let header = json!({ "alg": "ES384", "kid": KEY_ID, "typ": "at+jwt" });
        let claims = json!({
            "iss": self.address,
            "aud": "kbroker-inbox",
            "sub": client,
            "client_id": client,
            "scope": scope,
            "iat": now.as_secs(),
            "exp": (now + TOKEN_LIFETIME).as_secs(),
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("the key signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "issuers and nodes go by the same clock, that of the machine"
)]
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970")
}

/// What an issuer publishes (OpenID Connect Discovery 1.0, section 4; RFC 7517).
struct Documents {
    discovery: String,
    keys: String,
}

impl Documents {
    fn new(address: &str, key: &EcdsaKeyPair) -> Self {
        // The first byte says that both coordinates follow (SEC 1, section 2.3.3).
        let (x, y) = key.public_key().as_ref()[1..].split_at(48);
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let discovery = json!({ "issuer": address, "jwks_uri": format!("{address}/jwks") });
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": KEY_ID,
            "x": encode(x), "y": encode(y),
        }] });
        Self {
            discovery: discovery.to_string(),
            keys: keys.to_string(),
        }
    }

    async fn serve(&self, connection: Connection) -> io::Result<()> {
        let mut stream = BufReader::new(connection);
        let mut first = String::new();
        stream.read_line(&mut first).await?;
        let mut line = first.clone();
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        let (status, body) = match first.split(' ').nth(1) {
            Some("/oidc/.well-known/openid-configuration") => ("200 OK", self.discovery.as_str()),
            Some("/oidc/jwks") => ("200 OK", self.keys.as_str()),
            _ => ("404 Not Found", "{}"),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(answer.as_bytes()).await?;
        stream.get_mut().shutdown().await
    }
}
