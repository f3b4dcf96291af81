//! The front doors: HTTP, and a protocol of lines.
//!
//! ```text
//!   curl ──► http ──┐
//!                   ├──► doors ──► the public client, on behalf of whoever calls ──► the node
//!   nc ────► text ──┘    who is it?
//! ```
//!
//! What comes in one by one travels together: see `publisher.rs`. The gateway knows neither the broker nor
//! Raft. What it says about the node comes through [`NodeStatus`], who calls through [`Doorkeeper`].

mod door;
mod http;
mod publisher;
pub mod text;

pub use door::{Doorkeeper, Doors};
#[doc(hidden)]
pub use http::fuzzing;
pub use http::{
    Check, CheckOutcome, HttpConfig, HttpServer, MetricsText, NodeStatus, StatusReport,
};
