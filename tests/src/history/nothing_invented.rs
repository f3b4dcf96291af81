//! **Nothing is invented.** Every record that was seen was sent, with that key, and was not refused;
//! what was acknowledged is seen nowhere but where it was acknowledged.
//!
//! Source: a definite error says that the write surely did not happen.

use super::{Fate, History, Reading, Seen, Violation};

const INVARIANT: &str = "nothing is invented";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for reading in &history.readings {
        for seen in &reading.records {
            if let Some(what) = fault_of(history, reading, seen) {
                let what = format!("{}/{} {what}", reading.partition, seen.offset);
                violations.push(Violation {
                    invariant: INVARIANT,
                    what,
                });
            }
        }
    }
    violations
}

fn fault_of(history: &History, reading: &Reading, seen: &Seen) -> Option<String> {
    let Some(id) = seen.id else {
        return Some("holds a value that nobody sent".to_owned());
    };
    let Some(sent) = history.sent.get(&id) else {
        return Some(format!("holds {id}, which nobody sent"));
    };
    if sent.key != seen.key {
        return Some(format!(
            "holds {id} with the key {:?}, not {:?}",
            seen.key, sent.key
        ));
    }
    match sent.fate {
        Fate::Refused => Some(format!("holds {id}, which was refused")),
        Fate::Acknowledged { partition, offset }
            if (partition, offset) != (reading.partition, seen.offset) =>
        {
            Some(format!(
                "holds {id}, which was acknowledged at {partition}/{offset}"
            ))
        }
        Fate::Acknowledged { .. } | Fate::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::samples::{acknowledged, history, refused, unknown, whole};
    use super::*;

    #[test]
    fn records_that_were_sent_are_no_violation() {
        let sent = [acknowledged(0, 0, 0), unknown(1)];
        assert_eq!(check(&history(&sent, [whole(0, 0, &[0, 1])])), []);
    }

    #[test]
    fn strangers_and_refused_records_are_found() {
        assert_eq!(check(&history(&[], [whole(0, 0, &[0])])).len(), 1);
        assert_eq!(check(&history(&[refused(0)], [whole(0, 0, &[0])])).len(), 1);
        let mut reading = whole(0, 0, &[0]);
        reading.records[0].id = None;
        assert_eq!(check(&history(&[unknown(0)], [reading])).len(), 1);
    }

    #[test]
    fn another_key_and_another_place_are_found() {
        let mut reading = whole(0, 0, &[0]);
        reading.records[0].key = Some(Bytes::from_static(b"other"));
        assert_eq!(check(&history(&[unknown(0)], [reading])).len(), 1);
        let sent = [acknowledged(0, 0, 8)];
        assert_eq!(check(&history(&sent, [whole(0, 0, &[0])])).len(), 1);
    }
}
