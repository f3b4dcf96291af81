//! The HTTP port.
//!
//! ```text
//!   curl ──► accept ──► routes ──┬── /publish/{topic}, /v1/…      a door for whoever calls, over the client
//!            limits              ├── /openapi.json                what there is, for programs
//!                                ├── /metrics                     what the process counts
//!                                ├── /livez /readyz /health       what the node says of itself
//!                                └── anything else                a problem with a stable code
//! ```

mod at_most;
mod body;
mod connections;
mod extract;
mod from_object;
pub mod fuzzing;
mod groups;
mod health;
mod json_payload;
mod metrics;
mod port;
mod problem;
mod publish;
mod record;
mod records;
mod schemas;
mod stall;
mod state;
mod status;
mod tail;
mod topics;

pub use port::{HttpConfig, HttpServer, MetricsText};
pub use status::{Check, CheckOutcome, NodeStatus, StatusReport};
