//! Documents with keys: which ones are taken, and which are left out.

use flotilla_identity::{IssuerConfig, KeySet, KeySetError, TokenRefused, check_token};
use flotilla_types::Timestamp;
use serde_json::{Value, json};

use crate::test_key::{ED25519, P256, P384, RSA, TestKey, encoded};
use crate::token_draft::{AUDIENCE, Draft, NOW};

const ISSUER: &str = "https://logto.example/oidc";

fn read(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::from_json(json!({ "keys": keys }).to_string().as_bytes())
}

fn changed(key: &TestKey, name: &str, value: Value) -> Value {
    let mut jwk = key.jwk();
    jwk[name] = value;
    jwk
}

fn without(key: &TestKey, name: &str) -> Value {
    let mut jwk = key.jwk();
    jwk.as_object_mut().unwrap().remove(name);
    jwk
}

fn verifies(keys: &KeySet, draft: &Draft, key: &TestKey) -> Result<(), TokenRefused> {
    let config = IssuerConfig::new(ISSUER, &[AUDIENCE]);
    let now = Timestamp::from_millis(NOW * 1_000);
    check_token(keys, &config, &draft.sign(key), now).map(drop)
}

#[test]
fn keys_that_are_for_something_else_or_unsound_are_left_out() {
    let one = encoded(&[1]);
    let left_out = [
        ("for encryption", changed(&P384, "use", json!("enc"))),
        ("use of another type", changed(&P384, "use", json!(1))),
        (
            "for other operations",
            changed(&P384, "key_ops", json!(["encrypt"])),
        ),
        (
            "for another algorithm",
            changed(&RSA, "alg", json!("RS512")),
        ),
        (
            "RSA for encryption by its alg",
            changed(&RSA, "alg", json!("RSA-OAEP")),
        ),
        (
            "of another curve than its bytes",
            changed(&P256, "crv", json!("P-384")),
        ),
        ("P-521", changed(&P384, "crv", json!("P-521"))),
        ("secp256k1", changed(&P256, "crv", json!("secp256k1"))),
        ("X25519", changed(&ED25519, "crv", json!("X25519"))),
        ("of an unknown kind", changed(&P384, "kty", json!("PQ"))),
        (
            "symmetric",
            json!({"kty": "oct", "kid": "hs", "k": one, "alg": "HS256"}),
        ),
        ("without a kind", without(&P384, "kty")),
        ("without a coordinate", without(&P384, "y")),
        (
            "not on its curve",
            changed(&P384, "x", json!(encoded(&[7; 48]))),
        ),
        (
            "with short coordinates",
            changed(&P384, "x", json!(encoded(&[7; 47]))),
        ),
        (
            "with padding",
            changed(&ED25519, "x", json!(format!("{}=", encoded(&[7; 32])))),
        ),
        (
            "with a short point",
            changed(&ED25519, "x", json!(encoded(&[7; 31]))),
        ),
        (
            "RSA of 1,024 bits",
            changed(&RSA, "n", json!(encoded(&[0xff; 128]))),
        ),
        (
            "RSA of 2,040 bits",
            changed(&RSA, "n", json!(encoded(&[0xff; 255]))),
        ),
        (
            "RSA of 2,040 bits with zeros before them",
            changed(
                &RSA,
                "n",
                json!(encoded(&[vec![0; 8], vec![0xff; 255]].concat())),
            ),
        ),
        (
            "RSA of 16,384 bits",
            changed(&RSA, "n", json!(encoded(&[0xff; 2_048]))),
        ),
        (
            "RSA with an even modulus",
            changed(&RSA, "n", json!(encoded(&[0xfe; 256]))),
        ),
        ("RSA with the exponent 1", changed(&RSA, "e", json!(one))),
        (
            "RSA with an even exponent",
            changed(&RSA, "e", json!(encoded(&[1, 0, 0]))),
        ),
        (
            "RSA with a long exponent",
            changed(&RSA, "e", json!(encoded(&[1; 16]))),
        ),
        ("RSA without an exponent", changed(&RSA, "e", json!(""))),
        (
            "RSA of zeros",
            changed(&RSA, "n", json!(encoded(&[0; 256]))),
        ),
        (
            "with a long id",
            changed(&P384, "kid", json!("k".repeat(257))),
        ),
        ("a text", json!("key")),
        ("nothing", Value::Null),
    ];
    for (what, jwk) in left_out {
        let alone = read(std::slice::from_ref(&jwk));
        assert_eq!(alone, Err(KeySetError::NoUsableKey { count: 1 }), "{what}");
        let beside = read(&[jwk, changed(&P256, "kid", json!("good"))]).unwrap();
        assert_eq!((beside.count(), beside.skipped_count()), (1, 1), "{what}");
    }
}

