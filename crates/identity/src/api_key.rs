//! API keys: for callers that have no issuer.

use std::fmt;

use aws_lc_rs::{constant_time, digest, rand};
use zeroize::Zeroizing;

const PREFIX: &str = "flk_";
const ID_CHARS: usize = 10;
/// 43 characters out of 62 are a little more than 256 bits.
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const TEXT_BYTES: usize = PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;

/// Without the digits that look like letters.
const ID_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const SECRET_ALPHABET: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key as its owner has it: `flk_<id>_<secret>`, where the secret ends with a checksum that tells
/// a typing error from a key that is not known. The prefix lets scanners find keys in places where
/// they should not be. Its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct ApiKey {
    text: Zeroizing<String>,
}

/// The public part of a key: ten lower-case letters and digits. It finds the key and proves nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ApiKeyId(String);

/// What is kept of a key: SHA-256 of its text. The secret has 256 bits of chance, so nobody can try
/// them all, and a hash that is slow on purpose would only make each request slow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyHash([u8; 32]);

/// Why a text is not an API key. It says nothing of whether anybody knows the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    #[error("this is not an API key: those begin with {PREFIX} and have {TEXT_BYTES} characters")]
    NotAnApiKey,
    #[error("the API key is mistyped: its checksum does not fit")]
    Mistyped,
}

impl ApiKey {
    /// Makes a new key. Only its hash is to be kept; the key itself is shown to its owner once.
    ///
    /// # Panics
    ///
    /// Panics if the system has no randomness to give.
    pub fn generate() -> (Self, ApiKeyHash) {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        text.push_str(PREFIX);
        push_random(&mut text, ID_ALPHABET, ID_CHARS);
        text.push('_');
        push_random(&mut text, SECRET_ALPHABET, SECRET_CHARS);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        let key = Self { text };
        let hash = key.hash();
        (key, hash)
    }

    /// # Errors
    ///
    /// The text has another form, or its checksum does not fit.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let rest = text.strip_prefix(PREFIX);
        let parts = rest.and_then(|rest| rest.split_once('_'));
        let (id, secret) = parts.ok_or(ApiKeyError::NotAnApiKey)?;
        let is_of = |part: &str, alphabet: &[u8]| part.bytes().all(|b| alphabet.contains(&b));
        if text.len() != TEXT_BYTES
            || id.len() != ID_CHARS
            || !is_of(id, ID_ALPHABET)
            || !is_of(secret, SECRET_ALPHABET)
        {
            return Err(ApiKeyError::NotAnApiKey);
        }
        let (key, sum) = text.split_at(TEXT_BYTES - CHECKSUM_CHARS);
        if checksum(key) != sum {
            return Err(ApiKeyError::Mistyped);
        }
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
        })
    }

    pub fn id(&self) -> ApiKeyId {
        ApiKeyId(self.text[PREFIX.len()..PREFIX.len() + ID_CHARS].to_owned())
    }

    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(sha256(self.text.as_bytes()))
    }

    /// The key as a text, secret and all: for its owner's eyes.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({PREFIX}{}_…)", self.id())
    }
}

impl ApiKeyId {
    /// Reads an id that was kept.
    ///
    /// # Errors
    ///
    /// It has another form.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        if text.len() == ID_CHARS && text.bytes().all(|b| ID_ALPHABET.contains(&b)) {
            return Ok(Self(text.to_owned()));
        }
        Err(ApiKeyError::NotAnApiKey)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ApiKeyHash {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the hash of `key`, in a time that does not depend on how much of it fits.
    #[must_use]
    pub fn verify(&self, key: &ApiKey) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &key.hash().0).is_ok()
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash(…)")
    }
}

/// Draws characters that are all equally likely: a byte beyond the last whole alphabet is drawn again.
fn push_random(text: &mut String, alphabet: &[u8], count: usize) {
    let end = 256 - 256 % alphabet.len();
    let mut missing = count;
    while missing > 0 {
        let mut bytes = Zeroizing::new([0; 64]);
        rand::fill(bytes.as_mut()).expect("the system has randomness to give");
        let drawn = bytes.iter().map(|byte| usize::from(*byte));
        for index in drawn.filter(|index| *index < end).take(missing) {
            text.push(char::from(alphabet[index % alphabet.len()]));
            missing -= 1;
        }
    }
}

/// Finds every typing error but one in a billion. It adds nothing to the secret and tells nothing of
/// it to anybody who does not have all of it.
fn checksum(key: &str) -> String {
    let hash = sha256(format!("flotilla api key {key}").as_bytes());
    let hash = hash[..CHECKSUM_CHARS].iter();
    let characters = hash.map(|byte| ID_ALPHABET[usize::from(byte % 32)]);
    characters.map(char::from).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_alone() {
        let (key, hash) = ApiKey::generate();
        let (other, _) = ApiKey::generate();
        let kept = ApiKeyHash::from_bytes(*hash.as_bytes());
        let parsed = ApiKey::parse(key.reveal()).unwrap();
        assert!(kept.verify(&parsed));
        assert!(!kept.verify(&other));
        assert_eq!(parsed.id(), key.id());
        assert_eq!(ApiKeyId::parse(key.id().as_str()), Ok(key.id()));
    }

    #[test]
    fn the_form_is_fixed() {
        let (key, _) = ApiKey::generate();
        let text = key.reveal();
        assert_eq!(text.len(), 64);
        assert!(text.starts_with(&format!("flk_{}_", key.id())));
        assert!(text.is_ascii());
    }

    #[test]
    fn keys_are_never_the_same_and_use_all_characters() {
        let keys: Vec<_> = (0..500).map(|_| ApiKey::generate().0).collect();
        let ids: HashSet<_> = keys.iter().map(ApiKey::id).collect();
        assert_eq!(ids.len(), keys.len());
        let secrets = keys.iter().map(|key| &key.reveal()[15..58]);
        let used: HashSet<char> = secrets.flat_map(str::chars).collect();
        assert_eq!(used.len(), SECRET_ALPHABET.len());
    }

    #[test]
    fn every_mistyped_character_is_told_from_an_unknown_key() {
        let (key, _) = ApiKey::generate();
        for at in 0..TEXT_BYTES {
            let mut text = key.reveal().to_owned().into_bytes();
            text[at] = if text[at] == b'a' { b'b' } else { b'a' };
            let mistyped = String::from_utf8(text).unwrap();
            let refused = ApiKey::parse(&mistyped).unwrap_err();
            let is_form = at < PREFIX.len() || at == PREFIX.len() + ID_CHARS;
            assert_eq!(refused == ApiKeyError::NotAnApiKey, is_form, "{at}");
        }
    }

    #[test]
    fn anything_else_is_not_a_key() {
        let (key, _) = ApiKey::generate();
        let long = "flk_".repeat(10_000);
        let spaced = format!(" {}", key.reveal());
        let upper = key.reveal().replace("flk_", "FLK_");
        for text in [
            "",
            "flk_",
            "flk__",
            "eyJhbGciOiJub25lIn0.e30.",
            "é",
            &long,
            &spaced,
            &upper,
        ] {
            assert_eq!(ApiKey::parse(text).unwrap_err(), ApiKeyError::NotAnApiKey);
        }
        assert!(ApiKeyId::parse("ABCDEFGHIJ").is_err());
    }

    #[test]
    fn debug_texts_have_no_secret_in_them() {
        let (key, hash) = ApiKey::generate();
        let shown = format!("{key:?} {hash:?}");
        assert!(shown.contains(key.id().as_str()));
        assert!(!shown.contains(&key.reveal()[15..20]));
    }
}
