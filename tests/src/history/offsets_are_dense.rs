//! **Offsets are dense.** In every reading each offset is the one before it plus one.
//!
//! Source: "offsets are dense and never assigned twice".

use super::{History, Violation};

const INVARIANT: &str = "offsets are dense";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for reading in &history.readings {
        for pair in reading.records.windows(2) {
            let (before, after) = (pair[0].offset, pair[1].offset);
            if after.get() != before.get() + 1 {
                let what = format!("{}/{before} is followed by {after}", reading.partition);
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
    use flotilla_types::Offset;

    use super::super::samples::{history, whole};
    use super::*;

    #[test]
    fn a_run_of_offsets_is_no_violation() {
        assert_eq!(check(&history(&[], [whole(0, 7, &[0, 1, 2])])), []);
    }

    #[test]
    fn gaps_repetitions_and_steps_back_are_found() {
        for offset in [9, 7, 6] {
            let mut reading = whole(0, 7, &[0, 1]);
            reading.records[1].offset = Offset::new(offset);
            assert_eq!(check(&history(&[], [reading])).len(), 1, "{offset}");
        }
    }
}
