//! Ids that applications give to their messages.

use sha2::{Digest, Sha256};

use crate::limits::MESSAGE_ID_BYTES_MAX;

/// What is remembered of a message id: the first 16 bytes of its SHA-256. Two ids that differ have
/// different ones, for all that anybody can find out, so no message is taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 16]);

/// Why a text is not a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message id has 1 to {MESSAGE_ID_BYTES_MAX} bytes, this one has {bytes}")]
pub struct MessageIdError {
    pub bytes: usize,
}

impl MessageId {
    /// Any text of 1 to 256 bytes.
    pub fn of(text: &str) -> Result<Self, MessageIdError> {
        Self::check(text)?;
        let digest = Sha256::digest(text.as_bytes());
        let mut id = [0; 16];
        for (byte, digit) in id.iter_mut().zip(digest) {
            *byte = digit;
        }
        Ok(Self(id))
    }

    /// Whether the text can be one, for those who do not need the id yet.
    pub fn check(text: &str) -> Result<(), MessageIdError> {
        match (1..=MESSAGE_ID_BYTES_MAX).contains(&text.len()) {
            true => Ok(()),
            false => Err(MessageIdError { bytes: text.len() }),
        }
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_text_of_some_length() {
        assert!(MessageId::of("order-1").is_ok());
        assert!(MessageId::of(&"a".repeat(256)).is_ok());
        assert_eq!(MessageId::of(""), Err(MessageIdError { bytes: 0 }));
        let long = MessageId::of(&"a".repeat(257));
        assert_eq!(long, Err(MessageIdError { bytes: 257 }));
    }

    #[test]
    fn equal_texts_have_equal_ids() {
        assert_eq!(MessageId::of("a"), MessageId::of("a"));
        assert_ne!(MessageId::of("a"), MessageId::of("b"));
        let id = MessageId::of("a").unwrap();
        assert_eq!(MessageId::from_bytes(id.to_bytes()), id);
    }
}
