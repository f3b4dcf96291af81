//! What is wrong with a payload.

use std::fmt;

use crate::pointer::Shown;

/// One rule of the schema that a payload breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer to the value in the payload; empty for the whole payload.
    pub pointer: String,
    /// Keyword of the rule, `json` where the payload is not JSON.
    pub keyword: String,
    /// What is wrong, in one line of bounded length.
    pub message: String,
}

/// What is wrong with a payload, at most `VIOLATIONS_MAX` of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            Shown(&self.pointer),
            self.keyword,
            self.message
        )
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.0)
    }
}

impl std::error::Error for Violations {}

/// Everything on one line.
pub(crate) fn write_list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        write!(f, "{separator}{item}")?;
    }
    Ok(())
}
