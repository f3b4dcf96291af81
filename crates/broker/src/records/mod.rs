//! Produce and fetch.
//!
//! ```text
//!   ProduceStream ── intake ──┬── lane of partition 0 ── submit here, or a stream to the leader
//!                             └── lane of partition 1 ── ...
//!   Fetch ── start (asks the leader where the log ends) ── reader of this node's replica
//! ```
//!
//! A lane keeps the requests of one stream and one partition in order. Nothing else does: two
//! streams are two writers.

mod answer;
mod arrival;
mod fence;
mod fetch;
mod fetch_request;
mod fetch_route;
mod forward;
mod intake;
mod lane;
mod list_offsets;
mod payload;
mod produce;
mod reader;
mod submission;
mod validation;

pub(crate) use fetch::FetchService;
pub(crate) use fetch_route::FetchRoute;
pub(crate) use produce::ProduceService;
pub(crate) use validation::SchemasInForce;
