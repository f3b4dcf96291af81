//! The HTTP port.
//!
//! ```text
//!   curl ──► accept ──► routes ──┬── /metrics                    what the process counts
//!            limits              ├── /livez /readyz /health      what the node says of itself
//!                                └── anything else               a problem with a stable code
//! ```
//!
//! The gateway knows HTTP and JSON. It knows neither the broker nor Raft: what it says about the node
//! comes through [`NodeStatus`], and records will come through the public client.

mod connections;
mod gateway;
mod health;
mod metrics;
mod problem;
mod status;

pub use gateway::{Gateway, GatewayConfig, MetricsText};
pub use status::{Check, CheckOutcome, NodeStatus, StatusReport};
