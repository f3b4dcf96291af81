//! Keys of the cluster's own: who shows one is the principal of its name.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flotilla_types::limits::KEY_ID_BYTES_MAX;
use flotilla_types::{KeyName, Principal, PrincipalKind, Timestamp};

/// The part of a key that is no secret, and by which it is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key has 1 to {KEY_ID_BYTES_MAX} of A-Z, a-z, 0-9, '_' and '-'")]
pub struct KeyIdError;

/// What is kept of the secret of a key. It is not shown to people.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub name: KeyName,
    pub id: KeyId,
    pub hash: KeyHash,
    pub created_at: Timestamp,
}

/// All keys of a cluster. No two have the same name or the same id.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AccessKeys {
    by_name: BTreeMap<KeyName, Arc<AccessKey>>,
    /// Derived from `by_name`.
    by_id: BTreeMap<KeyId, Arc<AccessKey>>,
}

impl KeyId {
    pub fn parse(text: &str) -> Result<Self, KeyIdError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let has_length = (1..=KEY_ID_BYTES_MAX).contains(&text.len());
        if !has_length || !text.chars().all(is_allowed) {
            return Err(KeyIdError);
        }
        Ok(Self(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyHash {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For whoever stores it.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it is the hash of what somebody shows. It takes as long for any.
    pub fn matches(&self, shown: &[u8; 32]) -> bool {
        let pairs = self.0.iter().zip(shown);
        pairs.fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    }
}

impl AccessKey {
    /// Who shows this key.
    pub fn principal(&self) -> Principal {
        Principal::named(PrincipalKind::Key, self.name.as_str())
            .expect("invariant: the name of a key is the name of a principal")
    }
}

impl AccessKeys {
    /// By name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &AccessKey> {
        self.by_name.values().map(|key| &**key)
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn named(&self, name: &KeyName) -> Option<&AccessKey> {
        self.by_name.get(name).map(|key| &**key)
    }

    /// The key of this id, whose secret is yet to be proven.
    pub fn with_id(&self, id: &str) -> Option<&AccessKey> {
        self.by_id.get(id).map(|key| &**key)
    }

    /// Says whether neither its name nor its id was taken; otherwise nothing happens.
    pub fn add(&mut self, key: AccessKey) -> bool {
        let is_taken = self.by_name.contains_key(&key.name) || self.by_id.contains_key(&key.id);
        if !is_taken {
            let key = Arc::new(key);
            self.by_id.insert(key.id.clone(), key.clone());
            self.by_name.insert(key.name.clone(), key);
        }
        !is_taken
    }

    /// Says whether it was there.
    pub fn remove(&mut self, name: &KeyName) -> bool {
        let key = self.by_name.remove(name);
        if let Some(key) = &key {
            self.by_id.remove(&key.id);
        }
        key.is_some()
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
