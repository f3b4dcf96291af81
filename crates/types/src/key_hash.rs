//! Which partition a key belongs to, alike in every client and on every node.

use crate::PartitionIndex;

/// The partition of `key` in a topic of `partition_count` partitions: Kafka's choice, so that
/// records keep their place when a producer changes its protocol.
///
/// # Panics
/// When there are no partitions: every topic has at least one.
pub fn partition_of_key(key: &[u8], partition_count: u32) -> PartitionIndex {
    let without_sign = murmur2(key) & 0x7fff_ffff;
    PartitionIndex::new(without_sign % partition_count)
}

/// MurmurHash2 for 32 bits, with the seed that Kafka's clients use.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;

    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_kafka_clients_compute() {
        let expected: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"abc", 479_470_107),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ];
        for (key, hash) in expected {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
        }
    }

    #[test]
    fn the_sign_bit_plays_no_part() {
        let index = (-973_932_308_i32).cast_unsigned() & 0x7fff_ffff;
        assert_eq!(partition_of_key(b"21", 12).get(), index % 12);
    }
}
