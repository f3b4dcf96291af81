//! Tokens that were found to be good, so that their signatures are not checked with each request.
//!
//! Only good tokens come in, so strangers can neither fill this nor push anything out. What is in
//! here is still judged by the time, and by whether its issuer's keys are the same and count.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::verified_token::VerifiedToken;

/// Most tokens of one generation. There are two.
const GENERATION_TOKENS_MAX: usize = 5_000;
/// Most bytes that the tokens of one generation had. What is kept of a token is about as large.
const GENERATION_BYTES_MAX: usize = 8 << 20;

/// The hash of a token. Whoever can read the memory finds no token to use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.as_ref());
        Self(bytes)
    }
}

#[derive(Clone)]
pub(crate) struct GoodToken {
    pub(crate) contents: Arc<VerifiedToken>,
    /// Which of the issuers vouched for it.
    pub(crate) issuer_index: usize,
    /// The version of the keys that it was checked with.
    pub(crate) keys_version: u64,
    /// Length of the token, in bytes.
    pub(crate) token_bytes: usize,
}

/// Two generations: what is used moves to the young one, and when that is full the old one goes. So
/// what is used stays, at the cost of two look-ups and no list.
#[derive(Default)]
pub(crate) struct TokenCache {
    young: HashMap<TokenHash, GoodToken>,
    young_bytes: usize,
    old: HashMap<TokenHash, GoodToken>,
}

impl TokenCache {
    pub(crate) fn get(&mut self, hash: TokenHash) -> Option<GoodToken> {
        if let Some(found) = self.young.get(&hash) {
            return Some(found.clone());
        }
        let found = self.old.remove(&hash)?;
        self.insert(hash, found.clone());
        Some(found)
    }

    pub(crate) fn insert(&mut self, hash: TokenHash, token: GoodToken) {
        let is_full = self.young.len() == GENERATION_TOKENS_MAX
            || self.young_bytes + token.token_bytes > GENERATION_BYTES_MAX;
        if is_full {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += token.token_bytes;
        if let Some(before) = self.young.insert(hash, token) {
            self.young_bytes -= before.token_bytes;
        }
    }

    pub(crate) fn remove(&mut self, hash: TokenHash) {
        self.old.remove(&hash);
        if let Some(before) = self.young.remove(&hash) {
            self.young_bytes -= before.token_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use flotilla_types::Timestamp;

    use super::*;

    fn good_token(token_bytes: usize) -> GoodToken {
        let contents = VerifiedToken {
            issuer: "i".to_owned(),
            principal: "p".to_owned(),
            subject: None,
            client_id: None,
            scopes: BTreeSet::new(),
            claims: BTreeMap::new(),
            expires_at: Timestamp::from_millis(0),
        };
        GoodToken {
            contents: Arc::new(contents),
            issuer_index: 0,
            keys_version: 0,
            token_bytes,
        }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = TokenCache::default();
        let used = TokenHash::of("used");
        cache.insert(used, good_token(1));
        for i in 0..50_000 {
            cache.insert(TokenHash::of(&i.to_string()), good_token(1_000));
            assert!(cache.get(used).is_some());
        }
        assert!(cache.get(TokenHash::of("0")).is_none());
        assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION_TOKENS_MAX);
    }

    #[test]
    fn large_tokens_are_fewer() {
        let mut cache = TokenCache::default();
        for i in 0..10_000 {
            cache.insert(TokenHash::of(&i.to_string()), good_token(8 << 10));
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * 1_024);
    }

    #[test]
    fn what_is_removed_is_gone_and_counts_no_more() {
        let mut cache = TokenCache::default();
        let hash = TokenHash::of("a");
        cache.insert(hash, good_token(7));
        cache.insert(hash, good_token(9));
        assert_eq!(cache.young_bytes, 9);
        cache.remove(hash);
        assert!(cache.get(hash).is_none());
        assert_eq!(cache.young_bytes, 0);
    }
}
