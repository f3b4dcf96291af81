//! Which starts of a node its data directory remembers, and how an old copy of one is told from it.

use std::fmt;

/// One start of a node: how many starts its data directory had seen by then, and a number drawn at
/// random for this one. Two directories with a common past have different starts since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(u64);

impl Incarnation {
    const MARK_BITS: u32 = 32;

    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    const fn numbered(start: u32, mark: u32) -> Self {
        Self(((start as u64) << Self::MARK_BITS) | mark as u64)
    }

    /// From 1.
    pub const fn start(self) -> u32 {
        (self.0 >> Self::MARK_BITS) as u32
    }

    const fn mark(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "start {} ({:08x})", self.start(), self.mark())
    }
}

/// The starts of a node that may be the one which the cluster registered last: the last start that
/// the node saw registered, and every one since. The newest is the running one.
///
/// A directory that was wiped, or an old copy of one that has been started since, does not have the
/// registered start in it. A copy that was taken while its newest start was running, and put back
/// after that start, cannot be told apart by this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Ascending by start, and never empty.
    starts: Vec<Incarnation>,
}

impl Lineage {
    /// Starts that are remembered. Of a node that starts more often without being registered once,
    /// the second oldest is forgotten: the oldest is the one that is known to be registered.
    pub const STARTS_MAX: usize = 1_000;

    /// The first start on a fresh directory.
    pub fn first(mark: u32) -> Self {
        Self::only(Incarnation::numbered(1, mark))
    }

    /// What is known of a node of which one start is known.
    pub fn only(start: Incarnation) -> Self {
        Self {
            starts: vec![start],
        }
    }

    /// `None` if there is no start, there are too many, or they do not ascend.
    pub fn from_starts(starts: Vec<Incarnation>) -> Option<Self> {
        let ascending = starts
            .windows(2)
            .all(|pair| pair[0].start() < pair[1].start());
        let valid = ascending && (1..=Self::STARTS_MAX).contains(&starts.len());
        valid.then_some(Self { starts })
    }

    /// With the next start on the same directory.
    #[must_use]
    pub fn started_again(mut self, mark: u32) -> Self {
        if self.starts.len() == Self::STARTS_MAX {
            self.starts.remove(1);
        }
        let next = self.current().start().saturating_add(1);
        self.starts.push(Incarnation::numbered(next, mark));
        self
    }

    /// Without the starts before the running one, which is registered now.
    #[must_use]
    pub fn registered(&self) -> Self {
        Self::only(self.current())
    }

    pub fn starts(&self) -> &[Incarnation] {
        &self.starts
    }

    /// The start that runs.
    pub fn current(&self) -> Incarnation {
        self.starts[self.starts.len() - 1]
    }

    /// Whether this directory has seen that start and may not have seen a later one registered.
    pub fn remembers(&self, start: Incarnation) -> bool {
        self.starts.contains(&start)
    }

    /// Whether the node that was last seen at `known` can be this one, in the eyes of somebody who
    /// may not know its latest registration: it remembers that start, or only later ones.
    pub fn may_follow(&self, known: Incarnation) -> bool {
        known.start() < self.starts[0].start() || self.remembers(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_follows_its_own_starts() {
        let first = Lineage::first(0xa);
        let second = first.clone().started_again(0xb);
        assert!(first.may_follow(first.current()));
        assert!(second.may_follow(first.current()));
        assert!(!first.may_follow(second.current()));
        assert_eq!(second.current().to_string(), "start 2 (0000000b)");
    }

    #[test]
    fn a_wiped_directory_follows_nothing_however_often_it_starts() {
        let known = Lineage::first(0xa).started_again(0xb);
        let mut wiped = Lineage::first(0xc);
        for mark in 0xd..0x10 {
            assert!(!wiped.may_follow(known.current()));
            assert!(!wiped.remembers(known.current()));
            wiped = wiped.started_again(mark);
        }
    }

    #[test]
    fn an_old_copy_does_not_follow_what_was_started_since_however_often_it_starts() {
        let copied = Lineage::first(0xa).registered();
        let original = copied.clone().started_again(0xb);
        let mut copy = copied;
        for mark in 0xc..0x10 {
            copy = copy.started_again(mark);
            assert!(!copy.may_follow(original.current()));
            assert!(!copy.remembers(original.current()));
        }
    }

    #[test]
    fn every_start_since_the_last_registered_one_may_be_it() {
        let registered = Lineage::first(0xa).started_again(0xb).registered();
        let unsure = registered.clone().started_again(0xc).started_again(0xd);
        for start in unsure.starts() {
            assert!(unsure.remembers(*start));
        }
        assert_eq!(unsure.starts()[0], registered.current());
    }

    #[test]
    fn somebody_with_old_news_lets_a_node_pass_that_forgot_that_start() {
        let old = Lineage::first(0xa);
        let later = old.clone().started_again(0xb).registered();
        assert!(later.may_follow(old.current()));
        assert!(!later.remembers(old.current()));
    }

    #[test]
    fn a_node_that_never_gets_through_remembers_the_registered_start() {
        let mut lineage = Lineage::first(0xa);
        let registered = lineage.current();
        for mark in 0..2_000 {
            lineage = lineage.started_again(mark);
        }
        assert_eq!(lineage.starts().len(), Lineage::STARTS_MAX);
        assert_eq!(lineage.current().start(), 2_001);
        assert!(lineage.remembers(registered));
        assert_eq!(
            Lineage::from_starts(lineage.starts().to_vec()),
            Some(lineage)
        );
    }

    #[test]
    fn starts_that_do_not_ascend_are_no_lineage() {
        let start = Incarnation::numbered;
        assert_eq!(Lineage::from_starts(vec![]), None);
        assert_eq!(Lineage::from_starts(vec![start(2, 1), start(2, 2)]), None);
        let many = (1..=1_001).map(|number| start(number, 7)).collect();
        assert_eq!(Lineage::from_starts(many), None);
    }
}
