//! When each member was heard of last, as this node noted it while it leads their coordinators.

use std::collections::HashMap;
use std::time::Duration;

use flotilla_types::{GroupId, LeaderEpoch, MemberId, RaftGroupId};
use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Default)]
pub(crate) struct Sessions {
    led: Mutex<HashMap<RaftGroupId, Led>>,
}

/// One leadership of a coordinator. What an earlier one noted does not count: the members talked to
/// somebody else in between.
struct Led {
    epoch: LeaderEpoch,
    heard: HashMap<(GroupId, MemberId), Instant>,
}

/// A member as the coordinator's state has it.
pub(super) struct Known {
    pub(super) group: GroupId,
    pub(super) member: MemberId,
    pub(super) joined: u64,
    pub(super) session_timeout: Duration,
}

impl Sessions {
    /// A member has just been heard of.
    pub(super) fn note(
        &self,
        coordinator: (RaftGroupId, LeaderEpoch),
        group: &GroupId,
        member: &MemberId,
        now: Instant,
    ) {
        let mut led = self.led.lock();
        let led = led_in(&mut led, coordinator);
        led.heard.insert((group.clone(), member.clone()), now);
    }

    /// The members that have been silent for too long. One that this leadership has not heard of yet
    /// is silent from now on.
    pub(super) fn silent(
        &self,
        coordinator: (RaftGroupId, LeaderEpoch),
        known: Vec<Known>,
        now: Instant,
    ) -> Vec<Known> {
        let mut led = self.led.lock();
        let led = led_in(&mut led, coordinator);
        let mut heard = std::mem::take(&mut led.heard);
        let mut silent = Vec::new();
        for member in known {
            let key = (member.group.clone(), member.member.clone());
            let at = heard.remove(&key).unwrap_or(now);
            let is_silent = now.saturating_duration_since(at) >= member.session_timeout;
            led.heard.insert(key, at);
            if is_silent {
                silent.push(member);
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

    fn group() -> GroupId {
        GroupId::parse("billing").unwrap()
    }

    fn member(name: &str) -> MemberId {
        MemberId::parse(name).unwrap()
    }

    fn silent(sessions: &Sessions, epoch: u64, names: &[&str], now: Instant) -> Vec<String> {
        let known = names.iter().map(|name| Known {
            group: group(),
            member: member(name),
            joined: 1,
            session_timeout: TIMEOUT,
        });
        let silent = sessions.silent(led_in_epoch(epoch), known.collect(), now);
        silent
            .into_iter()
            .map(|known| known.member.to_string())
            .collect()
    }

    #[test]
    fn a_member_is_silent_after_its_session_timeout() {
        let sessions = Sessions::default();
        let start = Instant::now();
        sessions.note(led_in_epoch(1), &group(), &member("a"), start);
        sessions.note(led_in_epoch(1), &group(), &member("b"), start + TIMEOUT / 2);
        assert!(silent(&sessions, 1, &["a", "b"], start + TIMEOUT / 2).is_empty());
        assert_eq!(silent(&sessions, 1, &["a", "b"], start + TIMEOUT), ["a"]);
    }

    #[test]
    fn a_new_leader_gives_everybody_a_whole_session_timeout() {
        let sessions = Sessions::default();
        let start = Instant::now();
        sessions.note(led_in_epoch(1), &group(), &member("a"), start);
        let elected = start + TIMEOUT * 2;
        assert!(silent(&sessions, 2, &["a"], elected).is_empty());
        assert!(silent(&sessions, 2, &["a"], elected + TIMEOUT / 2).is_empty());
        assert_eq!(silent(&sessions, 2, &["a"], elected + TIMEOUT), ["a"]);
    }

    #[test]
    fn who_is_no_member_is_forgotten() {
        let sessions = Sessions::default();
        let start = Instant::now();
        sessions.note(led_in_epoch(1), &group(), &member("a"), start);
        assert!(silent(&sessions, 1, &[], start).is_empty());
        assert!(
            silent(&sessions, 1, &["a"], start + TIMEOUT).is_empty(),
            "it joined anew"
        );
    }
}
