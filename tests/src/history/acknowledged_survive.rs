//! **Acknowledged records survive.** For every record that was acknowledged with a partition and an
//! offset, each whole reading of that partition shows that record at that offset.
//!
//! Source: the first sentence of the promise.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fate, History, Violation};

const INVARIANT: &str = "acknowledged records survive";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut read = BTreeSet::new();
    for reading in history.whole_readings() {
        read.insert(reading.partition);
        let stored: BTreeMap<_, _> = reading
            .records
            .iter()
            .map(|seen| (seen.offset, seen.id))
            .collect();
        for (id, sent) in &history.sent {
            let Fate::Acknowledged { partition, offset } = sent.fate else {
                continue;
            };
            if partition == reading.partition && stored.get(&offset) != Some(&Some(*id)) {
                let what = format!(
                    "{id} was acknowledged at {partition}/{offset}, where there is {:?}",
                    stored.get(&offset)
                );
                violations.push(Violation {
                    invariant: INVARIANT,
                    what,
                });
            }
        }
    }
    // A partition that nobody read would otherwise keep its promises unseen.
    for (id, sent) in &history.sent {
        if let Fate::Acknowledged { partition, .. } = sent.fate
            && !read.contains(&partition)
        {
            let what = format!("{id} is in partition {partition}, which was not read");
            violations.push(Violation {
                invariant: INVARIANT,
                what,
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::samples::{acknowledged, history, whole};
    use super::*;

    #[test]
    fn a_kept_record_is_no_violation() {
        assert_eq!(
            check(&history(&[acknowledged(0, 0, 5)], [whole(0, 5, &[0])])),
            []
        );
    }

    #[test]
    fn a_lost_record_is_found() {
        let sent = [acknowledged(0, 0, 5), acknowledged(1, 0, 6)];
        assert_eq!(check(&history(&sent, [whole(0, 5, &[0])])).len(), 1);
    }

    #[test]
    fn a_record_at_another_offset_is_found() {
        assert_eq!(
            check(&history(&[acknowledged(0, 0, 5)], [whole(0, 4, &[0])])).len(),
            1
        );
    }

    #[test]
    fn a_partition_that_was_not_read_is_found() {
        assert_eq!(
            check(&history(&[acknowledged(0, 1, 5)], [whole(0, 5, &[0])])).len(),
            1
        );
    }
}
