//! **A key stays in one partition.** No two partitions show records with the same key.
//!
//! Source: order per key, which is order within a partition.

use std::collections::BTreeMap;

use super::{History, Violation};

const INVARIANT: &str = "a key stays in one partition";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut homes = BTreeMap::new();
    let mut violations = Vec::new();
    for reading in &history.readings {
        for seen in &reading.records {
            let Some(key) = &seen.key else {
                continue;
            };
            let home = *homes.entry(key).or_insert(reading.partition);
            if home != reading.partition {
                let place = format!("{}/{}", reading.partition, seen.offset);
                let what = format!("{key:?} is at {place} and in partition {home}");
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
    use bytes::Bytes;

    use super::super::samples::{history, whole};
    use super::*;

    #[test]
    fn a_key_in_two_partitions_is_found() {
        let keyed = |partition, key| {
            let mut reading = whole(partition, 0, &[partition.into()]);
            reading.records[0].key = Some(Bytes::from_static(key));
            reading
        };
        assert_eq!(check(&history(&[], [keyed(0, b"a"), keyed(1, b"b")])), []);
        assert_eq!(
            check(&history(&[], [keyed(0, b"a"), keyed(1, b"a")])).len(),
            1
        );
    }
}
