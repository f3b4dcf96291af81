//! Every way to write a token that should be refused, and some that should not. Each case is sent to
//! the same issuers, and three roads have to agree on it: verification, the check without a network,
//! and the explanation.

mod algorithms;
mod claims;
mod forms;
mod headers;
mod signatures;

use std::collections::HashSet;
use std::sync::LazyLock;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use flotilla_identity::{
    Algorithm, IssuerConfig, KeySet, Outcome, TokenRefused, VerifiedToken, check_token,
};
use serde_json::{Value, json};

use crate::arrangement::{Arrangement, config_of};
use crate::issuer_server::{IssuerServer, document_of};
use crate::test_key::{ED25519, P256, P384, RSA, TestKey};
use crate::token_draft::{Draft, NOW, SCOPE};

const AUDIENCE_URI: &str = "https://flotilla.example/api";
/// Nobody trusts these; they have the ids of keys that are trusted.
static FOREIGN_P384: LazyLock<TestKey> = LazyLock::new(|| TestKey::p384("p384-1"));
static FOREIGN_RSA: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::rsa("rsa-1", RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
/// The keys of the second issuer.
static SECOND_P384: LazyLock<TestKey> = LazyLock::new(|| TestKey::p384("p384-1"));
static SECOND_P384_NEXT: LazyLock<TestKey> = LazyLock::new(|| TestKey::p384("p384-2"));
static SECOND_P256: LazyLock<TestKey> = LazyLock::new(|| TestKey::p256("p256-1"));

enum Expected {
    Accepted,
    /// By the check of this name, and with these words.
    Refused(&'static str, &'static str),
}

struct Case {
    name: &'static str,
    token: String,
    expected: Expected,
}

fn good(name: &'static str, token: String) -> Case {
    Case {
        name,
        token,
        expected: Expected::Accepted,
    }
}

fn bad(name: &'static str, token: String, check: &'static str, words: &'static str) -> Case {
    Case {
        name,
        token,
        expected: Expected::Refused(check, words),
    }
}

/// The first issuer has a key of each kind; the second is pinned to ES384 and has two such keys, one
/// with an id that the first has as well.
struct World {
    first: IssuerServer,
    second: IssuerServer,
    arrangement: Arrangement,
    configs: Vec<(IssuerConfig, KeySet)>,
}

impl World {
    async fn start() -> Self {
        let first_keys: [&TestKey; 4] = [&RSA, &P256, &P384, &ED25519];
        let second_keys: [&TestKey; 3] = [&SECOND_P384, &SECOND_P384_NEXT, &SECOND_P256];
        let first = IssuerServer::start(&first_keys).await;
        let second = IssuerServer::start(&second_keys).await;
        let mut first_config = config_of(&first);
        first_config.audiences.push(AUDIENCE_URI.to_owned());
        let second_config = IssuerConfig {
            algorithms: vec![Algorithm::Es384],
            principal_claim: Some("sub".to_owned()),
            token_types: vec!["at+jwt".to_owned()],
            untyped_allowed: false,
            ..config_of(&second)
        };
        let arrangement = Arrangement::start(vec![first_config.clone(), second_config.clone()]);
        let key_set = |keys: &[&TestKey]| {
            KeySet::from_json(document_of(keys).to_string().as_bytes()).unwrap()
        };
        let configs = vec![
            (first_config, key_set(&first_keys)),
            (second_config, key_set(&second_keys)),
        ];
        Self {
            first,
            second,
            arrangement,
            configs,
        }
    }

    /// A good token of the first issuer, signed with ES384 as Logto does.
    fn draft(&self) -> Draft {
        Draft::new(&self.first.issuer(), &P384)
    }

    fn second_draft(&self) -> Draft {
        Draft::new(&self.second.issuer(), &SECOND_P384)
    }

    /// A good token with other claims.
    fn with(&self, claim: &str, value: impl Into<Value>) -> String {
        self.draft().claim(claim, value).sign(&P384)
    }

    fn with_header(&self, name: &str, value: impl Into<Value>) -> String {
        self.draft().header(name, value).sign(&P384)
    }

    async fn run(&self, case: &Case) {
        let (name, token) = (case.name, case.token.as_str());
        let verified = self.arrangement.verify(token).await;
        self.assert_same_without_network(case, verified.as_deref());
        self.assert_same_explanation(case, verified.as_deref())
            .await;
        match (&case.expected, verified) {
            (Expected::Accepted, Ok(_)) => {}
            (Expected::Refused(check, words), Err(refused)) => {
                let message = refused.to_string();
                assert_eq!(refused.check().name(), *check, "{name}: {message}");
                assert!(message.contains(words), "{name}: {message}");
                assert!(!refused.is_retryable(), "{name}");
                assert_no_token(name, &message, token);
            }
            (_, verified) => panic!("{name}: {verified:?}"),
        }
    }

    fn assert_same_without_network(
        &self,
        case: &Case,
        verified: Result<&VerifiedToken, &TokenRefused>,
    ) {
        let now = self.arrangement.clock.now();
        let checked = self
            .configs
            .iter()
            .map(|(config, keys)| check_token(keys, config, &case.token, now));
        let is_other = |checked: &Result<_, TokenRefused>| {
            matches!(checked, Err(TokenRefused::UnknownIssuer { .. }))
        };
        let mut checked: Vec<_> = checked.collect();
        if checked.iter().any(|checked| !is_other(checked)) {
            checked.retain(|checked| !is_other(checked));
        }
        assert_eq!(checked[0].as_ref(), verified, "{}", case.name);
    }

    async fn assert_same_explanation(
        &self,
        case: &Case,
        verified: Result<&VerifiedToken, &TokenRefused>,
    ) {
        let findings = self.arrangement.issuers.explain(&case.token).await;
        let failed = findings
            .iter()
            .find(|found| found.outcome == Outcome::Failed);
        let expected = verified
            .err()
            .map(|refused| (refused.check(), refused.to_string()));
        let failed = failed.map(|found| (found.check, found.seen.clone()));
        assert_eq!(failed, expected, "{}", case.name);
        for finding in findings {
            assert_no_token(case.name, &finding.seen, &case.token);
        }
    }
}

/// Neither a part of the token nor anything long enough to be used as one.
fn assert_no_token(name: &str, message: &str, token: &str) {
    let parts = token.split('.').filter(|part| part.len() > 40);
    for part in parts {
        let is_there = part.get(..40).is_some_and(|start| message.contains(start));
        assert!(!is_there, "{name}: {message}");
    }
    assert!(message.chars().count() < 500, "{name}: {message}");
}

#[tokio::test]
async fn every_token_is_judged_as_the_story_says() {
    let world = World::start().await;
    world.arrangement.wait_for_keys().await;
    let chapters = [
        signatures::signatures(&world),
        algorithms::algorithms(&world),
        claims::issuers_and_audiences(&world),
        claims::times(&world),
        headers::key_ids(&world),
        headers::types(&world),
        forms::forms(&world),
        claims::callers(&world),
    ];
    let mut names = HashSet::new();
    for case in chapters.iter().flatten() {
        assert!(names.insert(case.name), "{} is told twice", case.name);
        world.run(case).await;
    }
    assert!(names.len() >= 150, "only {} cases are left", names.len());
}

#[tokio::test]
async fn a_good_token_tells_who_calls_and_what_they_may() {
    let world = World::start().await;
    let draft = world
        .draft()
        .claim("azp", "another")
        .claim("scp", json!(["a", "b c"]))
        .claim("permissions", json!(["d"]))
        .claim("long", "l".repeat(257))
        .claim("number", 1);
    let verified = world.arrangement.verify(&draft.sign(&P384)).await.unwrap();

    assert_eq!(verified.issuer, world.first.issuer());
    assert_eq!(verified.principal, "integration-7");
    assert_eq!(verified.client_id.as_deref(), Some("integration-7"));
    assert_eq!(verified.subject.as_deref(), Some("integration-7"));
    assert_eq!(verified.expires_at.as_millis(), (NOW + 3_600) * 1_000);
    assert!(verified.has_scope(SCOPE));
    let scopes: Vec<_> = verified.scopes.iter().map(String::as_str).collect();
    assert_eq!(scopes, ["a", "b", "c", "d", SCOPE]);
    let claims: Vec<_> = verified.claims.keys().map(String::as_str).collect();
    assert_eq!(
        claims,
        ["aud", "azp", "client_id", "iss", "jti", "scope", "sub"]
    );
}

#[tokio::test]
async fn no_more_claims_are_kept_than_fit() {
    let world = World::start().await;
    let draft = (0..100).fold(world.draft(), |draft, i| {
        draft.claim(&format!("c{i}"), "value")
    });
    let verified = world.arrangement.verify(&draft.sign(&P384)).await.unwrap();
    assert_eq!(verified.claims.len(), 32);
}
