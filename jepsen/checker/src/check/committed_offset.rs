//! **committed-offset.** A read of a committed offset answers with that of an offset commit which was
//! invoked before the read was completed, and after which no other one surely came before the read:
//! none that was invoked after the first was known to be stored, and known to be stored itself before
//! the read was invoked. It answers that there is none only if no offset commit was known to be stored
//! before.
//!
//! Source: a committed offset is a linearizable register. This is what a register owes each single
//! read; it does not search for one order that explains all reads together.

use std::collections::HashMap;

use super::Checker;
use super::prefix_max::PrefixMax;
use crate::history::{Nanos, Offset};
use crate::report::{Findings, Property};
use crate::view::{CommitTry, CommittedRead, View};

pub(super) struct CommittedOffset;

impl Checker for CommittedOffset {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for found in &view.groups {
            let stored = PrefixMax::new(invocations_of_stored(&found.commits));
            let candidates = Candidates::of(&found.commits);
            for read in &found.reads {
                let newest = stored.before(read.invoked_at);
                if candidates.explain(read, newest.map(|(invoked_at, _)| invoked_at)) {
                    continue;
                }
                let mut operations: Vec<_> = newest.iter().map(|newest| newest.1).collect();
                operations.push(read.operation);
                let what = || {
                    let group = found.group;
                    match read.offset {
                        Some(offset) => {
                            format!("{group} read the committed offset {offset}, which was not it")
                        }
                        None => format!("{group} read no committed offset, though there was one"),
                    }
                };
                let property = Property::CommittedOffset;
                findings.add(property, Some(found.partition), &operations, what);
            }
        }
    }
}

/// For offset commits that were known to be stored, from when on, and when they were invoked.
fn invocations_of_stored(commits: &[CommitTry]) -> Vec<(Nanos, (Nanos, usize))> {
    let stored = |commit: &CommitTry| Some((commit.ok_at?, (commit.invoked_at, commit.operation)));
    commits.iter().filter_map(stored).collect()
}

/// The offset commits by their offset, then by their invocation.
struct Candidates {
    /// With each commit, until when any of those up to it may have taken effect. `None`: for ever.
    by_offset: HashMap<Offset, Vec<(Nanos, Option<Nanos>)>>,
}

impl Candidates {
    fn of(commits: &[CommitTry]) -> Self {
        let mut by_offset: HashMap<_, Vec<_>> = HashMap::new();
        for commit in commits {
            let of_this = by_offset.entry(commit.offset).or_default();
            of_this.push((commit.invoked_at, commit.ok_at));
        }
        for commits in by_offset.values_mut() {
            commits.sort_unstable();
            for index in 1..commits.len() {
                let before = commits[index - 1].1;
                let until = &mut commits[index].1;
                *until = until.zip(before).map(|(until, before)| until.max(before));
            }
        }
        Self { by_offset }
    }

    /// Whether an offset commit explains a read before which one was stored that was invoked at
    /// `newest_invoked_at`.
    fn explain(&self, read: &CommittedRead, newest_invoked_at: Option<Nanos>) -> bool {
        let Some(offset) = read.offset else {
            return newest_invoked_at.is_none();
        };
        let Some(commits) = self.by_offset.get(&offset) else {
            return false;
        };
        let count = commits.partition_point(|(invoked_at, _)| *invoked_at <= read.completed_at);
        let Some((_, until)) = count.checked_sub(1).map(|last| commits[last]) else {
            return false;
        };
        let (Some(until), Some(newest)) = (until, newest_invoked_at) else {
            return true;
        };
        until >= newest
    }
}
