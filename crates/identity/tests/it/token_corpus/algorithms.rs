//! Algorithms that a token would like to be checked with.

use jsonwebtoken as jwt;
use serde_json::json;

use super::{Case, SECOND_P256, SECOND_P384, World, bad, good};
use crate::test_key::{ED25519, P384, RSA};
use crate::token_draft::{Draft, message_of};

pub(super) fn algorithms(world: &World) -> Vec<Case> {
    let draft = world.draft();
    let named = |name: &str| draft.clone().header("alg", name);
    let not = |name, token| bad(name, token, "algorithm", "are not accepted");
    let issuer = world.first.issuer();
    let hmac = |secret: &[u8]| {
        let draft = Draft::new(&issuer, &RSA).header("alg", "HS256");
        let message = message_of(&draft.header.to_string(), &draft.claims.to_string());
        let key = jwt::EncodingKey::from_secret(secret);
        let signature = jwt::crypto::sign(message.as_bytes(), &key, jwt::Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    let modulus = RSA.jwk()["n"].as_str().unwrap().to_owned();
    vec![
        not(
            "alg none without signature",
            named("none").with_signature(""),
        ),
        not("alg none with a signature", named("none").sign(&P384)),
        not("alg None", named("None").with_signature("")),
        not("alg nOnE", named("nOnE").with_signature("")),
        not("alg NONE", named("NONE").sign(&P384)),
        not("alg in lower case", named("es384").sign(&P384)),
        not("alg with a space", named("ES384 ").sign(&P384)),
        not("alg empty", named("").sign(&P384)),
        not(
            "HS256 with the public key as its secret",
            hmac(RSA.jwk().to_string().as_bytes()),
        ),
        not(
            "HS256 with the modulus as its secret",
            hmac(modulus.as_bytes()),
        ),
        not(
            "HS256 with the key in PEM as its secret",
            hmac(&pem_of(&modulus)),
        ),
        not("HS256 with an empty secret", hmac(b"")),
        not(
            "RS384, which nobody is configured for",
            named("RS384").sign(&RSA),
        ),
        not(
            "PS256, which nobody is configured for",
            named("PS256").sign(&RSA),
        ),
        not("ES512, which is not known", named("ES512").sign(&P384)),
        bad(
            "alg missing",
            draft.clone().without_header("alg").sign(&P384),
            "algorithm",
            "alg",
        ),
        bad(
            "alg as a number",
            draft.clone().header("alg", 384).sign(&P384),
            "algorithm",
            "alg",
        ),
        bad(
            "alg as an array",
            draft.clone().header("alg", json!(["ES384"])).sign(&P384),
            "algorithm",
            "alg",
        ),
        // The key decides, so there is no ES256 key of that id, and no ES384 key of the other.
        bad(
            "alg of another curve",
            named("ES256").sign(&P384),
            "key",
            "no key \"p384-1\" for ES256",
        ),
        bad(
            "alg of another family",
            named("RS256").sign(&RSA),
            "key",
            "for RS256",
        ),
        bad(
            "RSA key as an EdDSA key",
            Draft::new(&issuer, &RSA)
                .header("alg", "EdDSA")
                .sign(&ED25519),
            "key",
            "for EdDSA",
        ),
        bad(
            "ES256 where only ES384 is configured",
            Draft::new(&world.second.issuer(), &SECOND_P256).sign(&SECOND_P256),
            "algorithm",
            "\"ES256\" are not accepted, only ES384",
        ),
        good(
            "ES384 where only that is configured",
            world.second_draft().sign(&SECOND_P384),
        ),
    ]
}

fn pem_of(modulus: &str) -> Vec<u8> {
    format!("-----BEGIN PUBLIC KEY-----\n{modulus}\n-----END PUBLIC KEY-----\n").into_bytes()
}
