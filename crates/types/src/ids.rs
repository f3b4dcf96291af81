//! Identities. Each is its own type, so that a node never stands where a partition is meant.

use std::fmt;

/// Defines a number that means one thing: no arithmetic, no conversion that nobody asked for.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($repr);

        impl $name {
            pub const fn new(value: $repr) -> Self {
                Self(value)
            }

            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(crate) use id;

id! {
    /// One running server process, numbered from 1 by the operator. Never reused in a cluster.
    NodeId(u64)
}
id! {
    /// Identity of a topic. A topic that is deleted and created again gets another one.
    TopicId(u64)
}
id! {
    /// Number of a partition inside its topic, from 0.
    PartitionIndex(u32)
}
id! {
    /// One consensus instance. Allocated by the metadata group and never reused.
    RaftGroupId(u32)
}
id! {
    /// Raft's term. At most one node leads in a term.
    Term(u64)
}
id! {
    /// The term as users see it: it increases with each leader of a partition.
    LeaderEpoch(u64)
}
id! {
    /// Version of a consumer group's distribution of partitions. It only grows.
    Generation(u64)
}
id! {
    /// Identity of an idempotent producer.
    ProducerId(u64)
}
id! {
    /// Incarnation of an idempotent producer. A newer one fences the older ones. 0 to 32,767.
    ProducerEpoch(u16)
}
id! {
    /// Number of the first record of a batch within its producer, epoch and partition.
    /// It wraps from 2,147,483,647 to 0, as in Kafka.
    Sequence(u32)
}

id! {
    /// Given to the owner of a job. Of two owners of one job the later one has the greater token, so
    /// whatever an owner acts on can refuse the earlier ones.
    FencingToken(u64)
}

impl FencingToken {
    const COUNT_BITS: u32 = 48;

    /// The `count`-th token that a coordinator gives out. Tokens of different coordinators differ, and
    /// say nothing of what was first; a job has one coordinator for ever.
    pub const fn of_coordinator(number: u8, count: u64) -> Self {
        Self(((number as u64) << Self::COUNT_BITS) | (count % (1 << Self::COUNT_BITS)))
    }

    pub const fn coordinator(self) -> u8 {
        (self.0 >> Self::COUNT_BITS) as u8
    }

    /// Which of its coordinator's tokens it is.
    pub const fn count(self) -> u64 {
        self.0 % (1 << Self::COUNT_BITS)
    }

    /// Whether any coordinator could have given it out.
    pub const fn is_possible(self) -> bool {
        self.0 >> (Self::COUNT_BITS + u8::BITS) == 0 && self.count() > 0
    }
}

impl ProducerId {
    /// Ids from here on belong to owners of jobs.
    pub const OWNED: u64 = 1 << 62;

    /// The id of the producer that acts for the owner of a job.
    pub const fn owned(token: FencingToken) -> Self {
        Self(Self::OWNED | token.0)
    }

    /// Under which ownership the producer acts, if it does.
    pub const fn token(self) -> Option<FencingToken> {
        if self.0 & Self::OWNED == 0 {
            return None;
        }
        Some(FencingToken(self.0 & !Self::OWNED))
    }
}

impl RaftGroupId {
    /// The group that holds nodes, topics and placements. It exists in every cluster.
    pub const METADATA: Self = Self::new(0);
}

impl Sequence {
    const MODULUS: u32 = 1 << 31;

    /// The sequence of the record that comes `count` records later.
    #[must_use]
    pub const fn advance(self, count: u32) -> Self {
        Self((self.0 % Self::MODULUS).wrapping_add(count % Self::MODULUS) % Self::MODULUS)
    }
}

impl Term {
    pub const fn to_leader_epoch(self) -> LeaderEpoch {
        LeaderEpoch::new(self.0)
    }
}

impl LeaderEpoch {
    pub const fn to_term(self) -> Term {
        Term::new(self.0)
    }
}

/// A partition: its topic's identity and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    pub topic: TopicId,
    pub index: PartitionIndex,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}

/// Identity of a cluster: 16 bytes, made from the cluster's name so that nodes that are started with
/// the same name find each other (a UUID of version 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId([u8; 16]);

impl ClusterId {
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads the 32 hexadecimal digits that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_from_the_id_of_its_producer() {
        let token = FencingToken::of_coordinator(15, 7);
        assert_eq!((token.coordinator(), token.count()), (15, 7));
        assert!(token.is_possible());
        assert_eq!(ProducerId::owned(token).token(), Some(token));
        assert!(i64::try_from(ProducerId::owned(token).get()).is_ok());
        assert_eq!(ProducerId::new(7).token(), None);
        assert!(!FencingToken::new(0).is_possible());
        assert!(!FencingToken::new(u64::MAX).is_possible());
    }

    #[test]
    fn sequence_wraps_where_kafka_wraps() {
        assert_eq!(Sequence::new(0x7fff_ffff).advance(1), Sequence::new(0));
        assert_eq!(Sequence::new(5).advance(7), Sequence::new(12));
    }

    #[test]
    fn cluster_id_reads_what_it_writes() {
        let id = ClusterId::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 254, 255]);
        assert_eq!(ClusterId::parse(&id.to_string()), Some(id));
        assert_eq!(ClusterId::parse("zz"), None);
    }
}
