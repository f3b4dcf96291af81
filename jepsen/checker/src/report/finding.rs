//! One place where a promise was broken.

use std::fmt;

use serde::Serialize;

use super::Property;
use crate::history::{OperationIndex, TopicPartition};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub property: Property,
    /// `None` if it is not about a partition.
    pub partition: Option<TopicPartition>,
    /// The operations that contradict each other, at most [`Self::OPERATIONS_MAX`] of them.
    pub operations: Vec<OperationIndex>,
    /// One sentence.
    pub what: String,
}

/// Where a lost record stood among the records of its process that were kept. A loss at an end can be
/// one long hole; a loss in the middle was made after records before and behind it were safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Before all that was kept.
    Prefix,
    Middle,
    /// Behind all that was kept, or nothing was.
    Postfix,
}

impl Finding {
    /// Most findings of one property that a report shows.
    pub const SHOWN_MAX: usize = 20;

    /// Most operations that one finding names.
    pub const OPERATIONS_MAX: usize = 8;
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(partition) = &self.partition {
            write!(f, "{partition}: ")?;
        }
        f.write_str(&self.what)?;
        let operations: Vec<_> = self
            .operations
            .iter()
            .map(OperationIndex::to_string)
            .collect();
        write!(f, " ({})", operations.join(", "))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "at the front of",
            Self::Middle => "in the middle of",
            Self::Postfix => "at the end of",
        })
    }
}
