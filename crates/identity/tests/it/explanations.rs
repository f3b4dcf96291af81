//! What people are told who ask why a token is refused.

use flotilla_identity::{Check, Finding, Outcome};

use crate::arrangement::{Arrangement, config_of};
use crate::issuer_server::IssuerServer;
use crate::test_key::P384;
use crate::token_draft::{AUDIENCE, Draft, NOW};

fn checks_with(findings: &[Finding], outcome: Outcome) -> Vec<Check> {
    let found = findings.iter().filter(|found| found.outcome == outcome);
    found.map(|found| found.check).collect()
}

#[tokio::test]
async fn a_good_token_passes_every_check_and_shows_what_was_seen() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let token = Draft::new(&server.issuer(), &P384).sign(&P384);
    let findings = arrangement.issuers.explain(&token).await;
    let expected = [
        Check::Form,
        Check::Issuer,
        Check::Critical,
        Check::Type,
        Check::Algorithm,
        Check::Audience,
        Check::Expiry,
        Check::NotBefore,
        Check::Principal,
        Check::Scopes,
        Check::Key,
        Check::Signature,
    ];
    assert_eq!(checks_with(&findings, Outcome::Passed), expected);
    let seen = |check| {
        &findings
            .iter()
            .find(|found| found.check == check)
            .unwrap()
            .seen
    };
    assert_eq!(seen(Check::Audience), &format!("\"{AUDIENCE}\""));
    assert_eq!(seen(Check::Algorithm), "\"ES384\"");
    assert_eq!(seen(Check::Key), "\"p384-1\"");
    assert_eq!(seen(Check::Scopes), "\"kbroker-inbox.event-publish\"");
    assert_eq!(seen(Check::Expiry), "in 3600 s");
    assert_eq!(seen(Check::NotBefore), "none");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let token = Draft::new(&server.issuer(), &P384)
        .claim("aud", "another")
        .claim("exp", NOW - 600)
        .header("typ", "id+jwt")
        .with_signature("AAAA");
    let findings = arrangement.issuers.explain(&token).await;
    let expected = [
        Check::Type,
        Check::Audience,
        Check::Expiry,
        Check::Signature,
    ];
    assert_eq!(checks_with(&findings, Outcome::Failed), expected);
}

#[tokio::test]
async fn nothing_is_said_of_a_token_that_cannot_be_read() {
    let server = IssuerServer::start(&[&P384]).await;
    let arrangement = Arrangement::start(vec![config_of(&server)]);
    let findings = arrangement
        .issuers
        .explain("a secret that is no token")
        .await;
    assert_eq!(checks_with(&findings, Outcome::Failed), [Check::Form]);
    assert!(!findings[0].seen.contains("secret"));
}
