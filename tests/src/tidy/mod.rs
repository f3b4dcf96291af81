//! Rules of the house that the compiler does not hold, as functions from text to findings.
//!
//! Each rule is a function here, proven on bad samples beside it, and is applied to the repository by
//! `tests/it/tidy.rs`, which also holds the tables. No rule changes a file.

pub mod documents;
pub mod manifests;
pub mod sizes;
pub mod sources;
pub mod words;
mod workspace;

use std::fmt;

pub use workspace::{TextFile, Workspace};

/// One place that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    place: String,
    what: String,
}

impl Finding {
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }

    fn at_line(path: &str, line_index: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{path}:{}", line_index + 1), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Fails the test that calls it with every finding on a line of its own.
#[track_caller]
pub fn assert_none(findings: &[Finding]) {
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}
