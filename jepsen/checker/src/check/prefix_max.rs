//! The greatest of all that was known before a moment.

use crate::history::Nanos;

/// Facts by the time from which they are known, each with the greatest so far.
pub(super) struct PrefixMax<T> {
    known: Vec<(Nanos, T)>,
}

impl<T: Ord + Copy> PrefixMax<T> {
    pub(super) fn new(mut known: Vec<(Nanos, T)>) -> Self {
        known.sort_by_key(|(at, _)| *at);
        for index in 1..known.len() {
            known[index].1 = known[index].1.max(known[index - 1].1);
        }
        Self { known }
    }

    /// The greatest that was known strictly before `moment`.
    pub(super) fn before(&self, moment: Nanos) -> Option<T> {
        let count = self.known.partition_point(|(at, _)| *at < moment);
        Some(self.known[count.checked_sub(1)?].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_known_strictly_before_counts() {
        let at = Nanos::new;
        let known = PrefixMax::new(vec![(at(5), 1), (at(2), 7), (at(9), 8)]);
        let found: Vec<_> = [2, 3, 6, 9, 10].map(|t| known.before(at(t))).into();
        assert_eq!(found, [None, Some(7), Some(7), Some(7), Some(8)]);
    }
}
