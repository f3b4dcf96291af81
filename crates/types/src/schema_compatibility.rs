//! How far a new version of a topic's schema may differ from the one before.

use std::fmt;

/// What the schemas of a topic promise to those who follow an older or a newer version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaCompatibility {
    /// Anything goes.
    None,
    /// The newer version takes what the older one described.
    #[default]
    Backward,
    /// The older version takes what the newer one describes.
    Forward,
    /// Both.
    Full,
}

impl SchemaCompatibility {
    pub const ALL: [Self; 4] = [Self::None, Self::Backward, Self::Forward, Self::Full];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

impl fmt::Display for SchemaCompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
