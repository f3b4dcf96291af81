//! Access rules and keys as bytes, in images and in commands. A rule is its text.

use std::sync::Arc;

use flotilla_types::limits::{ACCESS_RULES_MAX, KEYS_MAX};
use flotilla_types::{KeyName, Timestamp};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::MetadataState;
use super::image::{self, ensure};
use crate::DecodeError;
use crate::access::{AccessKey, AccessKeys, AccessRule, AccessRules, KeyHash, KeyId};

#[derive(Encode, Decode)]
pub(super) struct AccessImage {
    #[n(0)]
    version: u64,
    #[n(1)]
    rules: Vec<String>,
    #[n(2)]
    keys: Vec<KeyImage>,
}

#[derive(Encode, Decode)]
pub(super) struct KeyImage {
    #[n(0)]
    name: String,
    #[n(1)]
    id: String,
    #[n(2)]
    hash: ByteArray<32>,
    #[n(3)]
    created_at_ms: i64,
}

impl AccessImage {
    pub(super) fn unless_untouched(state: &MetadataState) -> Option<Self> {
        let image = Self {
            version: state.access_version,
            rules: rule_texts(state.access_rules.iter()),
            keys: state.access_keys.iter().map(KeyImage::of).collect(),
        };
        (state.access_version > 0).then_some(image)
    }

    pub(super) fn restore(self, state: &mut MetadataState) -> Result<(), DecodeError> {
        ensure(self.version > 0, "there is access that was never changed")?;
        ensure(
            self.rules.len() <= ACCESS_RULES_MAX,
            "there are too many access rules",
        )?;
        ensure(self.keys.len() <= KEYS_MAX, "there are too many keys")?;
        let mut rules = AccessRules::default();
        for rule in read_rules(image::WHAT, &self.rules)? {
            ensure(rules.grant(rule), "an access rule occurs twice")?;
        }
        let mut keys = AccessKeys::default();
        for key in self.keys {
            ensure(
                keys.add(key.read(image::WHAT)?),
                "a key or its id occurs twice",
            )?;
        }
        state.access_version = self.version;
        state.access_rules = Arc::new(rules);
        state.access_keys = Arc::new(keys);
        Ok(())
    }
}

impl KeyImage {
    pub(super) fn of(key: &AccessKey) -> Self {
        Self {
            name: key.name.as_str().to_owned(),
            id: key.id.as_str().to_owned(),
            hash: ByteArray::from(*key.hash.as_bytes()),
            created_at_ms: key.created_at.as_millis(),
        }
    }

    pub(super) fn read(self, what: &'static str) -> Result<AccessKey, DecodeError> {
        let id = KeyId::parse(&self.id);
        Ok(AccessKey {
            name: read_key_name(what, &self.name)?,
            id: id.map_err(|_| contradiction(what, "the id of a key is not one"))?,
            hash: KeyHash::new(self.hash.into()),
            created_at: Timestamp::from_millis(self.created_at_ms),
        })
    }
}

pub(super) fn rule_texts<'a>(rules: impl IntoIterator<Item = &'a AccessRule>) -> Vec<String> {
    rules.into_iter().map(AccessRule::to_string).collect()
}

/// Rules were read before they were proposed, so a text that is no rule is damage.
pub(super) fn read_rules(
    what: &'static str,
    texts: &[String],
) -> Result<Vec<AccessRule>, DecodeError> {
    let read = |text: &String| {
        AccessRule::parse(text).map_err(|_| contradiction(what, "an access rule is not one"))
    };
    texts.iter().map(read).collect()
}

pub(super) fn read_key_name(what: &'static str, text: &str) -> Result<KeyName, DecodeError> {
    KeyName::parse(text).map_err(|_| contradiction(what, "a key name is not one"))
}

fn contradiction(what: &'static str, contradiction: &'static str) -> DecodeError {
    DecodeError::Contradiction {
        what,
        contradiction,
    }
}
