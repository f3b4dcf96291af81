//! Keys that come and go at the issuer, and how often it is asked about them.

use std::time::Duration;

use flotilla_identity::{IssuerConfig, TokenRefused};
use tokio::task::JoinSet;

use crate::arrangement::{Arrangement, config_of, eventually};
use crate::issuer_server::{IssuerServer, Manner};
use crate::test_key::{P256, P384, TestKey};
use crate::token_draft::Draft;

const REFETCH_INTERVAL: Duration = Duration::from_secs(30);

fn unknown_key(draft: &Draft, id: &str) -> String {
    draft.clone().header("kid", id).with_signature("AAAA")
}

#[tokio::test]
async fn tokens_of_a_new_key_are_accepted_at_once_after_one_fetch() {
    let next = TestKey::p384("p384-2");
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    arrangement.wait_for_keys().await;

    server.set_keys(&[&P384, &next]);
    let token = Draft::new(&server.issuer(), &next).sign(&next);
    arrangement.verify(&token).await.unwrap();
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    arrangement.verify(&token).await.unwrap();
    assert_eq!(server.key_fetches(), 2);
}

#[tokio::test]
async fn tokens_of_a_key_that_is_gone_are_refused_after_the_next_refresh() {
    let next = TestKey::p384("p384-2");
    let server = IssuerServer::start(&[&P384]).await;
    let config = IssuerConfig {
        refresh_interval: Duration::from_secs(1),
        ..config_of(&server)
    };
    let arrangement = Arrangement::start(vec![config]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    // Twice, so that it is remembered as well.
    arrangement.verify(&token).await.unwrap();
    arrangement.verify(&token).await.unwrap();

    server.set_keys(&[&next]);
    let fetches = server.key_fetches();
    // The second of them began after the first was over, and with it the first is taken in.
    eventually("a refresh", || server.key_fetches() >= fetches + 2).await;
    let refused = arrangement.verify(&token).await.unwrap_err();
    assert!(
        matches!(refused, TokenRefused::UnknownKey { .. }),
        "{refused}"
    );
    let token = Draft::new(&server.issuer(), &next).sign(&next);
    arrangement.verify(&token).await.unwrap();
}

#[tokio::test]
async fn a_key_with_a_known_id_and_other_bytes_replaces_the_one_before() {
    let other = TestKey::p384(&P384.id);
    let server = IssuerServer::start(&[&P384]).await;
    let config = IssuerConfig {
        refresh_interval: Duration::from_secs(1),
        ..config_of(&server)
    };
    let arrangement = Arrangement::start(vec![config]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    arrangement.verify(&token).await.unwrap();

    server.set_keys(&[&other]);
    let fetches = server.key_fetches();
    eventually("a refresh", || server.key_fetches() >= fetches + 2).await;
    let refused = arrangement.verify(&token).await.unwrap_err();
    assert!(
        matches!(refused, TokenRefused::BadSignature { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_thousand_unknown_keys_cause_one_fetch_in_an_interval() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    arrangement.wait_for_keys().await;
    let draft = Draft::new(&server.issuer(), &P384);
    for round in 1..=3 {
        let mut calls = JoinSet::new();
        for i in 0..1_000 {
            let issuers = arrangement.issuers.clone();
            let token = unknown_key(&draft, &format!("made-up-{round}-{i}"));
            calls.spawn(async move { issuers.verify(&token).await });
        }
        for outcome in calls.join_all().await {
            let refused = outcome.unwrap_err();
            assert!(
                matches!(refused, TokenRefused::UnknownKey { .. }),
                "{refused}"
            );
        }
        // Those that come later find no fetch under way that they could share.
        for i in 0..100 {
            let token = unknown_key(&draft, &format!("late-{round}-{i}"));
            arrangement.verify(&token).await.unwrap_err();
        }
        assert_eq!(
            server.key_fetches(),
            1 + round,
            "one for the start, one for each round"
        );
        arrangement.clock.advance(REFETCH_INTERVAL);
    }
    assert_eq!(server.discoveries(), server.key_fetches());
}

#[tokio::test]
async fn tokens_that_fail_a_cheaper_check_cause_no_fetch() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    arrangement.wait_for_keys().await;
    let draft = Draft::new(&server.issuer(), &P384);
    for (i, wrong) in [
        draft.clone().claim("aud", "another"),
        draft.clone().claim("exp", 1),
        draft.clone().claim("iss", "https://evil.example"),
        draft.clone().header("alg", "none"),
        draft.clone().header("typ", "id+jwt"),
    ]
    .iter()
    .enumerate()
    {
        let token = unknown_key(wrong, &format!("made-up-{i}"));
        arrangement.verify(&token).await.unwrap_err();
    }
    let long = unknown_key(&draft, &"k".repeat(300));
    arrangement.verify(&long).await.unwrap_err();
    assert_eq!(server.key_fetches(), 1);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_keep_keys_from_being_fetched() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    arrangement.wait_for_keys().await;
    let draft = Draft::new(&server.issuer(), &P384);
    arrangement.clock.advance(Duration::from_secs(600));
    arrangement
        .verify(&unknown_key(&draft, "a"))
        .await
        .unwrap_err();
    arrangement.clock.set_back(Duration::from_secs(600));
    arrangement
        .verify(&unknown_key(&draft, "b"))
        .await
        .unwrap_err();
    assert_eq!(server.key_fetches(), 3);
}

#[tokio::test]
async fn callers_share_the_one_fetch_that_is_under_way_and_do_not_wait_long_for_it() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    arrangement.wait_for_keys().await;
    server.set_manner(Manner::Silent);
    let draft = Draft::new(&server.issuer(), &P384);
    let start = tokio::time::Instant::now();
    let mut calls = JoinSet::new();
    for i in 0..100 {
        let issuers = arrangement.issuers.clone();
        let token = unknown_key(&draft, &format!("made-up-{i}"));
        calls.spawn(async move { issuers.verify(&token).await.unwrap_err() });
    }
    // Those whose key is known wait for nothing.
    arrangement.verify(&draft.sign(&P384)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
    calls.join_all().await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "less than a fetch may take"
    );
    assert_eq!(server.key_fetches(), 2);
}

#[tokio::test]
async fn issuers_with_the_same_key_ids_keep_them_apart() {
    let theirs = TestKey::p384(&P384.id);
    let ours = IssuerServer::start(&[&P384]).await;
    let other = IssuerServer::start(&[&theirs]).await;
    let arrangement = Arrangement::start(vec![config_of(&ours), config_of(&other)]);
    for (server, right, wrong) in [(&ours, &*P384, &theirs), (&other, &theirs, &*P384)] {
        let draft = Draft::new(&server.issuer(), right);
        let verified = arrangement.verify(&draft.sign(right)).await.unwrap();
        assert_eq!(verified.issuer, server.issuer());
        let refused = arrangement.verify(&draft.sign(wrong)).await.unwrap_err();
        assert!(
            matches!(refused, TokenRefused::BadSignature { .. }),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_configured_address_of_the_keys_needs_no_discovery() {
    let server = IssuerServer::start(&[&P256]).await;
    let config = IssuerConfig {
        jwks_url: Some(server.keys_url()),
        issuer: "a name and no address".replace(' ', "-"),
        ..config_of(&server)
    };
    let draft = Draft::new(&config.issuer, &P256);
    let arrangement = Arrangement::start(vec![config]);
    arrangement.verify(&draft.sign(&P256)).await.unwrap();
    assert_eq!(server.discoveries(), 0);
}
