//! What tells a record from every other one of the run: who sent it, and its number among theirs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ProcessNumber;

/// The value of a record, written `process-counter`. Counters of a process grow in the order in which
/// it first sends its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordValue {
    process: ProcessNumber,
    counter: u64,
}

/// A text that is no value of the run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a value: write process-counter")]
pub struct RecordValueError {
    text: String,
}

impl RecordValue {
    pub const fn new(process: ProcessNumber, counter: u64) -> Self {
        Self { process, counter }
    }

    pub const fn process(self) -> ProcessNumber {
        self.process
    }

    pub const fn counter(self) -> u64 {
        self.counter
    }
}

impl FromStr for RecordValue {
    type Err = RecordValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('-').and_then(|(process, counter)| {
            let process = ProcessNumber::new(process.parse().ok()?);
            Some(Self::new(process, counter.parse().ok()?))
        });
        parsed.ok_or_else(|| RecordValueError {
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for RecordValue {
    type Error = RecordValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RecordValue> for String {
    fn from(value: RecordValue) -> Self {
        value.to_string()
    }
}

impl fmt::Display for RecordValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.process, self.counter)
    }
}
