//! Which records a partition need not keep. The leader asks, and proposes the answer as a command:
//! the replicas never decide this for themselves.
//!
//! Retention works in whole intervals, from the front, because only a checkpoint can be a purge
//! point. A partition therefore keeps up to one interval more than its bounds ask for. What is kept
//! beyond its age is not served: readers look at when each batch was appended.
//!
//! A record ages from the moment at which it was appended, whatever its own timestamp says: records are
//! served from one place on, and a producer whose clock is wrong neither keeps one for ever nor loses one
//! at once. The nodes' own clocks matter: one that is ahead hides records earlier by as much.

use flotilla_types::{Offset, Timestamp, TopicConfig};

use super::{PartitionCommand, PartitionState};

/// The next thing to do for retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionStep {
    /// Everything below may go.
    TrimTo { log_start: Offset },
    /// Everything in the open interval may go, once it is closed.
    CloseSegment,
}

impl RetentionStep {
    pub fn into_command(self) -> PartitionCommand {
        match self {
            Self::TrimTo { log_start } => PartitionCommand::TrimTo { log_start },
            Self::CloseSegment => PartitionCommand::CloseSegment,
        }
    }
}

impl PartitionState {
    /// What retention asks for at `now`, if anything. An interval goes by age when every record in it
    /// and before it is older than `retention_ms`. It goes by size when the partition is larger than
    /// `retention_bytes` and what remains still fills them, so that the newest `retention_bytes` are
    /// never lost.
    pub fn retention_step(&self, now: Timestamp, config: &TopicConfig) -> Option<RetentionStep> {
        if self.open_interval_may_go(now, config) {
            return Some(RetentionStep::CloseSegment);
        }
        let by_age = self.expired_end(now, config);
        let by_size = self.surplus_end(config);
        let log_start = by_age.max(by_size)?;
        Some(RetentionStep::TrimTo { log_start })
    }

    /// Nobody needs the open interval: it has expired with all before it, or its records are deleted.
    fn open_interval_may_go(&self, now: Timestamp, config: &TopicConfig) -> bool {
        let Some(open) = self.open else {
            return false;
        };
        let expired = |appended_at| is_expired(appended_at, now, config);
        self.log_start == self.next_offset
            || expired(open.appended_at)
                && self
                    .retained_checkpoints()
                    .all(|checkpoint| expired(checkpoint.appended_at))
    }

    fn expired_end(&self, now: Timestamp, config: &TopicConfig) -> Option<Offset> {
        self.retained_checkpoints()
            .take_while(|checkpoint| is_expired(checkpoint.appended_at, now, config))
            .last()
            .map(|checkpoint| checkpoint.end_offset)
    }

    fn surplus_end(&self, config: &TopicConfig) -> Option<Offset> {
        let retention_bytes = config.retention_bytes?;
        let mut remaining = self.retained_bytes();
        self.retained_checkpoints()
            .take_while(|checkpoint| {
                remaining = remaining.saturating_sub(checkpoint.bytes);
                remaining >= retention_bytes
            })
            .last()
            .map(|checkpoint| checkpoint.end_offset)
    }
}

fn is_expired(appended_at: Timestamp, now: Timestamp, config: &TopicConfig) -> bool {
    config
        .retention_ms
        .is_some_and(|retention_ms| appended_at < now.minus_millis(retention_ms))
}
