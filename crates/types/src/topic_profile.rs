//! Profiles: several keys of a topic's configuration under one name.

/// A named piece of configuration. It is expanded where it is written; a cluster never sees its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicProfile {
    pub name: &'static str,
    /// Keys of the topic configuration and their values.
    pub config: &'static [(&'static str, &'static str)],
}

/// What those who come from KBroker expect of a topic: payloads up to 64 KiB, kept for 7 days, and a
/// message id that is known for 10 minutes.
const KBROKER: TopicProfile = TopicProfile {
    name: "kbroker",
    config: &[
        ("deduplication_window_ms", "600000"),
        ("max_record_bytes", "65536"),
        ("retention_ms", "604800000"),
    ],
};

/// Why a profile is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a profile: use {}", TopicProfile::names())]
pub struct TopicProfileError {
    pub found: String,
}

impl TopicProfile {
    pub const KBROKER: Self = KBROKER;

    pub const ALL: [Self; 1] = [KBROKER];

    pub fn parse(name: &str) -> Result<Self, TopicProfileError> {
        let profile = Self::ALL.into_iter().find(|profile| profile.name == name);
        profile.ok_or_else(|| TopicProfileError {
            found: name.to_owned(),
        })
    }

    fn names() -> String {
        Self::ALL.map(|profile| profile.name).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicConfig;

    #[test]
    fn every_profile_is_a_configuration_that_a_topic_takes() {
        for profile in TopicProfile::ALL {
            let mut config = TopicConfig::default();
            for (key, value) in profile.config {
                config.set(key, value).unwrap();
            }
            let entries = config.entries();
            for (key, value) in profile.config {
                assert!(
                    entries.contains(&(key, (*value).to_owned())),
                    "{key} is written as it is read"
                );
            }
            assert_eq!(TopicProfile::parse(profile.name), Ok(profile));
        }
    }

    #[test]
    fn an_unknown_profile_is_refused_with_those_there_are() {
        let error = TopicProfile::parse("Kbroker").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"Kbroker\" is not a profile: use kbroker"
        );
    }
}
