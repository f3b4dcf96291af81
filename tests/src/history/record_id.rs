//! The name of a record in a test, and the value that carries it.

use std::fmt;

use bytes::Bytes;

/// Which record of which producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    pub producer: u32,
    pub number: u64,
}

impl RecordId {
    pub const fn new(producer: u32, number: u64) -> Self {
        Self { producer, number }
    }

    /// A value of at least `value_bytes` that names this record. What follows the name depends on it,
    /// so that a value that was cut or mixed up names no record at all.
    pub fn value(self, value_bytes: usize) -> Bytes {
        let mut value = format!("{self}:{value_bytes}:").into_bytes();
        let name_bytes = value.len();
        value.extend((name_bytes..value_bytes).map(|at| self.filler(at)));
        value.into()
    }

    /// The record that a value names.
    pub fn of_value(value: &[u8]) -> Option<Self> {
        let mut parts = value.splitn(3, |byte| *byte == b':');
        let name = std::str::from_utf8(parts.next()?).ok()?;
        let value_bytes: usize = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let (producer, number) = name.split_once('-')?;
        let id = Self::new(producer.parse().ok()?, number.parse().ok()?);
        // A length that is not the value's own must not make this allocate more than there is.
        (value == id.value(value_bytes.min(value.len()))).then_some(id)
    }

    fn filler(self, at: usize) -> u8 {
        let mixed = u64::from(self.producer)
            .wrapping_mul(31)
            .wrapping_add(self.number)
            .wrapping_mul(31)
            .wrapping_add(at as u64);
        b'a' + (mixed % 26) as u8
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.producer, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_its_record() {
        let id = RecordId::new(3, 70_000);
        for value_bytes in [0, 1, 20, 1_000] {
            let value = id.value(value_bytes);
            assert!(value.len() >= value_bytes);
            assert_eq!(RecordId::of_value(&value), Some(id), "{value_bytes}");
        }
    }

    #[test]
    fn a_damaged_value_names_no_record() {
        let value = RecordId::new(3, 7).value(100);
        assert_eq!(RecordId::of_value(&value[..99]), None);
        assert_eq!(RecordId::of_value(&[&value[..], b"a"].concat()), None);
        let mut flipped = value.to_vec();
        flipped[60] ^= 1;
        assert_eq!(RecordId::of_value(&flipped), None);
        assert_eq!(RecordId::of_value(b"a line of text"), None);
    }
}
