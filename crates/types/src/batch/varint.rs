//! Zig-zag variable-length integers, as records use them.
//!
//! A number between -64 and 63 takes one byte. The 32-bit and the 64-bit form of a number have the
//! same bytes, so there is one codec, and a reader that wants 32 bits checks the range.

/// The most bytes that one integer takes.
const BYTES_MAX: usize = 10;

/// Why no integer could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VarintFault {
    Truncated,
    Overflow,
}

/// How many bytes [`put`] appends for this value.
pub(super) const fn encoded_len(value: i64) -> usize {
    let significant_bits = 64 - zigzag(value).leading_zeros() as usize;
    if significant_bits == 0 {
        1
    } else {
        significant_bits.div_ceil(7)
    }
}

pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The integer at the start of `bytes`, and the bytes behind it.
#[inline]
pub(super) fn split(bytes: &[u8]) -> Result<(i64, &[u8]), VarintFault> {
    match bytes {
        // Nearly all numbers in a batch take one byte or two.
        [first, rest @ ..] if *first < 0x80 => Ok((unzigzag(u64::from(*first)), rest)),
        [first, second, rest @ ..] if *second < 0x80 => {
            let value = u64::from(*first & 0x7f) | u64::from(*second) << 7;
            Ok((unzigzag(value), rest))
        }
        _ => split_long(bytes),
    }
}

fn split_long(bytes: &[u8]) -> Result<(i64, &[u8]), VarintFault> {
    let mut value = 0_u64;
    for (position, &byte) in bytes.iter().enumerate().take(BYTES_MAX) {
        // The tenth byte holds the 64th bit and nothing else.
        if position == BYTES_MAX - 1 && byte > 1 {
            return Err(VarintFault::Overflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Ok((unzigzag(value), &bytes[position + 1..]));
        }
    }
    Err(VarintFault::Truncated)
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[test]
    fn small_numbers_of_either_sign_take_one_byte() {
        assert_eq!(encode(0), [0]);
        assert_eq!(encode(-1), [1]);
        assert_eq!(encode(1), [2]);
        assert_eq!(encode(-64), [0x7f]);
        assert_eq!(encode(64), [0x80, 0x01]);
        assert_eq!(encode(i64::MIN).len(), BYTES_MAX);
    }

    #[test]
    fn an_integer_that_does_not_end_is_truncated() {
        assert_eq!(split(&[]), Err(VarintFault::Truncated));
        assert_eq!(split(&[0x80; 9]), Err(VarintFault::Truncated));
    }

    #[test]
    fn an_integer_of_more_than_64_bits_overflows() {
        let mut bytes = [0xff; 10];
        assert_eq!(split(&bytes), Err(VarintFault::Overflow));
        bytes[9] = 2;
        assert_eq!(split(&bytes), Err(VarintFault::Overflow));
        bytes[9] = 1;
        assert_eq!(split(&bytes), Ok((i64::MIN, [].as_slice())));
    }

    proptest! {
        #[test]
        fn every_number_is_read_back(value: i64, tail: Vec<u8>) {
            let mut bytes = encode(value);
            prop_assert_eq!(bytes.len(), encoded_len(value));
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(split(&bytes), Ok((value, tail.as_slice())));
        }
    }
}
