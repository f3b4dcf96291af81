//! **old-generation.** No offset commit succeeds that was invoked after a member had heard of a later
//! generation of the partition, or after one of a later generation was stored.
//!
//! Source: an offset commit names the generation of its grant, and a later grant fences it.

use super::Checker;
use super::prefix_max::PrefixMax;
use crate::report::{Findings, Property};
use crate::view::View;

pub(super) struct OldGeneration;

impl Checker for OldGeneration {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for found in &view.groups {
            let grants = found.grants.iter();
            let heard = grants.map(|(at, generation, operation)| (*at, (*generation, *operation)));
            let stored = found.commits.iter().filter_map(|commit| {
                let evidence = (commit.generation, commit.operation);
                Some((commit.ok_at?, evidence))
            });
            let known = PrefixMax::new(heard.chain(stored).collect());
            for commit in found.commits.iter().filter(|c| c.ok_at.is_some()) {
                let Some((newest, witness)) = known.before(commit.invoked_at) else {
                    continue;
                };
                if commit.generation < newest {
                    let operations = [witness, commit.operation];
                    let what = || {
                        let (group, old) = (found.group, commit.generation);
                        format!("{group} committed in generation {old} after {newest} began")
                    };
                    let property = Property::OldGeneration;
                    findings.add(property, Some(found.partition), &operations, what);
                }
            }
        }
    }
}
