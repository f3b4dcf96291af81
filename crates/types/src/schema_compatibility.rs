//! What a new version of a schema must keep of the one before it.

use std::fmt;

/// Who must go on understanding whom when a schema changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SchemaCompatibility {
    /// Any schema may follow any other.
    None,
    /// The newer schema reads what producers of the older one wrote: upgrade consumers first.
    #[default]
    Backward,
    /// The older schema reads what producers of the newer one write: upgrade producers first.
    Forward,
    /// Both, so that the order of upgrades does not matter.
    Full,
}

/// Why a text is not a compatibility mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a compatibility mode: use none, backward, forward or full")]
pub struct SchemaCompatibilityError {
    pub found: String,
}

impl SchemaCompatibility {
    pub const ALL: [Self; 4] = [Self::None, Self::Backward, Self::Forward, Self::Full];

    pub fn parse(text: &str) -> Result<Self, SchemaCompatibilityError> {
        let mode = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or_else(|| SchemaCompatibilityError {
            found: text.to_owned(),
        })
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for SchemaCompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compatibility_mode_reads_what_it_writes() {
        for mode in SchemaCompatibility::ALL {
            assert_eq!(SchemaCompatibility::parse(&mode.to_string()), Ok(mode));
        }
    }

    #[test]
    fn an_unknown_compatibility_mode_is_refused_with_those_there_are() {
        let error = SchemaCompatibility::parse("Backward").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"Backward\" is not a compatibility mode: use none, backward, forward or full"
        );
    }
}
