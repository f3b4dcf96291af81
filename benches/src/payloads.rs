//! Bytes to write: one half is random, so that compression has something to do but cannot do wonders.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const FILLER: &[u8] = b"the quick brown fox jumps over the lazy dog ";

/// Makes values of one size. Values of equal seeds are equal.
pub struct Payloads {
    random: SmallRng,
    bytes: usize,
}

impl Payloads {
    pub fn new(seed: u64, bytes: usize) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { random, bytes }
    }

    pub fn make(&mut self) -> Bytes {
        let mut payload = vec![0; self.bytes];
        let (random, regular) = payload.split_at_mut(self.bytes.div_ceil(2));
        self.random.fill_bytes(random);
        for part in regular.chunks_mut(FILLER.len()) {
            part.copy_from_slice(&FILLER[..part.len()]);
        }
        payload.into()
    }

    /// Different values to take turns, so that making them costs nothing while something is measured.
    pub fn pool(mut self, count: usize) -> Vec<Bytes> {
        (0..count).map(|_| self.make()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_size_and_differ_in_their_first_half_only() {
        let values = Payloads::new(7, 99).pool(2);
        assert_eq!(values[0].len(), 99);
        assert_eq!(values[0][50..], values[1][50..]);
        assert_ne!(values[0][..50], values[1][..50]);
        assert_eq!(Payloads::new(7, 99).make(), values[0]);
    }
}
