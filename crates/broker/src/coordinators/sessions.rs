//! When each member and each owner was heard of last, as this node noted it while it leads their
//! coordinators.

use std::collections::HashMap;
use std::time::Duration;

use flotilla_raft::Coordinator;
use flotilla_types::{GroupId, JobName, LeaderEpoch, MemberId, RaftGroupId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::node::Node;

/// What ends when it is silent for too long. Whoever joins or asks again begins another session, of
/// which nobody has heard yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Session {
    Member {
        group: GroupId,
        member: MemberId,
        joined: u64,
    },
    Owner {
        job: JobName,
        acquired: u64,
    },
}

#[derive(Default)]
pub(crate) struct Sessions {
    led: Mutex<HashMap<RaftGroupId, Led>>,
}

/// One leadership of a coordinator. What an earlier one noted does not count: the members talked to
/// somebody else in between.
struct Led {
    epoch: LeaderEpoch,
    heard: HashMap<Session, Instant>,
}

/// A session that the coordinator's state has, and how long it may be silent.
pub(super) type Known = (Session, Duration);

impl Sessions {
    fn note(&self, coordinator: (RaftGroupId, LeaderEpoch), session: Session, now: Instant) {
        let mut led = self.led.lock();
        let led = led_in(&mut led, coordinator);
        led.heard.insert(session, now);
    }

    /// The sessions that have been silent for too long. One that this leadership has not heard of yet
    /// is silent from now on.
    pub(super) fn silent(
        &self,
        coordinator: (RaftGroupId, LeaderEpoch),
        known: Vec<Known>,
        now: Instant,
    ) -> Vec<Session> {
        let mut led = self.led.lock();
        let led = led_in(&mut led, coordinator);
        let mut heard = std::mem::take(&mut led.heard);
        let mut silent = Vec::new();
        for (session, timeout) in known {
            let at = heard.remove(&session).unwrap_or(now);
            led.heard.insert(session.clone(), at);
            if now.saturating_duration_since(at) >= timeout {
                silent.push(session);
            }
        }
        silent
    }

    /// Forgets what does not lead any more.
    pub(super) fn keep_led(&self, is_led: impl Fn(RaftGroupId) -> bool) {
        self.led
            .lock()
            .retain(|coordinator, _| is_led(*coordinator));
    }
}

impl Node {
    /// Whoever has this session at a coordinator that this node leads has just been heard of.
    pub(crate) fn note_session(&self, coordinator: &Coordinator, session: Session) {
        let led = (coordinator.raft_group(), coordinator.leadership().epoch);
        self.sessions.note(led, session, Instant::now());
    }
}

fn led_in(
    led: &mut HashMap<RaftGroupId, Led>,
    (coordinator, epoch): (RaftGroupId, LeaderEpoch),
) -> &mut Led {
    let known = led.entry(coordinator).or_insert_with(|| Led {
        epoch,
        heard: HashMap::new(),
    });
    if known.epoch != epoch {
        known.epoch = epoch;
        known.heard.clear();
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const COORDINATOR: RaftGroupId = RaftGroupId::new(5);

    fn led_in_epoch(epoch: u64) -> (RaftGroupId, LeaderEpoch) {
        (COORDINATOR, LeaderEpoch::new(epoch))
    }

    fn member(name: &str) -> Session {
        Session::Member {
            group: GroupId::parse("billing").unwrap(),
            member: MemberId::parse(name).unwrap(),
            joined: 1,
        }
    }

    fn owner(acquired: u64) -> Session {
        let job = JobName::parse("export").unwrap();
        Session::Owner { job, acquired }
    }

    fn silent(sessions: &Sessions, epoch: u64, names: &[&str], now: Instant) -> Vec<Session> {
        let known = names.iter().map(|name| (member(name), TIMEOUT));
        sessions.silent(led_in_epoch(epoch), known.collect(), now)
    }

    #[test]
    fn a_member_is_silent_after_its_session_timeout() {
        let sessions = Sessions::default();
        let start = Instant::now();
        sessions.note(led_in_epoch(1), member("a"), start);
        sessions.note(led_in_epoch(1), member("b"), start + TIMEOUT / 2);
        assert!(silent(&sessions, 1, &["a", "b"], start + TIMEOUT / 2).is_empty());
        assert_eq!(
            silent(&sessions, 1, &["a", "b"], start + TIMEOUT),
            [member("a")]
        );
    }

    #[test]
    fn a_new_leader_gives_everybody_a_whole_session_timeout() {
        let sessions = Sessions::default();
        let start = Instant::now();
        sessions.note(led_in_epoch(1), member("a"), start);
        let elected = start + TIMEOUT * 2;
        assert!(silent(&sessions, 2, &["a"], elected).is_empty());
        assert!(silent(&sessions, 2, &["a"], elected + TIMEOUT / 2).is_empty());
        assert_eq!(
            silent(&sessions, 2, &["a"], elected + TIMEOUT),
            [member("a")]
        );
    }

    #[test]
    fn who_is_no_member_is_forgotten() {
        let sessions = Sessions::default();
        let start = Instant::now();
        sessions.note(led_in_epoch(1), member("a"), start);
        assert!(silent(&sessions, 1, &[], start).is_empty());
        assert!(
            silent(&sessions, 1, &["a"], start + TIMEOUT).is_empty(),
            "it joined anew"
        );
    }

    #[test]
    fn an_owner_that_asks_again_has_a_whole_session_timeout() {
        let sessions = Sessions::default();
        let start = Instant::now();
        let led = led_in_epoch(1);
        sessions.note(led, owner(1), start);
        let silent = |acquired, now| {
            let known = vec![(owner(acquired), TIMEOUT), (member("a"), TIMEOUT * 9)];
            sessions.silent(led, known, now)
        };
        assert_eq!(silent(1, start + TIMEOUT), [owner(1)]);
        assert!(silent(2, start + TIMEOUT).is_empty());
        assert_eq!(silent(2, start + TIMEOUT * 2), [owner(2)]);
    }
}
