//! The configuration of topics as people write it: a profile, the exact keys, and durations and sizes
//! with units.

use std::collections::BTreeMap;

use flotilla_types::{TopicConfig, TopicProfile};

use super::fault::{Faults, Place};
use super::node::{Key, Node};
use super::section::{Section, add_unknown, found};
use crate::values::{parse_bytes, parse_duration};

const PROFILE: &str = "profile";
const CONFIG: &str = "config";
/// What ends the name of a key whose value may have a unit of bytes.
const BYTES: &str = "_bytes";
/// What the name of a key ends in whose value is milliseconds, and that has another spelling without it.
const MILLIS: &str = "_ms";
/// A duration without end.
const FOREVER: &str = "forever";

/// Keys of the topic configuration with their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, String>,
}

impl Settings {
    /// What is left of a section, which is its configuration. Other keys are unknown; `known` are those
    /// that were taken before, for suggestions.
    pub(super) fn read(mut section: Section, known: &[&str], faults: &mut Faults) -> Self {
        let mut values = BTreeMap::new();
        let profile = section.take_text(PROFILE, TopicProfile::parse, faults);
        if let Some((profile, _)) = profile {
            let pairs = profile.config.iter();
            values.extend(pairs.map(|(key, value)| (*key, (*value).to_owned())));
        }
        let config = section.take(CONFIG, faults);
        let config = config.and_then(|node| Section::open(node, CONFIG, faults));
        let config = config.map_or_else(Vec::new, Section::into_entries);
        let spellings = spellings();
        let known = known.iter().copied().chain([PROFILE, CONFIG]);
        let mut written = BTreeMap::<_, (String, Place)>::new();
        for (key, node) in config.into_iter().chain(section.into_entries()) {
            let Some(spelling) = spellings.iter().find(|spelling| spelling.name == key.name) else {
                let known = known.clone();
                let spelled = spellings.iter().map(|spelling| spelling.name);
                add_unknown(&key, known.chain(spelled), faults);
                continue;
            };
            if let Some((other, place)) = written.get(spelling.key) {
                let line = place.line;
                let message = format!("{} says the same as {other} in line {line}", key.name);
                faults.add(key.place, message);
                continue;
            }
            written.insert(spelling.key, (key.name.clone(), key.place));
            if let Some(value) = spelling.read(&key, &node, faults) {
                values.insert(spelling.key, value);
            }
        }
        Self { values }
    }

    /// These settings, and of `others` those that are not among them.
    #[must_use]
    pub(super) fn or(mut self, others: &Self) -> Self {
        for (key, value) in &others.values {
            self.values.entry(key).or_insert_with(|| value.clone());
        }
        self
    }

