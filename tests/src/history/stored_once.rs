//! **Every record is stored once.** Over the whole readings of all partitions, one per partition, no
//! record appears twice, however often its producer tried again.
//!
//! Source: idempotent producers, the default.

use std::collections::BTreeMap;

use super::{History, Violation};

const INVARIANT: &str = "every record is stored once";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let last_readings: BTreeMap<_, _> = history
        .whole_readings()
        .map(|reading| (reading.partition, reading))
        .collect();
    let mut first_places = BTreeMap::new();
    let mut violations = Vec::new();
    for reading in last_readings.values() {
        for seen in &reading.records {
            let Some(id) = seen.id else {
                continue;
            };
            let place = format!("{}/{}", reading.partition, seen.offset);
            if let Some(first) = first_places.get(&id) {
                let what = format!("{id} is at {first} and at {place}");
                violations.push(Violation {
                    invariant: INVARIANT,
                    what,
                });
            } else {
                first_places.insert(id, place);
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
    fn two_readings_of_one_partition_are_no_violation() {
        assert_eq!(
            check(&history(&[], [whole(0, 0, &[0, 1]), whole(0, 0, &[0, 1])])),
            []
        );
    }

    #[test]
    fn a_second_copy_is_found_in_the_same_partition_and_in_another() {
        assert_eq!(check(&history(&[], [whole(0, 0, &[0, 1, 0])])).len(), 1);
        assert_eq!(
            check(&history(&[], [whole(0, 0, &[0]), whole(1, 0, &[0])])).len(),
            1
        );
    }
}
