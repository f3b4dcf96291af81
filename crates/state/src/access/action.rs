//! What can be done to something.

use std::fmt;

/// What somebody does, or may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessAction {
    Publish,
    Consume,
    /// Seeing that it is there, and what it is like.
    Describe,
    Create,
    Alter,
    Delete,
    /// Being the owner of a job.
    Own,
    /// All that can be done to something of its kind.
    All,
}

impl AccessAction {
    pub const EVERY: &'static [Self] = &[
        Self::Publish,
        Self::Consume,
        Self::Describe,
        Self::Create,
        Self::Alter,
        Self::Delete,
        Self::Own,
        Self::All,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
            Self::Describe => "describe",
            Self::Create => "create",
            Self::Alter => "alter",
            Self::Delete => "delete",
            Self::Own => "own",
            Self::All => "all",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::EVERY
            .iter()
            .copied()
            .find(|action| action.as_str() == text)
    }

    /// Whether a rule with this action allows the one that is asked for. Whoever may do anything to
    /// something may also see it.
    pub fn covers(self, asked: Self) -> bool {
        self == asked || self == Self::All || asked == Self::Describe
    }
}

impl fmt::Display for AccessAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
