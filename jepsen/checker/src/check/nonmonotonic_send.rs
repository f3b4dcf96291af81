//! **nonmonotonic-send.** Of two records that a process sent to a partition one after the other, the
//! second has the greater offset.
//!
//! Source: Jepsen's Kafka workload, `nonmonotonic-send`. Only records that were sent once and
//! acknowledged are compared: with several tries, any of them may be the one that was stored.

use super::Checker;
use crate::report::{Findings, Property};
use crate::view::{Attempt, Fate, PartitionView, View};

pub(super) struct NonmonotonicSend;

impl Checker for NonmonotonicSend {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for partition in &view.partitions {
            let mut sent = sent_once(partition);
            sent.sort_by_key(|a| (a.process, a.invoked_at, a.operation, a.nth));
            for pair in sent.windows(2) {
                let (before, after) = (pair[0], pair[1]);
                let is_other = before.process != after.process;
                if is_other || before.operation == after.operation {
                    continue;
                }
                let (Some((_, first)), Some((_, second))) =
                    (before.fate.answered(), after.fate.answered())
                else {
                    continue;
                };
                if second <= first {
                    let what = || {
                        let (earlier, later) = (before.value, after.value);
                        format!("{earlier} is at offset {first}, {later} behind it at {second}")
                    };
                    let operations = [before.operation, after.operation];
                    let property = Property::NonmonotonicSend;
                    findings.add(property, Some(partition.name), &operations, what);
                }
            }
        }
    }
}

fn sent_once<'b, 'a>(partition: &'b PartitionView<'a>) -> Vec<&'b Attempt<'a>> {
    let tries = partition.records.iter().map(|r| partition.attempts_of(r));
    let once = tries.filter_map(|tries| match tries {
        [attempt] => Some(attempt),
        _ => None,
    });
    let is_new = |attempt: &&Attempt<'_>| {
        let fate = attempt.fate;
        matches!(
            fate,
            Fate::Acknowledged {
                is_duplicate: false,
                ..
            }
        )
    };
    once.filter(is_new).collect()
}
