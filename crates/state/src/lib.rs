//! The replicated state machines: what every replica concludes, alike, from the same log.
//!
//! `apply(command) -> (outcome, changes)` is all there is. Nothing here knows a clock, randomness,
//! I/O, an async runtime, Raft or how bytes are stored: time comes in beside the command, and what
//! the state decides goes out as changes that the caller carries out. `apply` never fails: a command
//! that does not fit changes nothing and says so in its outcome, alike on every replica.
//!
//! Commands and state images begin with a byte that names their format. Structured ones are CBOR
//! with numbered fields; a number, once used, keeps its meaning for ever.

pub mod access;
mod decode_error;
pub mod groups;
pub mod metadata;
pub mod partition;
mod wire;

pub use decode_error::DecodeError;
