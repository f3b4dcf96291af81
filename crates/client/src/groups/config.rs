//! How a member of a consumer group behaves.

use std::time::Duration;

use flotilla_protocol::{ApiError, OffsetSpec, v1};
use flotilla_types::{GroupId, TopicName, limits};

use crate::{ClientError, ConsumerConfig, Until};

/// Longest time for which an application may go without polling: a day.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const AUTO_COMMIT_MIN: Duration = Duration::from_millis(1);
const CLIENT_NAME_BYTES_MAX: usize = limits::NAME_BYTES_MAX;

/// Settings of one [`GroupConsumer`](crate::GroupConsumer).
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The group to join. It begins to exist with its first member.
    pub group: GroupId,
    /// What the member wants to share.
    pub subscription: Subscription,
    /// Which program this is, for people who look at the group. At most 249 bytes; default empty.
    pub client_name: String,
    /// How long the member may be silent before the others get its partitions. 1 s to 30 min;
    /// default 10 s.
    pub session_timeout: Duration,
    /// How long the application may go without calling `poll`, before the member leaves the group so
    /// that others can do its work. Above zero, up to a day; default 5 min.
    pub poll_interval_max: Duration,
    /// Where a partition begins for which the group has no committed offset: at the log start, the
    /// high watermark or a time. Default: the log start.
    pub start: OffsetSpec,
    /// How often `poll` commits the offsets of what has been processed. Without it offsets are only
    /// committed by hand. From 1 ms, up to a day; default 5 s.
    pub auto_commit: Option<Duration>,
    /// How partitions are read. `until` must be [`Until::Forever`].
    pub consumer: ConsumerConfig,
}

/// The topics that a member wants to share with the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// These, 1 to 1,000. One that does not exist yet is taken up once it does.
    Topics(Vec<TopicName>),
    /// All whose whole name matches this regular expression, now or later. At most 1,000 bytes, in
    /// the syntax of Rust's `regex` crate.
    Pattern(String),
}

impl GroupConfig {
    /// The defaults for this group and these topics.
    pub fn new(group: GroupId, subscription: Subscription) -> Self {
        Self {
            group,
            subscription,
            client_name: String::new(),
            session_timeout: Duration::from_millis(limits::SESSION_TIMEOUT_MS_DEFAULT.into()),
            poll_interval_max: Duration::from_secs(5 * 60),
            start: OffsetSpec::Earliest,
            auto_commit: Some(Duration::from_secs(5)),
            consumer: ConsumerConfig::default(),
        }
    }

    /// Whether a member can behave like this. The pattern is only understood by the coordinator.
    pub fn validate(&self) -> Result<(), ClientError> {
        self.subscription.validate()?;
        let session_min = Duration::from_millis(limits::SESSION_TIMEOUT_MS_MIN.into());
        let session_max = Duration::from_millis(limits::SESSION_TIMEOUT_MS_MAX.into());
        if !(session_min..=session_max).contains(&self.session_timeout) {
            return Err(ClientError::invalid(
                "session_timeout must be 1 s to 30 min",
            ));
        }
        if self.poll_interval_max.is_zero() || self.poll_interval_max > POLL_INTERVAL_MAX {
            return Err(ClientError::invalid(
                "poll_interval_max must be above zero and at most a day",
            ));
        }
        if let Some(interval) = self.auto_commit
            && !(AUTO_COMMIT_MIN..=POLL_INTERVAL_MAX).contains(&interval)
        {
            return Err(ClientError::invalid(
                "auto_commit must be 1 ms to a day, or none",
            ));
        }
        if self.client_name.len() > CLIENT_NAME_BYTES_MAX {
            return Err(ClientError::invalid("client_name has at most 249 bytes"));
        }
        if matches!(self.start, OffsetSpec::Offset(_)) {
            return Err(ClientError::invalid(
                "start must be earliest, latest or a timestamp: an offset belongs to one partition",
            ));
        }
        if self.consumer.until != Until::Forever {
            return Err(ClientError::invalid(
                "a member of a group waits for new records: until must be Forever",
            ));
        }
        self.consumer.validate()
    }
}

impl Subscription {
    fn validate(&self) -> Result<(), ClientError> {
        match self {
            Self::Topics(topics)
                if !(1..=limits::SUBSCRIPTION_TOPICS_MAX).contains(&topics.len()) =>
            {
                Err(ClientError::invalid("a subscription has 1 to 1000 topics"))
            }
            Self::Pattern(pattern)
                if !(1..=limits::SUBSCRIPTION_PATTERN_BYTES_MAX).contains(&pattern.len()) =>
            {
                Err(ClientError::invalid("a pattern has 1 to 1000 bytes"))
            }
            Self::Topics(_) | Self::Pattern(_) => Ok(()),
        }
    }

    pub(crate) fn read(answer: Option<v1::Subscription>) -> Result<Self, ClientError> {
        let answer = answer.ok_or_else(|| ClientError::missing("a subscription"))?;
        if !answer.pattern.is_empty() {
            return Ok(Self::Pattern(answer.pattern));
        }
        let topics = answer.topics.iter().map(|topic| TopicName::parse(topic));
        let topics = topics.collect::<Result<_, _>>().map_err(ApiError::from)?;
        Ok(Self::Topics(topics))
    }

    pub(super) fn write(&self) -> v1::Subscription {
        match self {
            Self::Topics(topics) => v1::Subscription {
                topics: topics.iter().map(TopicName::to_string).collect(),
                pattern: String::new(),
            },
            Self::Pattern(pattern) => v1::Subscription {
                topics: Vec::new(),
                pattern: pattern.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::{ErrorCode, Offset};

    use super::*;

    fn config() -> GroupConfig {
        let topic = TopicName::parse("orders").unwrap();
        let group = GroupId::parse("billing").unwrap();
        GroupConfig::new(group, Subscription::Topics(vec![topic]))
    }

    #[test]
    fn the_defaults_are_sound() {
        config().validate().unwrap();
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let second = Duration::from_secs(1);
        let wrong: [fn(&mut GroupConfig); 9] = [
            |config| config.subscription = Subscription::Topics(Vec::new()),
            |config| config.subscription = Subscription::Pattern(String::new()),
            |config| config.subscription = Subscription::Pattern("x".repeat(1_001)),
            |config| config.session_timeout = Duration::from_millis(999),
            |config| config.poll_interval_max = Duration::ZERO,
            |config| config.auto_commit = Some(Duration::ZERO),
            |config| config.client_name = "x".repeat(250),
            |config| config.start = OffsetSpec::Offset(Offset::ZERO),
            |config| config.consumer.until = Until::HighWatermark,
        ];
        for (nth, spoil) in wrong.iter().enumerate() {
            let mut config = GroupConfig {
                session_timeout: second,
                ..config()
            };
            config.validate().unwrap();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "number {nth}");
        }
    }
}
