//! Issuers that are slow, broken, gone or hostile: the keys that are known go on counting for their
//! time, then nothing does, and it all comes back by itself.

use std::time::Duration;

use flotilla_identity::{IssuerConfig, Issuers, IssuersError, TokenRefused};
use tokio_util::sync::CancellationToken;

use crate::arrangement::{Arrangement, TestClock, config_of, eventually};
use crate::issuer_server::{ENDLESS_BYTES, IssuerServer, Manner};
use crate::test_key::{P256, P384};
use crate::token_draft::{AUDIENCE, Draft};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn assert_unavailable(refused: &TokenRefused, words: &str) {
    let message = refused.to_string();
    assert!(
        matches!(refused, TokenRefused::KeysUnavailable { .. }),
        "{message}"
    );
    assert!(refused.is_retryable());
    assert!(message.contains(words), "{message}");
}

/// Keys are served from memory for an hour while the issuer is in `manner`, then refused, and
/// accepted again when it is back.
async fn outlive(manner: Manner, failure: &str) {
    let server = IssuerServer::start(&[&P384]).await;
    let config = IssuerConfig {
        refresh_interval: Duration::from_secs(1),
        stale_max: HOUR,
        ..config_of(&server)
    };
    let arrangement = Arrangement::start(vec![config]);
    let remembered = Draft::new(&server.issuer(), &P384).claim("exp", 9_999_999_999_u64);
    let unseen = remembered.clone().claim("jti", "another");
    let [remembered, unseen] = [remembered, unseen].map(|draft| draft.sign(&P384));
    arrangement.verify(&remembered).await.unwrap();

    println!("the issuer breaks: {failure}");
    server.set_manner(manner);
    let told = arrangement.wait_for_failure().await;
    assert!(told.contains(failure), "{told}");
    arrangement.clock.advance(HOUR - Duration::from_secs(10));
    arrangement.verify(&remembered).await.unwrap();
    arrangement.verify(&unseen).await.unwrap();

    println!("its keys are too old");
    arrangement.clock.advance(Duration::from_secs(20));
    let (first, second) =
        tokio::join!(arrangement.verify(&remembered), arrangement.verify(&unseen));
    for refused in [first, second] {
        assert_unavailable(&refused.unwrap_err(), failure);
    }
    assert!(!arrangement.issuers.status()[0].is_available);

    println!("it is back");
    server.set_manner(Manner::Answer);
    arrangement.wait_for_keys().await;
    arrangement.verify(&remembered).await.unwrap();
    arrangement.verify(&unseen).await.unwrap();
    assert_eq!(arrangement.issuers.status()[0].failure, None);
}

#[tokio::test]
async fn an_issuer_that_fails_is_outlived() {
    outlive(Manner::Status(500), "status 500").await;
}

#[tokio::test]
async fn an_issuer_that_is_down_is_outlived() {
    outlive(Manner::HangUp, "was not reached").await;
}

#[tokio::test]
async fn an_issuer_that_says_nothing_is_outlived() {
    outlive(Manner::Silent, "took longer than 5 seconds").await;
}

#[tokio::test]
async fn an_issuer_that_sends_garbage_is_outlived() {
    outlive(Manner::Text("<html>".to_owned()), "not a JSON object").await;
}

#[tokio::test]
async fn an_issuer_that_has_no_keys_is_outlived() {
    outlive(
        Manner::Text("{\"keys\":[]}".to_owned()),
        "none of the 0 keys",
    )
    .await;
}

