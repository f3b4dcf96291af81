//! When a topic surely is there, and when it surely is not.
//!
//! After a creation that succeeded, a topic is there until a deletion begins that can come after it:
//! one that was not completed before the creation was invoked. One with an unknown outcome may take
//! effect at any time. The same holds with the words exchanged.

use std::collections::BTreeMap;

use crate::history::{Action, Nanos, Operation, Outcome};
use crate::view::View;

/// A time in which a topic surely is there, or surely is not. Both ends are exclusive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: Nanos,
    /// `None` if nothing ends it.
    pub(super) end: Option<Nanos>,
    /// The change that began it.
    pub(super) operation: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    Gone,
}

#[derive(Default)]
struct Changes {
    creations: Vec<Change>,
    deletions: Vec<Change>,
}

/// A change that may have been made.
#[derive(Clone, Copy)]
struct Change {
    operation: usize,
    invoked_at: Nanos,
    ok_at: Option<Nanos>,
}

impl Window {
    /// Whether all of `start..=end` lies within it.
    pub(super) fn covers(&self, start: Nanos, end: Nanos) -> bool {
        self.start < start && self.end.is_none_or(|own| end < own)
    }
}

/// The windows of each topic, by their start.
pub(super) fn windows<'a>(view: &View<'a>, presence: Presence) -> BTreeMap<&'a str, Vec<Window>> {
    let mut changes: BTreeMap<&str, Changes> = BTreeMap::new();
    for (index, operation) in view.operations.iter().enumerate() {
        note(&mut changes, index, operation);
    }
    let windows = changes.into_iter().map(|(topic, changes)| {
        let windows = match presence {
            Presence::There => windows_after(&changes.creations, changes.deletions),
            Presence::Gone => windows_after(&changes.deletions, changes.creations),
        };
        (topic, windows)
    });
    windows.collect()
}

fn note<'a>(changes: &mut BTreeMap<&'a str, Changes>, index: usize, operation: &'a Operation) {
    let change = |outcome: &Outcome<()>| Change {
        operation: index,
        invoked_at: operation.invoked_at,
        ok_at: outcome.ok().map(|(at, ())| at),
    };
    match &operation.action {
        Action::CreateTopic(call) if !call.outcome.is_failed() => {
            let of_topic = changes.entry(&call.request.topic).or_default();
            of_topic.creations.push(change(&call.outcome));
        }
        Action::DeleteTopic(call) if !call.outcome.is_failed() => {
            let of_topic = changes.entry(&call.request.topic).or_default();
            of_topic.deletions.push(change(&call.outcome));
        }
        _ => {}
    }
}

fn windows_after(begins: &[Change], mut ends: Vec<Change>) -> Vec<Window> {
    // Latest to be over first, so that those which can come after a change are the first few.
    ends.sort_by_key(|end| std::cmp::Reverse((end.ok_at.is_none(), end.ok_at)));
    let mut earliest = Vec::with_capacity(ends.len());
    for end in &ends {
        let before = earliest.last().copied().unwrap_or(end.invoked_at);
        earliest.push(end.invoked_at.min(before));
    }
    let window = |begin: &Change| {
        let may_follow = |end: &Change| end.ok_at.is_none_or(|at| at >= begin.invoked_at);
        let count = ends.partition_point(may_follow);
        Some(Window {
            start: begin.ok_at?,
            end: count.checked_sub(1).map(|last| earliest[last]),
            operation: begin.operation,
        })
    };
    let mut windows: Vec<_> = begins.iter().filter_map(window).collect();
    windows.sort_by_key(|window| window.start);
    windows
}
