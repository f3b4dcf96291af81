//! Issuers behind TLS: whose certificates are trusted.

use std::sync::Arc;

use flotilla_identity::IssuerConfig;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::arrangement::{Arrangement, config_of};
use crate::issuer_server::IssuerServer;
use crate::test_key::P384;
use crate::token_draft::Draft;

/// A server with a certificate for `name` that it signed itself, and the certificate.
async fn start(name: &str) -> (IssuerServer, Vec<u8>) {
    let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certified.cert.der().clone()],
            PrivateKeyDer::Pkcs8(key),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = IssuerServer::start_tls(&[&P384], acceptor).await;
    (server, certified.cert.pem().into_bytes())
}

#[tokio::test]
async fn a_configured_root_is_trusted() {
    let (server, root) = start("localhost").await;
    let config = IssuerConfig {
        extra_roots_pem: root,
        ..config_of(&server)
    };
    let arrangement = Arrangement::start(vec![config]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    arrangement.wait_for_keys().await;
    arrangement.verify(&token).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_nobody_is_not_trusted() {
    let (server, _) = start("localhost").await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let told = arrangement.wait_for_failure().await;
    assert!(told.contains("certificate"), "{told}");
    assert_eq!(server.discoveries(), 0);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let (server, root) = start("logto.example").await;
    let config = IssuerConfig {
        extra_roots_pem: root,
        ..config_of(&server)
    };
    let arrangement = Arrangement::start(vec![config]);
    let told = arrangement.wait_for_failure().await;
    assert!(told.contains("certificate"), "{told}");
    assert_eq!(server.discoveries(), 0);
}

#[tokio::test]
async fn an_issuer_with_tls_cannot_lead_to_an_address_without() {
    let (server, root) = start("localhost").await;
    let plain = IssuerServer::start(&[&P384]).await;
    server.tell_address(&plain.keys_url());
    let config = IssuerConfig {
        extra_roots_pem: root,
        ..config_of(&server)
    };
    let arrangement = Arrangement::start(vec![config]);
    let told = arrangement.wait_for_failure().await;
    assert!(told.contains("keys are not fetched from"), "{told}");
    assert_eq!(plain.connections(), 0);
}
