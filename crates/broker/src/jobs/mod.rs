//! Jobs: ownership of a named job by one process at a time, with a fencing token.
//!
//! Who owns what, and under which token, is proposed to the job's coordinator. Renewals are only
//! noted. What that has in common with consumer groups is in [`crate::coordinators`].
//!
//! An owner believes in its ownership until a session timeout after it began to ask for what was
//! last confirmed. The leader that confirmed it, and every later one, counts from a later moment: so
//! nobody else gets the job before, as long as clocks run alike. Where they do not, and for a process
//! that was paused, there is the token.

mod acquire;
mod list;
mod ownership;
mod service;
mod token;

pub(crate) use service::JobService;
