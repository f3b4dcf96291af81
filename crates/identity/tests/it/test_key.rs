//! Keys of issuers, and of those who would like to be one.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key pair with the id by which its issuer publishes it.
pub(crate) struct TestKey {
    pub(crate) id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Making RSA keys takes a while, so the tests share these.
pub(crate) static RSA: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::rsa("rsa-1", RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(crate) static P256: LazyLock<TestKey> = LazyLock::new(|| TestKey::p256("p256-1"));
pub(crate) static P384: LazyLock<TestKey> = LazyLock::new(|| TestKey::p384("p384-1"));
pub(crate) static ED25519: LazyLock<TestKey> = LazyLock::new(|| TestKey::ed25519("ed-1"));

impl TestKey {
    pub(crate) fn rsa(id: &str, pair: RsaKeyPair) -> Self {
        Self::new(id, Pair::Rsa(pair))
    }

    pub(crate) fn p256(id: &str) -> Self {
        Self::new(id, Pair::P256(elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING)))
    }

    pub(crate) fn p384(id: &str) -> Self {
        Self::new(id, Pair::P384(elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING)))
    }

    pub(crate) fn ed25519(id: &str) -> Self {
        Self::new(id, Pair::Ed25519(Ed25519KeyPair::generate().unwrap()))
    }

    fn new(id: &str, pair: Pair) -> Self {
        let id = id.to_owned();
        Self { id, pair }
    }

    /// The algorithm as tokens name it.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as the issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let point = |pair: &EcdsaKeyPair, bytes: usize| {
            let point = pair.public_key().as_ref()[1..].to_vec();
            (encoded(&point[..bytes]), encoded(&point[bytes..]))
        };
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": encoded(&parts.n), "e": encoded(&parts.e)})
            }
            Pair::P256(pair) => {
                let (x, y) = point(pair, 32);
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            }
            Pair::P384(pair) => {
                let (x, y) = point(pair, 48);
                json!({"kty": "EC", "crv": "P-384", "x": x, "y": y})
            }
            Pair::Ed25519(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x})
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }
}

impl fmt::Debug for TestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), self.id)
    }
}

pub(crate) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn elliptic(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}
