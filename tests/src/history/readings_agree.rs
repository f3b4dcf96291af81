//! **Readings agree.** Two readings of a partition, whenever and from whichever replica, show the
//! same record at the same offset.
//!
//! Source: "a read never returns a record that is not durable". One that was shown and then lost
//! leaves its offset to another.

use std::collections::BTreeMap;

use super::{History, Violation};

const INVARIANT: &str = "readings agree";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut first_seen = BTreeMap::new();
    let mut violations = Vec::new();
    for reading in &history.readings {
        for seen in &reading.records {
            let place = (reading.partition, seen.offset);
            let first = *first_seen.entry(place).or_insert(seen.id);
            if first != seen.id {
                let what = format!("{}/{} was {first:?} and is {:?}", place.0, place.1, seen.id);
                violations.push(Violation {
                    invariant: INVARIANT,
                    what,
                });
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::samples::{history, whole};
    use super::*;

    #[test]
    fn overlapping_readings_that_agree_are_no_violation() {
        assert_eq!(
            check(&history(&[], [whole(0, 0, &[0, 1]), whole(0, 1, &[1, 2])])),
            []
        );
    }

    #[test]
    fn an_offset_that_changed_its_record_is_found() {
        assert_eq!(
            check(&history(&[], [whole(0, 0, &[0, 1]), whole(0, 1, &[2])])).len(),
            1
        );
    }
}
