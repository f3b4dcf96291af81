//! The bytes of a record: its value, and filling that follows from the value, so that a record which is
//! not whole or was harmed is recognised.

use flotilla_checker::history::RecordValue;

/// What a record of the run weighs at least.
pub(crate) const PAYLOAD_BYTES: usize = 100;

/// `value|filling`.
pub(crate) fn encode(value: RecordValue) -> Vec<u8> {
    let mut bytes = format!("{value}|").into_bytes();
    let mut state = seed_of(&bytes);
    while bytes.len() < PAYLOAD_BYTES {
        // A step of a linear congruential generator: all that matters is that values differ in it.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.push(b'a' + ((state >> 33) % 26) as u8);
    }
    bytes
}

/// The value, if this is a record of the run, whole and unharmed.
pub(crate) fn decode(bytes: &[u8]) -> Option<RecordValue> {
    let end = bytes.iter().position(|byte| *byte == b'|')?;
    let value: RecordValue = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    (encode(value) == bytes).then_some(value)
}

fn seed_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |seed: u64, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use flotilla_checker::history::ProcessNumber;

    use super::*;

    #[test]
    fn a_record_that_was_harmed_has_no_value() {
        let value = RecordValue::new(ProcessNumber::new(3), 1_234);
        let bytes = encode(value);
        assert_eq!(bytes.len(), PAYLOAD_BYTES);
        assert_eq!(decode(&bytes), Some(value));
        for at in 0..bytes.len() {
            let mut harmed = bytes.clone();
            harmed[at] ^= 1;
            assert_eq!(decode(&harmed), None, "at {at}");
        }
        assert_eq!(decode(&bytes[..99]), None);
        assert_eq!(decode(b""), None);
    }
}
