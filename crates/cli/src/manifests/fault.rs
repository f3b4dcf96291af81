//! What is wrong with a topics file, and where.

use std::fmt;

use crate::failure::Failure;

/// A place in a file: both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// Everything that was found wrong, so that all of it can be put right at once.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: Vec<(Place, String)>,
}

impl Faults {
    pub(super) fn add(&mut self, place: Place, message: impl fmt::Display) {
        self.found.push((place, message.to_string()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// By their place in the file `name`, the first one of each place: others follow from it.
    pub(super) fn into_failures(mut self, name: &str) -> Vec<Failure> {
        self.found
            .sort_by_key(|(place, _)| (place.line, place.column));
        self.found.dedup_by_key(|(place, _)| *place);
        let found = self.found.into_iter();
        found
            .map(|(place, message)| {
                let Place { line, column } = place;
                Failure::file(format!("{name}:{line}:{column}: {message}"))
            })
            .collect()
    }
}
