//! Names that users choose, checked once where they come in.

use std::fmt;
use std::sync::Arc;

use crate::ErrorCode;
use crate::limits::NAME_BYTES_MAX;

/// Defines a name: 1 to 249 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, NameError> {
                match check(text) {
                    Ok(()) => Ok(Self(Arc::from(text))),
                    Err(fault) => Err(NameError { kind: $kind, fault }),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// Name of a topic: 1 to 249 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`.
    TopicName, NameKind::Topic
}
name! {
    /// Name of a consumer group: 1 to 249 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`.
    GroupId, NameKind::Group
}
name! {
    /// A member of a consumer group: a name that it chose for itself, like no other.
    MemberId, NameKind::Member
}
name! {
    /// Name of a job, of which one process at a time is the owner: 1 to 249 of `A-Z a-z 0-9 . _ -`,
    /// but not `.` or `..`.
    JobName, NameKind::Job
}
name! {
    /// Name of a key, and of the principal who shows it: 1 to 249 of `A-Z a-z 0-9 . _ -`, but not `.`
    /// or `..`.
    KeyName, NameKind::Key
}

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    Topic,
    Group,
    Member,
    Job,
    Key,
}

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {fault}")]
pub struct NameError {
    pub kind: NameKind,
    pub fault: NameFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    Empty,
    TooLong { length: usize },
    Character { found: char },
    Dots,
}

impl NameError {
    pub const fn code(self) -> ErrorCode {
        match self.kind {
            NameKind::Topic => ErrorCode::InvalidTopicName,
            NameKind::Group => ErrorCode::InvalidGroupId,
            NameKind::Member | NameKind::Key => ErrorCode::InvalidArgument,
            NameKind::Job => ErrorCode::InvalidJobName,
        }
    }
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "a topic name",
            Self::Group => "a consumer group id",
            Self::Member => "a member id",
            Self::Job => "a job name",
            Self::Key => "a key name",
        })
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { length } => write!(
                f,
                "has at most {NAME_BYTES_MAX} characters, this one has {length}"
            ),
            Self::Character { found } => write!(
                f,
                "has no {found:?} in it: use A-Z, a-z, 0-9, '.', '_' and '-'"
            ),
            Self::Dots => f.write_str("is not '.' or '..'"),
        }
    }
}

fn check(text: &str) -> Result<(), NameFault> {
    if text.is_empty() {
        return Err(NameFault::Empty);
    }
    if let Some(found) = text.chars().find(|character| !is_allowed(*character)) {
        return Err(NameFault::Character { found });
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameFault::TooLong { length: text.len() });
    }
    if text == "." || text == ".." {
        return Err(NameFault::Dots);
    }
    Ok(())
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<NameFault> {
        TopicName::parse(text).err().map(|error| error.fault)
    }

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        assert_eq!(fault(".."), Some(NameFault::Dots));
        assert_eq!(fault("../x"), Some(NameFault::Character { found: '/' }));
    }

    #[test]
    fn names_have_a_length() {
        assert_eq!(fault(""), Some(NameFault::Empty));
        assert_eq!(fault(&"a".repeat(249)), None);
        assert_eq!(
            fault(&"a".repeat(250)),
            Some(NameFault::TooLong { length: 250 })
        );
        assert_eq!(fault("integrations.acme-1.data_v2"), None);
    }

    #[test]
    fn an_error_says_what_the_name_was_for() {
        let error = GroupId::parse("a b").unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidGroupId);
        assert_eq!(
            error.to_string(),
            "a consumer group id has no ' ' in it: use A-Z, a-z, 0-9, '.', '_' and '-'"
        );
        assert_eq!(
            TopicName::parse("").unwrap_err().to_string(),
            "a topic name must not be empty"
        );
    }
}