#[tokio::test]
async fn an_issuer_that_sends_no_end_is_outlived_and_hardly_read() {
    let server = IssuerServer::start(&[&P384]).await;
    server.set_manner(Manner::Endless);
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let told = arrangement.wait_for_failure().await;
    assert!(told.contains("larger than 262144 bytes"), "{told}");
    // What is on the way fills the buffers of both ends, and no more is sent.
    let taken = server.endless_bytes();
    assert!(taken < ENDLESS_BYTES / 4, "{taken} bytes were taken");
    outlive(Manner::Endless, "larger than 262144 bytes").await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = IssuerServer::start(&[&P384]).await;
    let server = IssuerServer::start(&[&P384]).await;
    server.set_manner(Manner::Redirect(elsewhere.keys_url()));
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let told = arrangement.wait_for_failure().await;
    assert!(told.contains("status 302"), "{told}");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_waited_for() {
    let server = IssuerServer::start(&[&P384]).await;
    server.set_manner(Manner::HangUp);
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    arrangement.wait_for_failure().await;
    assert_unavailable(
        &arrangement.verify(&token).await.unwrap_err(),
        "never fetched",
    );

    server.set_manner(Manner::Answer);
    arrangement.wait_for_keys().await;
    arrangement.verify(&token).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_fails_is_asked_less_and_less_often() {
    let server = IssuerServer::start(&[&P384]).await;
    server.set_manner(Manner::Status(503));
    let start = tokio::time::Instant::now();
    let _arrangement = Arrangement::start(vec![config_of(&server)]);
    eventually("four fetches", || server.key_fetches() >= 4).await;
    // Pauses of 250, 500 and 1,000 milliseconds lie between them.
    assert!(start.elapsed() >= Duration::from_millis(1_750));
}

#[tokio::test]
async fn the_first_token_waits_for_the_first_keys() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    arrangement.verify(&token).await.unwrap();
}

#[tokio::test]
async fn one_issuer_that_is_gone_is_no_matter_to_the_others() {
    let gone = IssuerServer::start(&[&P256]).await;
    gone.set_manner(Manner::Silent);
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&gone), config_of(&server)]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    arrangement.verify(&token).await.unwrap();
    let token = Draft::new(&gone.issuer(), &P256).sign(&P256);
    assert_unavailable(
        &arrangement.verify(&token).await.unwrap_err(),
        "never fetched",
    );
}

#[tokio::test]
async fn the_discovery_document_of_another_issuer_is_refused() {
    let server = IssuerServer::start(&[&P384]).await;
    server.tell_issuer(&format!("{}/", server.issuer()));
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let told = arrangement.wait_for_failure().await;
    assert!(told.contains("is of the issuer"), "{told}");
    assert_eq!(server.key_fetches(), 0);
}

#[tokio::test]
async fn the_discovery_document_cannot_lead_off_this_machine_without_tls() {
    for address in [
        "http://10.0.0.1/keys",
        "http://169.254.169.254/latest/meta-data",
        "http://evil.example/keys",
        "file:///etc/passwd",
        "ftp://localhost/keys",
        "http://user:password@localhost/keys",
        "/keys",
    ] {
        let server = IssuerServer::start(&[&P384]).await;
        server.tell_address(address);
        let arrangement = Arrangement::start(vec![config_of(&server)]);
        let told = arrangement.wait_for_failure().await;
        assert!(
            told.contains("keys are not fetched from"),
            "{address}: {told}"
        );
    }
}

#[tokio::test]
async fn keys_go_on_counting_after_the_stop_and_are_fetched_no_more() {
    let server = IssuerServer::start(&[&P384]).await;
    let config = IssuerConfig {
        refresh_interval: Duration::from_secs(1),
        stale_max: HOUR,
        ..config_of(&server)
    };
    let arrangement = Arrangement::start(vec![config]);
    arrangement.wait_for_keys().await;
    arrangement.stop.cancel();
    let draft = Draft::new(&server.issuer(), &P384).claim("exp", 9_999_999_999_u64);
    arrangement.verify(&draft.sign(&P384)).await.unwrap();
    arrangement.clock.advance(2 * HOUR);
    let refused = arrangement.verify(&draft.sign(&P384)).await.unwrap_err();
    assert_unavailable(&refused, "last fetched");
}

#[tokio::test]
async fn tasks_end_with_the_last_clone() {
    let server = IssuerServer::start(&[&P384]).await;
    let config = IssuerConfig {
        refresh_interval: Duration::from_secs(1),
        ..config_of(&server)
    };
    let clock = TestClock::new();
    // Whoever holds the clock is seen by its count of owners.
    let shared = clock.clock();
    let issuers = Issuers::start(vec![config], shared.clone(), &CancellationToken::new()).unwrap();
    let clone = issuers.clone();
    drop(issuers);
    assert!(std::sync::Arc::strong_count(&shared) > 1);
    drop(clone);
    let is_alone = || std::sync::Arc::strong_count(&shared) == 1;
    eventually("the tasks are gone", is_alone).await;
}

#[tokio::test]
async fn wrong_configurations_are_refused_in_words() {
    let start = |configs| {
        let clock = TestClock::new().clock();
        Issuers::start(configs, clock, &CancellationToken::new())
            .err()
            .unwrap()
    };
    let config = IssuerConfig::new("https://logto.example/oidc", &[AUDIENCE]);
    let twice = start(vec![config.clone(), config.clone()]);
    assert!(matches!(twice, IssuersError::Duplicate { .. }), "{twice}");
    let wrong = IssuerConfig {
        audiences: Vec::new(),
        leeway: Duration::from_secs(61),
        ..config
    };
    let told = start(vec![wrong]).to_string();
    assert!(told.contains("audiences is empty; leeway is 61s"), "{told}");
}