#[test]
fn what_is_optional_may_be_missing() {
    for name in ["use", "alg", "kid"] {
        for key in [&*RSA, &P256, &P384, &ED25519] {
            assert_eq!(read(&[without(key, name)]).unwrap().count(), 1, "{name}");
        }
    }
    let operations = changed(&P384, "key_ops", json!(["sign", "verify"]));
    assert_eq!(read(&[operations]).unwrap().count(), 1);
}

#[test]
fn a_key_without_an_id_is_only_for_tokens_without_one() {
    let keys = read(&[without(&P384, "kid"), P256.jwk()]).unwrap();
    let draft = Draft::new(ISSUER, &P384);
    let named = verifies(&keys, &draft, &P384).unwrap_err();
    assert!(matches!(named, TokenRefused::UnknownKey { .. }), "{named}");
    verifies(&keys, &draft.without_header("kid"), &P384).unwrap();
}

#[test]
fn the_first_of_two_keys_with_one_id_and_algorithm_counts() {
    let other = TestKey::p384(&P384.id);
    let keys = read(&[
        P384.jwk(),
        other.jwk(),
        changed(&P256, "kid", json!(P384.id)),
    ])
    .unwrap();
    assert_eq!(keys.count(), 2);
    let draft = Draft::new(ISSUER, &P384);
    verifies(&keys, &draft, &P384).unwrap();
    let refused = verifies(&keys, &draft, &other).unwrap_err();
    assert!(
        matches!(refused, TokenRefused::BadSignature { .. }),
        "{refused}"
    );
}

#[test]
fn an_rsa_modulus_may_have_zeros_before_it() {
    use base64::Engine as _;
    let jwk = RSA.jwk();
    let modulus = jwk["n"].as_str().unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let padded = [vec![0], engine.decode(modulus).unwrap()].concat();
    let keys = read(&[changed(&RSA, "n", json!(encoded(&padded)))]).unwrap();
    verifies(&keys, &Draft::new(ISSUER, &RSA), &RSA).unwrap();
    assert_eq!(keys, read(&[jwk]).unwrap(), "it is the same key");
}

#[test]
fn documents_that_are_no_key_sets_are_refused() {
    for text in [
        "",
        "[]",
        "{}",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":[}",
        "<html>",
        "\u{feff}{}",
    ] {
        assert_eq!(
            KeySet::from_json(text.as_bytes()),
            Err(KeySetError::NotAKeySet),
            "{text}"
        );
    }
    let bomb = format!("{{\"keys\":{}", "[".repeat(100_000));
    assert_eq!(
        KeySet::from_json(bomb.as_bytes()),
        Err(KeySetError::NotAKeySet)
    );
    let twice = format!("{{\"keys\":[],\"keys\":[{}]}}", P384.jwk());
    let found = KeySet::from_json(twice.as_bytes()).unwrap_err();
    assert!(
        found.to_string().contains("\"keys\" stands more than once"),
        "{found}"
    );
    let inside = P384.jwk().to_string().replacen('{', "{\"kid\":\"x\",", 1);
    let found = KeySet::from_json(format!("{{\"keys\":[{inside}]}}").as_bytes()).unwrap_err();
    assert!(found.to_string().contains("\"kid\""), "{found}");
}

#[test]
fn no_more_keys_are_read_than_an_issuer_could_need() {
    let keys = |count: usize| {
        let ids = (0..count).map(|i| changed(&P384, "kid", json!(format!("k{i}"))));
        read(&ids.collect::<Vec<_>>())
    };
    assert_eq!(keys(100).unwrap().count(), 100);
    assert_eq!(keys(101), Err(KeySetError::TooManyKeys { count: 101 }));
}
