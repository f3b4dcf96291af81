//! **created-topic.** A topic whose creation was acknowledged is in every list of topics that is asked
//! for afterwards, as long as nothing can have deleted it.
//!
//! Source: the administration of topics is linearizable.

use super::Checker;
use super::topic_presence::{Presence, Window, windows};
use crate::history::Action;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct CreatedTopic;

impl Checker for CreatedTopic {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        let by_topic = windows(view, Presence::There).into_iter();
        let mut waiting: Vec<(&str, Window)> = by_topic
            .flat_map(|(topic, windows)| windows.into_iter().map(move |window| (topic, window)))
            .collect();
        waiting.sort_by_key(|(_, window)| window.start);
        let mut waiting = waiting.into_iter().peekable();
        // Windows that began before the list was asked for and can still cover one.
        let mut current = Vec::new();
        for (index, operation) in view.in_time() {
            let Action::ListTopics(call) = &operation.action else {
                continue;
            };
            let Some((completed_at, listed)) = call.outcome.ok() else {
                continue;
            };
            let invoked_at = operation.invoked_at;
            while let Some(begun) = waiting.next_if(|(_, window)| window.start < invoked_at) {
                current.push(begun);
            }
            current.retain(|(_, window)| window.end.is_none_or(|end| end > invoked_at));
            for (topic, window) in &current {
                if window.covers(invoked_at, completed_at) && !listed.contains(*topic) {
                    let what = || format!("the topic {topic} was created and is not listed");
                    let operations = [window.operation, index];
                    findings.add(Property::CreatedTopic, None, &operations, what);
                }
            }
        }
    }
}
