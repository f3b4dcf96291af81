//! The public keys of an issuer, as it publishes them (RFC 7517).

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::refused::TokenRefused;
use crate::shown::{OrMissing, Shown};
use crate::strict_json::{JsonFault, Members, parse_object};
use crate::unverified_token::UnverifiedToken;

/// Most keys in one document. Issuers have two or three.
const KEYS_MAX: usize = 100;
/// Longest id of a key, in bytes.
pub(crate) const KEY_ID_BYTES_MAX: usize = 256;
/// Sizes of RSA keys in bits (RFC 7518, section 3.3, has the smallest).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Longest exponent of an RSA key, in bytes. The usual one has 3.
const RSA_EXPONENT_BYTES_MAX: usize = 4;

/// Keys that signatures can be checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<SigningKey>,
    skipped: usize,
}

/// Why a document gives no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("the key document is not a JSON object with an array of keys")]
    NotAKeySet,
    #[error("{name} stands more than once in an object of the key document")]
    Duplicate { name: Shown },
    #[error("the key document has {count} keys, at most {KEYS_MAX} are taken")]
    TooManyKeys { count: usize },
    #[error("none of the {count} keys in the document can be used")]
    NoUsableKey { count: usize },
}

/// A key, and the one algorithm that it is for: which one follows from the key and never from a
/// token (RFC 8725, section 3.1).
#[derive(Clone)]
pub(crate) struct SigningKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    /// The bytes of the key: two documents with the same ones have the same keys.
    bytes: Vec<u8>,
}

impl KeySet {
    /// Reads a document with keys. Those that are for something else, of an unknown kind, secret,
    /// weak or damaged are left out, as RFC 7517 (section 5) wants it.
    ///
    /// # Errors
    ///
    /// The document as a whole cannot be used, or nothing is left of it.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
        let members = parse_object(json).map_err(|fault| match fault {
            JsonFault::NotAnObject => KeySetError::NotAKeySet,
            JsonFault::Duplicate(name) => KeySetError::Duplicate { name },
        })?;
        let Some(Value::Array(entries)) = members.get("keys") else {
            return Err(KeySetError::NotAKeySet);
        };
        let count = entries.len();
        if count > KEYS_MAX {
            return Err(KeySetError::TooManyKeys { count });
        }
        let mut keys: Vec<SigningKey> = Vec::new();
        for entry in entries {
            let Some(key) = entry.as_object().and_then(SigningKey::from_members) else {
                continue;
            };
            // The first of two keys that a token could not tell apart.
            let is_known = |other: &SigningKey| other.id == key.id && key.id.is_some();
            let is_same = |other: &SigningKey| is_known(other) && other.algorithm == key.algorithm;
            if !keys.iter().any(is_same) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey { count });
        }
        let skipped = count - keys.len();
        Ok(Self { keys, skipped })
    }

    /// Keys that can be used: at least one.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Keys of the document that were left out.
    pub fn skipped_count(&self) -> usize {
        self.skipped
    }

    /// Finds the key that a token names. One that names none is taken to mean the only key for its
    /// algorithm, if it is the only one.
    pub(crate) fn find(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&SigningKey, TokenRefused> {
        let fits = |key: &&SigningKey| {
            let is_meant = key_id.is_none() || key.id.as_deref() == key_id;
            is_meant && key.algorithm == algorithm
        };
        let mut candidates = self.keys.iter().filter(fits);
        match (candidates.next(), candidates.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(TokenRefused::UnknownKey {
                key_id: key_id.map(Shown::new),
                algorithm: algorithm.name(),
            }),
        }
    }
}

impl SigningKey {
    pub(crate) fn check_signature(&self, token: &UnverifiedToken<'_>) -> Result<(), TokenRefused> {
        let message = token.message.as_bytes();
        let algorithm = self.algorithm.of_library();
        match jsonwebtoken::crypto::verify(token.signature, message, &self.key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(TokenRefused::BadSignature {
                key_id: self.id.as_deref().map(Shown::new),
            }),
        }
    }

    fn from_members(members: &Members) -> Option<Self> {
        let id = text(members, "kid");
        if id.is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) || !is_for_signatures(members) {
            return None;
        }
        let (algorithm, key, bytes) = match (text(members, "kty")?, text(members, "crv")) {
            ("RSA", _) => rsa(members)?,
            ("EC", Some("P-256")) => elliptic(members, Algorithm::Es256)?,
            ("EC", Some("P-384")) => elliptic(members, Algorithm::Es384)?,
            ("OKP", Some("Ed25519")) => edwards(members)?,
            // Among the others are symmetric keys. Whoever publishes one lets everybody sign.
            _ => return None,
        };
        // A key for one of the other RSA algorithms is not for this one.
        if text(members, "alg").is_some_and(|name| name != algorithm.name()) {
            return None;
        }
        Some(Self {
            id: id.map(str::to_owned),
            algorithm,
            key,
            bytes,
        })
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, self.algorithm, &self.bytes) == (&other.id, other.algorithm, &other.bytes)
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_deref().map(Shown::new);
        write!(f, "{} {}", self.algorithm, OrMissing(&id))
    }
}

type Key = (Algorithm, DecodingKey, Vec<u8>);

fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

fn bytes(members: &Members, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(members, name)?).ok()
}

/// Both members are optional (RFC 7517, sections 4.2 and 4.3), and `"use": "enc"` means what it says.
fn is_for_signatures(members: &Members) -> bool {
    let is_use = members.get("use").is_none_or(|value| value == "sig");
    let is_operation = members.get("key_ops").is_none_or(|value| {
        let mut operations = value.as_array().into_iter().flatten();
        operations.any(|operation| operation == "verify")
    });
    is_use && is_operation
}

fn rsa(members: &Members) -> Option<Key> {
    let modulus = without_leading_zeros(bytes(members, "n")?);
    let exponent = without_leading_zeros(bytes(members, "e")?);
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    // With the exponent 1 everything is its own signature.
    let is_sound = RSA_BITS.contains(&bits)
        && (1..=RSA_EXPONENT_BYTES_MAX).contains(&exponent.len())
        && exponent != [1]
        && is_odd(&modulus)
        && is_odd(&exponent);
    let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
    let bytes = [modulus, exponent].concat();
    is_sound.then_some((Algorithm::Rs256, key, bytes))
}

fn elliptic(members: &Members, algorithm: Algorithm) -> Option<Key> {
    let (coordinate_bytes, verification) = match algorithm {
        Algorithm::Es256 => (32, &ECDSA_P256_SHA256_FIXED),
        Algorithm::Es384 => (48, &ECDSA_P384_SHA384_FIXED),
        Algorithm::Rs256 | Algorithm::EdDsa => return None,
    };
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return None;
    }
    let point = [&[0x04], x.as_slice(), y.as_slice()].concat();
    // A point that is not on the curve would only be found by the first token.
    ParsedPublicKey::new(verification, &point).ok()?;
    let key = DecodingKey::from_ec_components(text(members, "x")?, text(members, "y")?).ok()?;
    Some((algorithm, key, point))
}

fn edwards(members: &Members) -> Option<Key> {
    let point = bytes(members, "x").filter(|point| point.len() == 32)?;
    ParsedPublicKey::new(&ED25519, &point).ok()?;
    let key = DecodingKey::from_ed_components(text(members, "x")?).ok()?;
    Some((Algorithm::EdDsa, key, point))
}

fn without_leading_zeros(number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec()
}
