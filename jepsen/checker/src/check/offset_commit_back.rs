//! **offset-commit-back.** Within one generation, an offset commit that was invoked after another one
//! was stored has no smaller offset.
//!
//! Source: a member goes forward in what it was assigned. A successor may begin earlier, with what the
//! member before it did and could not commit.

use std::collections::BTreeMap;

use super::Checker;
use super::prefix_max::PrefixMax;
use crate::history::{Generation, Nanos, Offset};
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct OffsetCommitBack;

/// For each generation, when which offset was known to be stored, and by which operation.
type Stored = BTreeMap<Generation, Vec<(Nanos, (Offset, usize))>>;

impl Checker for OffsetCommitBack {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for found in &view.groups {
            let mut stored = Stored::new();
            for commit in &found.commits {
                if let Some(at) = commit.ok_at {
                    let of_this = stored.entry(commit.generation).or_default();
                    of_this.push((at, (commit.offset, commit.operation)));
                }
            }
            let stored: BTreeMap<_, _> = stored
                .into_iter()
                .map(|(generation, known)| (generation, PrefixMax::new(known)))
                .collect();
            for commit in found.commits.iter().filter(|c| c.ok_at.is_some()) {
                let Some((before, witness)) = stored
                    .get(&commit.generation)
                    .and_then(|known| known.before(commit.invoked_at))
                else {
                    continue;
                };
                if commit.offset < before {
                    let operations = [witness, commit.operation];
                    let what = || {
                        let (group, offset) = (found.group, commit.offset);
                        format!("{group} went back from the committed offset {before} to {offset}")
                    };
                    let property = Property::OffsetCommitBack;
                    findings.add(property, Some(found.partition), &operations, what);
                }
            }
        }
    }
}