    /// What differs from the defaults, in the spelling of the cluster.
    pub(super) fn to_config(&self) -> BTreeMap<String, String> {
        let mut config = TopicConfig::default();
        let defaults = config.entries();
        for (key, value) in &self.values {
            let set = config.set(key, value);
            set.expect("invariant: every value was tried out when it was read");
        }
        let entries = config.entries().into_iter();
        entries
            .filter(|entry| !defaults.contains(entry))
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

/// One way to write a key of the configuration.
struct Spelling {
    name: &'static str,
    key: &'static str,
}

/// The keys, and those of milliseconds without their unit.
fn spellings() -> Vec<Spelling> {
    let exact = TopicConfig::KEYS.map(|key| Spelling { name: key, key });
    let durations = TopicConfig::KEYS.iter().filter_map(|key| {
        let name = key.strip_suffix(MILLIS)?;
        Some(Spelling { name, key })
    });
    exact.into_iter().chain(durations).collect()
}

impl Spelling {
    /// The value in the spelling of the cluster, if it is one that the cluster takes.
    fn read(&self, key: &Key, node: &Node, faults: &mut Faults) -> Option<String> {
        let Some(written) = node.to_scalar() else {
            let kind = node.kind();
            faults.add(
                key.place,
                format_args!("{} is a value, not {kind}", self.name),
            );
            return None;
        };
        let value = match self.to_exact(&written) {
            Ok(value) => value,
            Err(expected) => {
                let (name, found) = (self.name, found(node));
                faults.add(node.place, format_args!("{name} is {found}: {expected}"));
                return None;
            }
        };
        match TopicConfig::default().set(self.key, &value) {
            Ok(()) => Some(value),
            Err(error) => {
                faults.add(node.place, error);
                None
            }
        }
    }

    fn to_exact(&self, written: &str) -> Result<String, String> {
        if self.name != self.key {
            return match written {
                FOREVER => Ok("-1".to_owned()),
                time => parse_duration(time).map(|time| time.as_millis().to_string()),
            };
        }
        let has_unit = written.ends_with(|last: char| last.is_ascii_alphabetic());
        match self.key.ends_with(BYTES) && has_unit {
            true => parse_bytes(written).map(|bytes| bytes.to_string()),
            false => Ok(written.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let mut faults = Faults::default();
        let section = Section::open(Node::parse(text).unwrap(), "topic", &mut faults).unwrap();
        let settings = Settings::read(section, &["name"], &mut faults);
        let mut failures = faults.into_failures("f").into_iter();
        failures
            .next()
            .map_or(Ok(settings), |first| Err(first.message()))
    }

    fn config(text: &str) -> BTreeMap<String, String> {
        read(text).unwrap().to_config()
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn durations_and_sizes_may_have_units() {
        assert_eq!(
            config(
                "retention: 1d\nretention_bytes: 2GiB\nmax_record_bytes: 64KiB\nprotected: true"
            ),
            pairs([
                ("max_record_bytes", "65536"),
                ("protected", "true"),
                ("retention_bytes", "2147483648"),
                ("retention_ms", "86400000"),
            ])
        );
        assert_eq!(
            config("retention: forever"),
            pairs([("retention_ms", "-1")])
        );
        assert_eq!(config("retention_bytes: -1"), pairs([]));
        assert_eq!(
            config("config: {deduplication_window: 1h}"),
            pairs([("deduplication_window_ms", "3600000")])
        );
    }

    #[test]
    fn what_equals_the_default_is_not_sent() {
        assert_eq!(config("retention: 7d\nvisibility: private"), pairs([]));
    }

    #[test]
    fn explicit_configuration_wins_over_a_profile() {
        assert_eq!(
            config("profile: kbroker\nretention: 1d"),
            pairs([("max_record_bytes", "65536"), ("retention_ms", "86400000")])
        );
    }

    #[test]
    fn the_nearer_settings_win() {
        let topic = read("max_record_bytes: 1KiB").unwrap();
        let defaults = read("profile: kbroker\nvisibility: public").unwrap();
        assert_eq!(
            topic.or(&defaults).to_config(),
            pairs([("max_record_bytes", "1024"), ("visibility", "public")])
        );
    }

    #[test]
    fn one_key_is_not_written_in_two_ways() {
        let error = read("retention: 7d\nretention_ms: 1000").unwrap_err();
        assert_eq!(
            error,
            "f:2:1: retention_ms says the same as retention in line 1"
        );
        let error = read("protected: true\nconfig:\n  protected: false").unwrap_err();
        assert!(error.contains("says the same"), "{error}");
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_told_with_their_place() {
        for (text, expected) in [
            (
                "retentoin: 7d",
                "f:1:1: unknown key retentoin; did you mean retention?",
            ),
            (
                "config:\n  nmae: x",
                "f:2:3: unknown key nmae; did you mean name?",
            ),
            ("retention: 7", "f:1:12: retention is 7: expected a time"),
            (
                "retention_ms: 7d",
                "f:1:15: \"7d\" is not a value of retention_ms",
            ),
            ("protected: [x]", "f:1:1: protected is a value, not a list"),
            (
                "max_record_bytes: 1GB",
                "f:1:19: max_record_bytes is \"1GB\": expected bytes",
            ),
            ("profile: x", "f:1:10: \"x\" is not a profile"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
