//! Whatever comes as a token or as a document with keys: nothing panics, and nothing but the token
//! that the issuer signed is accepted.

use std::sync::LazyLock;

use flotilla_identity::{ApiKey, IssuerConfig, KeySet, VerifiedToken, check_token};
use flotilla_types::Timestamp;
use jsonwebtoken as jwt;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::issuer_server::document_of;
use crate::test_key::{ED25519, P256, P384, RSA, TestKey};
use crate::token_draft::{AUDIENCE, Draft, NOW, sign_texts};

const ISSUER: &str = "https://logto.example/oidc";

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let document = document_of(&[&RSA, &P256, &P384, &ED25519]);
    KeySet::from_json(document.to_string().as_bytes()).unwrap()
});

fn check(token: &str) -> Option<VerifiedToken> {
    let config = IssuerConfig::new(ISSUER, &[AUDIENCE]);
    check_token(&KEYS, &config, token, Timestamp::from_millis(NOW * 1_000)).ok()
}

fn good_token(key: &TestKey) -> String {
    Draft::new(ISSUER, key).sign(key)
}

fn any_key() -> impl Strategy<Value = &'static TestKey> {
    prop_oneof![Just(&*RSA), Just(&*P256), Just(&*P384), Just(&*ED25519)]
}

/// JSON of any shape, as deep as a token can sensibly have it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,5}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

const CLAIMS: [&str; 12] = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sub",
    "client_id",
    "azp",
    "scope",
    "scp",
    "permissions",
    "x",
];
const HEADERS: [&str; 6] = ["alg", "typ", "kid", "crit", "jwk", "x"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_token_with_one_changed_character_is_refused(
        key in any_key(),
        at in any::<prop::sample::Index>(),
        with in any::<char>(),
    ) {
        let token = good_token(key);
        let at = at.index(token.len());
        prop_assume!(!token[at..].starts_with(with));
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        prop_assert!(check(&token).is_some());
        prop_assert!(check(&changed).is_none(), "{changed}");
    }

    #[test]
    fn a_token_with_one_other_ascii_character_is_refused(
        key in any_key(),
        at in any::<prop::sample::Index>(),
        with in prop::char::range('\0', '\x7f'),
    ) {
        let token = good_token(key);
        let at = at.index(token.len());
        prop_assume!(!token[at..].starts_with(with));
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        prop_assert!(check(&changed).is_none(), "{changed}");
    }

    #[test]
    fn a_token_that_is_cut_or_goes_on_is_refused(
        key in any_key(),
        at in any::<prop::sample::Index>(),
        more in ".{1,20}",
    ) {
        let token = good_token(key);
        let at = at.index(token.len());
        prop_assert!(check(&token[..at]).is_none());
        prop_assert!(check(&token[at..]).is_none() || at == 0);
        let longer = format!("{token}{more}");
        prop_assert!(check(&longer).is_none());
    }

    #[test]
    fn any_text_is_refused(text in ".*", parts in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
        prop_assert!(check(&text).is_none());
        prop_assert!(check(&parts).is_none());
        prop_assert!(ApiKey::parse(&text).is_err());
    }

    #[test]
    fn any_signed_claims_are_judged_and_what_is_accepted_is_sound(
        claim in prop::sample::select(&CLAIMS[..]),
        header in prop::sample::select(&HEADERS[..]),
        value in any_json(),
        header_value in prop::option::of(any_json()),
    ) {
        let mut draft = Draft::new(ISSUER, &ED25519).claim(claim, value);
        if let Some(value) = header_value {
            draft = draft.header(header, value);
        }
        let verified = check(&draft.sign(&ED25519));
        if let Some(verified) = verified {
            prop_assert_eq!(verified.issuer, ISSUER);
            prop_assert!((1..=256).contains(&verified.principal.len()));
            prop_assert!(verified.expires_at.as_millis() > (NOW - 60) * 1_000);
            prop_assert!(!draft.header.as_object().unwrap().contains_key("crit"));
        }
    }

    #[test]
    fn any_signed_text_is_judged(header in ".*", claims in ".*") {
        prop_assert!(check(&sign_texts(&header, &claims, &ED25519)).is_none());
    }

    #[test]
    fn any_document_is_read_or_refused(document in any_json(), keys in prop::collection::vec(any_json(), 0..5)) {
        let _ = KeySet::from_json(document.to_string().as_bytes());
        let _ = KeySet::from_json(json!({ "keys": keys }).to_string().as_bytes());
    }

    #[test]
    fn any_member_of_a_key_may_be_anything(
        key in any_key(),
        name in prop::sample::select(&["kty", "crv", "kid", "use", "alg", "key_ops", "x", "y", "n", "e"][..]),
        value in any_json(),
    ) {
        let mut jwk = key.jwk();
        jwk[name] = value;
        let read = KeySet::from_json(json!({ "keys": [jwk] }).to_string().as_bytes());
        if let Ok(keys) = read {
            prop_assert_eq!(keys.count(), 1);
        }
    }
}

/// The library judges tokens by rules of its own. Where it refuses one, so do we; the other way
/// round we are stricter.
#[test]
fn what_is_accepted_here_is_accepted_by_another_reader() {
    let mut validation = jwt::Validation::new(jwt::Algorithm::ES384);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.validate_exp = false;
    let jwk: jwt::jwk::Jwk = serde_json::from_value(P384.jwk()).unwrap();
    let key = jwt::DecodingKey::from_jwk(&jwk).unwrap();
    let draft = Draft::new(ISSUER, &P384);
    let drafts = [
        draft.clone(),
        draft.clone().claim("aud", json!(["a", AUDIENCE])),
        draft.clone().claim("aud", "a"),
        draft.clone().claim("iss", "a"),
        draft.clone().without_claim("aud"),
        draft.clone().header("alg", "ES256"),
        draft.header("typ", "JWT"),
    ];
    let mut accepted = 0;
    for draft in drafts {
        let token = draft.sign(&P384);
        if check(&token).is_some() {
            accepted += 1;
            jwt::decode::<Value>(&token, &key, &validation).unwrap();
        }
    }
    assert_eq!(accepted, 3);
}
