//! How access rules and keys change.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_types::KeyName;
use flotilla_types::limits::{ACCESS_RULES_MAX, KEYS_MAX};

use super::apply::Effect;
use super::{MetadataChange, MetadataOutcome, MetadataRejection, MetadataState};
use crate::access::{AccessKey, AccessRule};

impl MetadataState {
    /// Granting what is there and revoking what is not there are no errors, so that a request whose
    /// answer was lost can be sent again. Nothing is copied before it is sure that something changes.
    pub(super) fn change_access(&mut self, grant: &[AccessRule], revoke: &[AccessRule]) -> Effect {
        let rules = &self.access_rules;
        let grant: BTreeSet<_> = grant.iter().collect();
        let new = grant.iter().filter(|rule| !rules.contains(rule));
        let new: Vec<AccessRule> = new.copied().cloned().collect();
        let gone: BTreeSet<_> = revoke
            .iter()
            .filter(|rule| rules.contains(rule) && !grant.contains(rule))
            .collect();
        let rules = rules.len() - gone.len() + new.len();
        if rules > ACCESS_RULES_MAX && !new.is_empty() {
            return Err(MetadataRejection::TooManyAccessRules { rules });
        }
        let outcome = MetadataOutcome::AccessChanged {
            granted: count(new.len()),
            revoked: count(gone.len()),
        };
        if new.is_empty() && gone.is_empty() {
            return Ok((outcome, None));
        }
        let rules = Arc::make_mut(&mut self.access_rules);
        rules.revoke(gone);
        for rule in new {
            rules.grant(rule);
        }
        Ok((outcome, Some(MetadataChange::Access)))
    }

    /// Adding the very same key again is not an error, as with rules.
    pub(super) fn add_key(&mut self, key: &AccessKey) -> Effect {
        let keys = &self.access_keys;
        if let Some(known) = keys.named(&key.name) {
            if known.id == key.id && known.hash == key.hash {
                return Ok((MetadataOutcome::KeyAdded, None));
            }
            return Err(MetadataRejection::KeyExists {
                name: key.name.clone(),
            });
        }
        if keys.with_id(key.id.as_str()).is_some() {
            return Err(MetadataRejection::KeyIdTaken { id: key.id.clone() });
        }
        if keys.len() >= KEYS_MAX {
            return Err(MetadataRejection::TooManyKeys);
        }
        Arc::make_mut(&mut self.access_keys).add(key.clone());
        Ok((MetadataOutcome::KeyAdded, Some(MetadataChange::Access)))
    }

    /// The rules about it stay: a new key of its name is a successor.
    pub(super) fn remove_key(&mut self, name: &KeyName) -> Effect {
        if self.access_keys.named(name).is_none() {
            return Err(MetadataRejection::UnknownKey { name: name.clone() });
        }
        Arc::make_mut(&mut self.access_keys).remove(name);
        Ok((MetadataOutcome::KeyRemoved, Some(MetadataChange::Access)))
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
