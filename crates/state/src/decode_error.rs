//! Why bytes are not a command or a state image.

use flotilla_types::BatchError;

/// Committed bytes that do not decode come from a newer program or from a fault that passed every
/// checksum: the replica cannot go on, because guessing would make it differ from the others.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the bytes end before the {what} does")]
    Truncated { what: &'static str },
    #[error("format {found} of the {what} is not known to this program")]
    UnknownFormat { what: &'static str, found: u8 },
    #[error("command kind {found} is not known to this program")]
    UnknownKind { found: u8 },
    #[error("the {what} is followed by bytes that do not belong to it")]
    TrailingBytes { what: &'static str },
    #[error("the {what} has a structure that this program does not know")]
    Structure {
        what: &'static str,
        source: minicbor::decode::Error,
    },
    #[error("the {what} contradicts itself: {contradiction}")]
    Contradiction {
        what: &'static str,
        contradiction: &'static str,
    },
    #[error("the record batch of an append command is damaged")]
    Batch(#[from] BatchError),
}
