//! Tokens that come with each request are checked once, and judged each time.

use std::sync::Arc;
use std::time::Duration;

use flotilla_identity::TokenRefused;

use crate::arrangement::{Arrangement, config_of};
use crate::issuer_server::IssuerServer;
use crate::test_key::P384;
use crate::token_draft::Draft;

#[tokio::test]
async fn a_token_that_comes_again_is_remembered_until_it_expires() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    let first = arrangement.verify(&token).await.unwrap();
    let second = arrangement.verify(&token).await.unwrap();
    assert!(
        Arc::ptr_eq(&first, &second),
        "the same answer, and not one like it"
    );

    arrangement.clock.advance(Duration::from_secs(3_600 + 59));
    arrangement.verify(&token).await.unwrap();
    arrangement.clock.advance(Duration::from_secs(1));
    let refused = arrangement.verify(&token).await.unwrap_err();
    assert!(matches!(refused, TokenRefused::Expired { .. }), "{refused}");
}

#[tokio::test]
async fn a_refused_token_is_not_remembered() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let draft = Draft::new(&server.issuer(), &P384);
    let later = draft
        .claim("nbf", crate::token_draft::NOW + 300)
        .sign(&P384);
    arrangement.verify(&later).await.unwrap_err();
    arrangement.clock.advance(Duration::from_secs(300));
    arrangement.verify(&later).await.unwrap();
}

#[tokio::test]
#[ignore = "measures, and asserts nothing"]
async fn measure_verification() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let draft = Draft::new(&server.issuer(), &P384);
    let tokens: Vec<_> = (0..1_000)
        .map(|i| draft.clone().claim("jti", i).sign(&P384))
        .collect();
    for what in ["checked", "remembered"] {
        let start = tokio::time::Instant::now();
        for token in &tokens {
            arrangement.verify(token).await.unwrap();
        }
        println!("{what}: {:?} each", start.elapsed() / 1_000);
    }
}
