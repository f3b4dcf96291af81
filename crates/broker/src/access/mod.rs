//! Who calls, and what they may do.
//!
//! ```text
//!   client ──► token, key, certificate ► principal ┐
//!   door   ──► the principal that it let in ──────┼──► Origin ──► Node::allow, in each service
//!   node   ──► introduction, of whom it acts for ─┘                 └─► passed on with the call
//! ```
//!
//! Rules are replicated with the metadata, and looked at where a call comes in and again where it is
//! carried out. With `auth.enabled` off nobody is asked, and everything is allowed.

mod config;
mod gate;
mod guard;
pub(crate) mod introduction;
mod keeper;
mod service;
mod valid_until;

pub use config::AuthConfig;
pub(crate) use gate::{let_in, take_introductions};
pub(crate) use keeper::Keeper;
pub(crate) use service::AccessService;
pub(crate) use valid_until::ValidUntil;
