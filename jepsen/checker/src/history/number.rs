//! The numbers of a history, each with a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name($inner);

        impl $name {
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            pub const fn get(self) -> $inner {
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

number! {
    /// Nanoseconds since the start of the run, on a clock that only goes forward.
    Nanos(u64)
}
number! {
    /// Who did something, one thing after the other.
    ProcessNumber(u32)
}
number! {
    /// Which node of the cluster.
    NodeNumber(u32)
}
number! {
    /// The position of a record in a partition, from 0.
    Offset(u64)
}
number! {
    /// The hash of a whole record, by whatever function the run uses for all of them.
    RecordHash(u64)
}
number! {
    /// The version of a consumer group's membership in which a partition was granted.
    Generation(u64)
}
number! {
    /// The number of an ownership of a job. Later owners have greater ones.
    FencingToken(u64)
}
number! {
    /// The identity of an idempotent producer.
    ProducerId(u64)
}
number! {
    /// The incarnation of an idempotent producer. It fences those before it.
    ProducerEpoch(u32)
}
number! {
    /// The count of a record among those that its producer sent to a partition in one epoch, from 0.
    Sequence(u64)
}

impl Offset {
    /// The offset right after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Sequence {
    /// The sequence of the record that stands `count` records after this one.
    #[must_use]
    pub const fn advance(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl Nanos {
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
