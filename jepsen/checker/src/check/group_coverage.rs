//! **group-coverage.** When an offset commit is invoked, members of the group are done with every record
//! below its offset, from the first one on. What lies below the log start in the end is left out:
//! retention may have deleted it before anybody came.
//!
//! Source: everything below a committed offset is done; a rebalance skips no record.

use std::collections::BTreeMap;

use super::Checker;
use crate::history::{Nanos, Offset};
use crate::report::{Findings, Property};
use crate::view::{GroupPartition, View};

pub(super) struct GroupCoverage;

impl Checker for GroupCoverage {
    fn check(&self, view: &View<'_>, findings: &mut Findings) {
        for found in &view.groups {
            let partition = view.partition(found.partition);
            let start = partition.map_or(Offset::new(0), |partition| partition.log_start());
            check_group(found, Done::from(start), findings);
        }
    }
}

fn check_group(found: &GroupPartition<'_>, mut done: Done, findings: &mut Findings) {
    let mut ranges: Vec<&(Nanos, Offset, Offset)> = found.ranges.iter().collect();
    ranges.sort_by_key(|(at, ..)| *at);
    let mut ranges = ranges.into_iter().peekable();
    let mut commits: Vec<_> = found.commits.iter().collect();
    commits.sort_by_key(|commit| commit.invoked_at);
    for commit in commits {
        while let Some((_, start, end)) = ranges.next_if(|(at, ..)| *at <= commit.invoked_at) {
            done.add(*start, *end);
        }
        if commit.offset > done.end {
            let what = || {
                let (group, offset, end) = (found.group, commit.offset, done.end);
                format!("{group} commits offset {offset} and has not done offset {end}")
            };
            let property = Property::GroupCoverage;
            findings.add(property, Some(found.partition), &[commit.operation], what);
        }
    }
}

/// What a group is done with: everything below `end`, and ranges behind it that leave a gap.
struct Done {
    end: Offset,
    behind: BTreeMap<Offset, Offset>,
}

impl Done {
    const fn from(start: Offset) -> Self {
        Self {
            end: start,
            behind: BTreeMap::new(),
        }
    }

    fn add(&mut self, start: Offset, end: Offset) {
        let known = self.behind.entry(start).or_insert(end);
        *known = end.max(*known);
        while let Some(first) = self.behind.first_entry() {
            if *first.key() > self.end {
                break;
            }
            self.end = first.remove().max(self.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_hold_the_end_back_until_they_are_filled() {
        let offset = Offset::new;
        let mut done = Done::from(offset(2));
        done.add(offset(6), offset(9));
        done.add(offset(0), offset(4));
        assert_eq!(done.end, offset(4));
        done.add(offset(3), offset(6));
        assert_eq!(done.end, offset(9));
    }
}
