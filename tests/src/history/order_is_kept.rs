//! **Order is kept.** In every reading, the records of one producer appear in the order in which it
//! sent them. With a key in one partition only, that is the order per key as well.
//!
//! Source: "order of sends is order in the partition", retries included.

use std::collections::BTreeMap;

use super::{History, Violation};

const INVARIANT: &str = "order is kept";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for reading in &history.readings {
        let mut newest = BTreeMap::new();
        for seen in &reading.records {
            let Some(id) = seen.id else {
                continue;
            };
            let newest = newest.entry(id.producer).or_insert(id.number);
            if id.number < *newest {
                let place = format!("{}/{}", reading.partition, seen.offset);
                let what = format!("{id} at {place} comes after {}-{newest}", id.producer);
                violations.push(Violation {
                    invariant: INVARIANT,
                    what,
                });
            }
            *newest = id.number.max(*newest);
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::samples::{history, whole};
    use super::*;

    #[test]
    fn ascending_numbers_are_no_violation() {
        assert_eq!(
            check(&history(
                &[],
                [whole(0, 0, &[0, 2, 5]), whole(1, 0, &[1, 3])]
            )),
            []
        );
    }

    #[test]
    fn a_record_that_was_overtaken_is_found() {
        assert_eq!(check(&history(&[], [whole(0, 0, &[0, 2, 1, 3])])).len(), 1);
    }
}
