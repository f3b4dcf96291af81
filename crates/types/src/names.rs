//! Names that users choose, checked once where they come in.

use std::fmt;
use std::sync::Arc;

use crate::limits::TOPIC_NAME_BYTES_MAX;

/// Name of a topic: 1 to 249 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a text is not a topic name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a topic name must not be empty")]
    Empty,
    #[error("a topic name has at most {TOPIC_NAME_BYTES_MAX} characters, this one has {length}")]
    TooLong { length: usize },
    #[error("{found:?} is not allowed in a topic name: use A-Z, a-z, 0-9, '.', '_' and '-'")]
    Character { found: char },
    #[error("'.' and '..' are not topic names")]
    Dots,
}

impl TopicName {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(found) = text.chars().find(|character| !is_allowed(*character)) {
            return Err(NameError::Character { found });
        }
        if text.len() > TOPIC_NAME_BYTES_MAX {
            return Err(NameError::TooLong { length: text.len() });
        }
        if text == "." || text == ".." {
            return Err(NameError::Dots);
        }
        Ok(Self(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        assert_eq!(TopicName::parse(".."), Err(NameError::Dots));
        assert_eq!(
            TopicName::parse("../x"),
            Err(NameError::Character { found: '/' })
        );
    }

    #[test]
    fn names_have_a_length() {
        assert_eq!(TopicName::parse(""), Err(NameError::Empty));
        assert!(TopicName::parse(&"a".repeat(249)).is_ok());
        assert_eq!(
            TopicName::parse(&"a".repeat(250)),
            Err(NameError::TooLong { length: 250 })
        );
        assert!(TopicName::parse("integrations.acme-1.data_v2").is_ok());
    }
}
