//! **deleted-topic.** A topic whose deletion was acknowledged is in no list of topics that is asked for
//! afterwards, as long as nothing can have created it again.
//!
//! Source: the administration of topics is linearizable.

use std::collections::BTreeMap;

use super::Checker;
use super::prefix_max::PrefixMax;
use super::topic_presence::{Presence, Window, windows};
use crate::history::{Action, Nanos};
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct DeletedTopic;

/// The end of a window, the one without an end last, and the operation that began it.
type End = ((bool, Option<Nanos>), usize);

impl Checker for DeletedTopic {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        let by_topic = windows(view, Presence::Gone).into_iter();
        let gone: BTreeMap<&str, PrefixMax<End>> = by_topic
            .map(|(topic, windows)| (topic, PrefixMax::new(ends(&windows))))
            .collect();
        for (index, operation) in view.operations.iter().enumerate() {
            let Action::ListTopics(call) = &operation.action else {
                continue;
            };
            let Some((completed_at, listed)) = call.outcome.ok() else {
                continue;
            };
            for topic in listed {
                let Some(((_, end), witness)) = gone
                    .get(topic.as_str())
                    .and_then(|ends| ends.before(operation.invoked_at))
                else {
                    continue;
                };
                if end.is_none_or(|end| completed_at < end) {
                    let what = || format!("the topic {topic} was deleted and is listed");
                    findings.add(Property::DeletedTopic, None, &[witness, index], what);
                }
            }
        }
    }
}

fn ends(windows: &[Window]) -> Vec<(Nanos, End)> {
    let end = |window: &Window| {
        let order = (window.end.is_none(), window.end);
        (window.start, (order, window.operation))
    };
    windows.iter().map(end).collect()
}
