//! Values to send.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Makes values of one size, of which the first half is random and the second half is not, so that
/// compression has something to do but cannot do wonders.
pub(super) struct Payloads {
    random: SmallRng,
    size: usize,
}

impl Payloads {
    const FILLER: &'static [u8] = b"the quick brown fox jumps over the lazy dog ";

    /// Values of equal seeds are equal.
    pub(super) fn new(seed: u64, size: usize) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { random, size }
    }

    pub(super) fn next(&mut self) -> Bytes {
        let mut payload = vec![0; self.size];
        let (random, regular) = payload.split_at_mut(self.size.div_ceil(2));
        self.random.fill_bytes(random);
        for part in regular.chunks_mut(Self::FILLER.len()) {
            part.copy_from_slice(&Self::FILLER[..part.len()]);
        }
        payload.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_size_and_differ_in_their_first_half_only() {
        for size in [0, 1, 2, 99, 1_024] {
            let mut payloads = Payloads::new(7, size);
            let (one, other) = (payloads.next(), payloads.next());
            assert_eq!((one.len(), other.len()), (size, size));
            let half = size.div_ceil(2);
            assert_eq!(one[half..], other[half..]);
            if size > 8 {
                assert_ne!(one[..half], other[..half]);
            }
        }
    }
}
