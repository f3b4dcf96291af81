//! The jobs of a coordinator: work that one process at a time shall do.
//!
//! ```text
//!            Acquire                      Release, ExpireOwner
//!   nobody ─────────► owner, token 5 ───────────────────────► nobody ──► owner, token 9
//! ```
//!
//! Invariants:
//! 1. A job has at most one owner, and every ownership a token of its own.
//! 2. The tokens of one job ascend, also over a time in which the job was forgotten.
//!
//! What is a token here is its count: with the coordinator's number it becomes a
//! [`FencingToken`](flotilla_types::FencingToken). When an owner was silent for too long is decided
//! elsewhere.

mod apply;
mod command;
mod image;
mod job;
mod outcome;

#[cfg(test)]
mod apply_test;
#[cfg(test)]
pub(super) mod model_test;

pub use command::JobCommand;
pub(super) use command::JobCommandBody;
pub(super) use image::JobsImage;
pub use job::{Job, JobOwner, Jobs};
pub use outcome::{JobOutcome, JobRejection};
